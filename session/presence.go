package session

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"livecart/proto"
	"livecart/session/store"
)

// PresenceConfig is what Presence works with. Redis and Pool are required.
type PresenceConfig struct {
	Redis redis.UniversalClient
	Pool  *pgxpool.Pool
	// Log is told when Redis goes away and comes back; nil discards.
	Log *slog.Logger
	// Registerer takes livecart_degraded{part="redis"}; nil for none.
	Registerer prometheus.Registerer
	// OnStats is told the figures of a room with viewers here when they changed, and every 10 s, all
	// but head_seq. OnLikes is told likes that came anywhere since the last call. Both come at most
	// once a ReportEvery and room, from one goroutine, and must not block. Stats must not be
	// changed. nil for none.
	OnStats func(roomID string, stats *proto.RoomStats)
	OnLikes func(roomID string, likes *proto.LikeTotal)
	// ReportEvery is how often this gateway writes its figures and reads the sums; 1 s when 0.
	ReportEvery time.Duration
	// LikeFlush is the longest that a like waits to be written; 100 ms when 0.
	LikeFlush time.Duration
	// SaveEvery is how often totals are saved to Postgres; 10 s when 0.
	SaveEvery time.Duration
	// StaleAfter is how long the viewers of a silent gateway still count; 10 s when 0.
	StaleAfter time.Duration
}

const (
	// statsRepeat is how often unchanged figures are told again.
	statsRepeat = 10 * time.Second
	// forgetAfter is how long a room without viewers is remembered here.
	forgetAfter = time.Hour
	// lastWrites bounds the writing at the end of Run.
	lastWrites = 2 * time.Second
)

// Presence counts who is in the rooms: connections now, their peak, visits, different viewers, and
// likes. Each gateway writes only what it counted itself, as figures that never fall, and reads the
// sums: a repeated write is harmless, a dead gateway's viewers vanish when its heartbeat is old,
// and a Redis that lost its data is filled again from the gateways and from Postgres. Without Redis
// a gateway goes on with its last sums and what it counts itself.
//
// All methods are safe for concurrent use.
type Presence struct {
	cfg      PresenceConfig
	run      string // names this run of this gateway
	degraded prometheus.Gauge
	away     atomic.Bool // Redis failed last time
	rooms    presentRooms
	likes    likeQueue
	closing  atomic.Bool
	stopped  chan struct{} // closed when Run has ended
	serial   sync.Mutex    // held while figures are reported
}

// NewPresence starts nothing.
func NewPresence(cfg PresenceConfig) (*Presence, error) {
	if cfg.Redis == nil || cfg.Pool == nil {
		return nil, errors.New("presence needs Redis and Postgres")
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	for _, d := range []struct {
		value    *time.Duration
		standard time.Duration
	}{
		{&cfg.ReportEvery, time.Second},
		{&cfg.LikeFlush, 100 * time.Millisecond},
		{&cfg.SaveEvery, 10 * time.Second},
		{&cfg.StaleAfter, 10 * time.Second},
	} {
		if *d.value == 0 {
			*d.value = d.standard
		}
		if *d.value < 0 {
			return nil, errors.New("presence: intervals cannot be negative")
		}
	}
	degraded, err := store.Degraded(cfg.Registerer, "redis")
	if err != nil {
		return nil, err
	}
	return &Presence{
		cfg: cfg, run: rand.Text()[:12], degraded: degraded,
		likes: likeQueue{filled: make(chan struct{}, 1)}, stopped: make(chan struct{}),
	}, nil
}

// Run writes, reads and saves until ctx ends; then it takes this gateway's viewers out of the
// counts and saves for the last time, for at most 2 s. End it after the gateway has drained. Run it
// once.
func (p *Presence) Run(ctx context.Context) error {
	defer close(p.stopped)
	loops, loopCtx := errgroup.WithContext(ctx)
	loops.Go(func() error { p.every(loopCtx, p.cfg.ReportEvery, p.tick); return nil })
	loops.Go(func() error { p.every(loopCtx, p.cfg.SaveEvery, p.save); return nil })
	loops.Go(func() error { p.flushLikes(loopCtx); return nil })
	_ = loops.Wait() // none of them fails

	p.closing.Store(true)
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWrites)
	defer cancel()
	p.report(last, p.rooms.all())
	p.likes.release(p)
	p.save(last)
	return nil
}

func (p *Presence) every(ctx context.Context, interval time.Duration, fn func(context.Context)) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			fn(ctx)
		}
	}
}

// Join counts a connection that has been welcomed. It does not wait for anything.
func (p *Presence) Join(roomID string, v Viewer) {
	p.rooms.with(p.run, roomID, func(r *presentRoom) { r.join(v) })
}

// Leave takes back a Join with the same arguments. It does not wait for anything.
func (p *Presence) Leave(roomID string, v Viewer) {
	p.rooms.with(p.run, roomID, func(r *presentRoom) { r.leave(v) })
}

// Stats returns the room's figures as this gateway last knew them, nil where it has no viewers of
// the room. The message must not be changed; head_seq is 0.
func (p *Presence) Stats(roomID string) *proto.RoomStats {
	r := p.rooms.find(roomID)
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.online == 0 {
		return nil
	}
	return r.stats
}

// Read returns the room's figures also where no viewer of it is here, from Redis or, without it, as
// last saved. The message must not be changed; head_seq is 0.
func (p *Presence) Read(ctx context.Context, roomID string) (*proto.RoomStats, error) {
	if stats := p.Stats(roomID); stats != nil {
		return stats, nil
	}
	reply, err := parseReport(reportScript.Run(ctx, p.cfg.Redis, counterKeys(roomID), p.readArgs()...))
	if err == nil && reply.epoch != "" {
		return reply.stats(), nil
	}
	saved, err := savedCounters(ctx, p.cfg.Pool, []string{roomID})
	if err != nil {
		return nil, err
	}
	return saved[roomID].stats(), nil
}

// tick writes and reads the rooms' figures and tells them to this gateway's viewers.
func (p *Presence) tick(ctx context.Context) {
	rooms := p.rooms.all()
	p.report(ctx, rooms)
	if ctx.Err() != nil {
		return
	}
	now := time.Now()
	for _, r := range rooms {
		stats, likes := r.news(now)
		if stats != nil && p.cfg.OnStats != nil {
			p.cfg.OnStats(r.id, stats)
		}
		if likes != nil && p.cfg.OnLikes != nil {
			p.cfg.OnLikes(r.id, likes)
		}
	}
	p.rooms.forget(now.Add(-forgetAfter))
}

// redisAnswered notes how the last round went.
func (p *Presence) redisAnswered(err error) {
	if away := err != nil; p.away.Swap(away) != away {
		if away {
			p.degraded.Set(1)
			p.cfg.Log.Warn("redis is away: presence counts this gateway alone", "err", err)
		} else {
			p.degraded.Set(0)
			p.cfg.Log.Info("redis is back: presence counts all gateways")
		}
	}
}
