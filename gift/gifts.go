package gift

import (
	"context"
	"log/slog"
	"sync"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"livecart/proto"
	"livecart/session/bus"
)

// Gifts is the gateways' side: it reads catalogue, wallets and rankings, and asks a ledger worker
// for each tip. Safe for concurrent use.
type Gifts struct {
	pool  *pgxpool.Pool
	bus   *bus.Bus
	log   *slog.Logger
	cfg   Config
	total *prometheus.CounterVec

	dispatcher *dispatcher

	catalogueMu sync.Mutex
	catalogue   catalogue // guarded by catalogueMu
	rankings    *rankings
}

// New returns a gateway's side. Tips are sent while [Gifts.Run] runs; all else works at once.
func New(cfg Config) (*Gifts, error) {
	if err := cfg.setDefaults(); err != nil {
		return nil, err
	}
	total, err := newTipTotal(cfg.Registerer)
	if err != nil {
		return nil, err
	}
	ask := func(ctx context.Context, batch *proto.TipBatch) (*proto.TipDecisions, error) {
		reply := new(proto.TipDecisions)
		return reply, cfg.Bus.Request(ctx, "tip", batch, reply)
	}
	return &Gifts{
		pool: cfg.Pool, bus: cfg.Bus, log: cfg.Log, cfg: cfg, total: total,
		dispatcher: newDispatcher(ask, cfg.EnvelopeTimeout, cfg.PendingAfter),
		rankings:   newRankings(cfg.Pool, cfg.RankingAge),
	}, nil
}

// Run sends tips to the ledger until ctx ends, waits for the envelopes under way and returns nil.
// Tips not sent by then, and those sent later, get [ErrTryAgain]. It can be called once.
func (g *Gifts) Run(ctx context.Context) error {
	g.dispatcher.run(ctx)
	return nil
}
