package chat

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"livecart/session/bus"
)

// Config says what a Chat works with. Pool, Redis and Bus are required.
type Config struct {
	Pool  *pgxpool.Pool
	Redis redis.UniversalClient
	Bus   *bus.Bus
	// Log is told of lost and regained parts; nil discards.
	Log *slog.Logger
	// Registerer takes the metrics; nil for none.
	Registerer prometheus.Registerer

	// Rate is how many comments a user may write in RateWindow over all rooms and gateways;
	// 20 in 30 s.
	Rate       int
	RateWindow time.Duration
	// DuplicateWindow is how long a user may not repeat a text in a room; 30 s.
	DuplicateWindow time.Duration
	// RequestWindow is how long a request id is remembered; 60 s.
	RequestWindow time.Duration
	// Kept is how many recent comments of a room can be deleted or pinned; 200.
	Kept int
	// Refresh is how old a gateway's knowledge of a room's phase, settings and sanctions gets when
	// another gateway changed them; 250 ms.
	Refresh time.Duration
}

func (cfg *Config) fill() error {
	if cfg.Pool == nil || cfg.Redis == nil || cfg.Bus == nil {
		return errors.New("chat: Pool, Redis and Bus are required")
	}
	if cfg.Rate < 0 || cfg.Kept < 0 || min(cfg.RateWindow, cfg.DuplicateWindow, cfg.RequestWindow, cfg.Refresh) < 0 {
		return errors.New("chat: limits and times must not be negative")
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	cfg.Rate = cmp.Or(cfg.Rate, 20)
	cfg.RateWindow = cmp.Or(cfg.RateWindow, 30*time.Second)
	cfg.DuplicateWindow = cmp.Or(cfg.DuplicateWindow, 30*time.Second)
	cfg.RequestWindow = cmp.Or(cfg.RequestWindow, time.Minute)
	cfg.Kept = cmp.Or(cfg.Kept, 200)
	cfg.Refresh = cmp.Or(cfg.Refresh, 250*time.Millisecond)
	return nil
}

// Chat is the chat of all rooms on one gateway. Safe for concurrent use.
type Chat struct {
	pool    *pgxpool.Pool
	bus     *bus.Bus
	log     *slog.Logger
	metrics *metrics
	keep    time.Duration
	rooms   *rooms
	feed    *feed
	history *history
	runs    sync.Once
}

// New returns a Chat that starts with Run.
func New(cfg Config) (*Chat, error) {
	if err := cfg.fill(); err != nil {
		return nil, err
	}
	m, err := newMetrics(cfg.Registerer)
	if err != nil {
		return nil, err
	}
	h := &history{rdb: cfg.Redis, kept: cfg.Kept}
	return &Chat{
		pool: cfg.Pool, bus: cfg.Bus, log: cfg.Log, metrics: m, keep: cfg.RequestWindow,
		rooms:   newRooms(cfg.Pool, cfg.Refresh, cfg.Log),
		history: h,
		feed: newFeed(h, cfg.Bus, cfg.Log, &limiter{
			rdb: cfg.Redis, log: cfg.Log, metrics: m,
			rate: cfg.Rate, window: cfg.RateWindow, duplicate: cfg.DuplicateWindow,
			local: newTally(maxTallied),
		}),
	}, nil
}

// Run carries comments until ctx ends; Post waits for it. It may be called once. What is in flight
// when ctx ends is finished first; later comments are refused with ErrTryAgain.
func (c *Chat) Run(ctx context.Context) error {
	err := errors.New("chat: Run was called before")
	c.runs.Do(func() {
		err = nil
		var wg sync.WaitGroup
		wg.Go(func() { c.rooms.run(ctx) })
		wg.Go(func() { c.feed.run(ctx) })
		wg.Wait()
	})
	return err
}
