package cart

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"livecart/session/bus"
	"livecart/session/store"
)

// MinReapAfter is the shortest ReapAfter: a first envelope may be under way for as long, and voiding
// what it asks would refuse buyers whose gateway is well.
const MinReapAfter = askTimeout

// Config is what both sides of the package stand on. A zero value of a setting is its default.
type Config struct {
	Pool  *pgxpool.Pool
	Redis redis.UniversalClient
	Bus   *bus.Bus
	// Log is told of what no caller can be told; nil discards.
	Log *slog.Logger
	// Registerer takes the metrics; nil keeps them to ourselves.
	Registerer prometheus.Registerer

	// Provider takes the buyers' money and gives it back. The gateway side needs one; a ledger without one
	// neither asks about payments nor gives money back.
	Provider Provider
	// ProviderName stands in payments and notices; "sandbox" when empty.
	ProviderName string

	// WebhookAllowPrivate lets shops' webhooks be of plain http and at loopback and private addresses.
	WebhookAllowPrivate bool

	// FlashPayWindow is how long an order of a flash sale waits for its payment; 0 for 5 min.
	FlashPayWindow time.Duration
	// OrderPayWindow is how long an ordinary order waits for its payment; 0 for 30 min.
	OrderPayWindow time.Duration
	// CompleteAfter is how long after an order was shipped it is completed by itself; 0 for 10 days.
	CompleteAfter time.Duration
	// SweepEvery is the pause between two looks for orders and pop-ups whose time is over; 0 for 1 s.
	SweepEvery time.Duration
	// ReapAfter is how long a reservation that nobody resolves is kept, in time in which the ledger
	// answered, before its attempt is voided and its pieces go back: at least [MinReapAfter], 0 for
	// 30 s. A gateway asks for as long as it lives, so this only ends what a dead one left.
	ReapAfter time.Duration

	// Set by New and NewLedger.
	metrics *metrics
	// turnTimeout bounds what a loop in the background does about one sale or one batch of orders, so
	// that a row that stays locked does not hold up the others.
	turnTimeout time.Duration
}

// ready checks cfg and fills in the defaults.
func (cfg Config) ready() (Config, error) {
	if cfg.Pool == nil || cfg.Redis == nil || cfg.Bus == nil {
		return cfg, errors.New("cart: Pool, Redis and Bus are needed")
	}
	if cfg.FlashPayWindow < 0 || cfg.OrderPayWindow < 0 || cfg.CompleteAfter < 0 || cfg.SweepEvery < 0 {
		return cfg, errors.New("cart: a duration is negative")
	}
	if cfg.ReapAfter != 0 && cfg.ReapAfter < MinReapAfter {
		return cfg, fmt.Errorf("cart: ReapAfter is %v, the least is %v", cfg.ReapAfter, MinReapAfter)
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.ProviderName == "" {
		cfg.ProviderName = "sandbox"
	}
	if cfg.FlashPayWindow == 0 {
		cfg.FlashPayWindow = 5 * time.Minute
	}
	if cfg.OrderPayWindow == 0 {
		cfg.OrderPayWindow = 30 * time.Minute
	}
	if cfg.CompleteAfter == 0 {
		cfg.CompleteAfter = 10 * 24 * time.Hour
	}
	if cfg.SweepEvery == 0 {
		cfg.SweepEvery = time.Second
	}
	if cfg.ReapAfter == 0 {
		cfg.ReapAfter = 30 * time.Second
	}
	if cfg.turnTimeout == 0 {
		cfg.turnTimeout = 15 * time.Second
	}
	m, err := newMetrics(cfg.Registerer)
	if err != nil {
		return cfg, fmt.Errorf("cart: %w", err)
	}
	cfg.metrics = m
	return cfg, nil
}

// metrics are shared by both sides, which may live in one process.
type metrics struct {
	// orders counts the states that orders entered.
	orders *prometheus.CounterVec
	// refundsDue is the refunds that the provider has not done, as this ledger counted them last.
	refundsDue prometheus.Gauge
	// webhooks counts sendings to shops' webhooks by what came of them.
	webhooks *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	orders, err := store.Register(reg, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "livecart_order_total",
		Help: "Orders by the state that they entered.",
	}, []string{"state"}))
	if err != nil {
		return nil, err
	}
	due, err := store.Register(reg, prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "livecart_refund_due",
		Help: "Refunds that the payment provider has not done yet, in the whole service, as this ledger counted them last.",
	}))
	if err != nil {
		return nil, err
	}
	webhooks, err := store.Register(reg, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "livecart_webhook_total",
		Help: "Sendings of orders' events to shops' webhooks: taken, failed (sent again later), given_up.",
	}, []string{"result"}))
	return &metrics{orders: orders, refundsDue: due, webhooks: webhooks}, err
}

// Cart is the gateway's side: it answers buyers and hosts. Safe for concurrent use.
type Cart struct {
	cfg       Config
	admission *admission
}

// New returns a Cart; it starts nothing.
func New(cfg Config) (*Cart, error) {
	cfg, err := cfg.ready()
	if err != nil {
		return nil, err
	}
	if cfg.Provider == nil {
		return nil, errors.New("cart: a Provider is needed")
	}
	a, err := newAdmission(cfg)
	if err != nil {
		return nil, err
	}
	return &Cart{cfg: cfg, admission: a}, nil
}

// Run works until ctx ends: it gathers attempts of flash sales and tells rooms what is left.
func (c *Cart) Run(ctx context.Context) error { return c.admission.run(ctx) }

// Ledger is the ledger role's side: it decides flash sales and ends what time has ended. Any number
// of processes may run one.
type Ledger struct {
	cfg     Config
	sales   *saleLedger
	sweeper *sweeper
}

// NewLedger returns a Ledger; it starts nothing.
func NewLedger(cfg Config) (*Ledger, error) {
	cfg, err := cfg.ready()
	if err != nil {
		return nil, err
	}
	sales, err := newSaleLedger(cfg)
	if err != nil {
		return nil, err
	}
	return &Ledger{cfg: cfg, sales: sales, sweeper: newSweeper(cfg, sales.resync)}, nil
}

// Run works until ctx ends or a part of it fails, and returns when all parts have ended.
func (l *Ledger) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return l.sales.run(ctx) })
	g.Go(func() error { return l.sweeper.run(ctx) })
	hooks := newHookWorker(l.cfg)
	g.Go(func() error { return hooks.run(ctx) })
	if l.cfg.Provider != nil {
		reconciler, refunds := &reconciler{l.cfg, l.sales.resync}, &refundWorker{l.cfg}
		g.Go(func() error { return reconciler.run(ctx) })
		g.Go(func() error { return refunds.run(ctx) })
	}
	return g.Wait()
}
