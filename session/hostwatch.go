package session

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/go-redis/v9"

	"livecart/session/store"
)

// HostWatchConfig says when a room without its host is paused and ended. Pool, Redis and Rooms are
// required.
type HostWatchConfig struct {
	Pool  *pgxpool.Pool
	Redis redis.UniversalClient
	Rooms *Rooms
	// Log is told what the watch did and of failures; nil discards.
	Log *slog.Logger
	// PauseAfter is how long the host of a live room may be gone before the room is paused; 1 min
	// when 0. Negative switches the watch off: rooms stay as they are without any host, as where a
	// host never opens a page of ours.
	PauseAfter time.Duration
	// EndAfter is how long the host of a live or paused room may be gone before the room ends for
	// good; 10 min when 0, never when negative.
	EndAfter time.Duration
	// Every is how often the watch looks; 2 s when 0.
	Every time.Duration
	// finishEvery is how often ends of rooms that were not finished are taken up; 10 s when 0.
	finishEvery time.Duration
}

// HostWatch pauses rooms whose host is gone, resumes those that it paused when the host is back,
// and ends them when the host does not come back. Orders and running sales go on meanwhile.
//
// A host is here while any gateway holds a connection of a host or operator in the room and says so
// in Redis. Each watch keeps its own clock for each room, from when it first missed the host: a
// restart, a Redis that does not answer and a phase that a person changed start it anew, so they
// never end a room early. Any number of watches may run: whose move comes second moves nothing.
//
// A watch also takes up the ends of rooms that were not finished (RoomsConfig.OnEnd), every 10 s
// and even when it is switched off.
type HostWatch struct {
	cfg   HostWatchConfig
	rooms map[string]watched // owned by look
}

type watched struct {
	phase string
	gone  time.Time // since when the host is missed; zero while here
}

// NewHostWatch starts nothing.
func NewHostWatch(cfg HostWatchConfig) (*HostWatch, error) {
	if cfg.Pool == nil || cfg.Redis == nil || cfg.Rooms == nil {
		return nil, errors.New("the host watch needs Postgres, Redis and Rooms")
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.PauseAfter == 0 {
		cfg.PauseAfter = time.Minute
	}
	if cfg.EndAfter == 0 {
		cfg.EndAfter = 10 * time.Minute
	}
	if cfg.Every <= 0 {
		cfg.Every = 2 * time.Second
	}
	if cfg.finishEvery <= 0 {
		cfg.finishEvery = 10 * time.Second
	}
	return &HostWatch{cfg: cfg}, nil
}

// Run watches until ctx ends.
func (h *HostWatch) Run(ctx context.Context) error {
	look, finish := time.NewTicker(h.cfg.Every), time.NewTicker(h.cfg.finishEvery)
	defer look.Stop()
	defer finish.Stop()
	if h.cfg.PauseAfter < 0 {
		look.Stop()
	}
	watching := store.Trouble{Log: h.cfg.Log, What: "watch for hosts"}
	finishing := store.Trouble{Log: h.cfg.Log, What: "finish ended rooms"}
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-look.C:
			watching.Note(ctx, h.look(ctx, now))
		case <-finish.C:
			finishing.Note(ctx, h.cfg.Rooms.finishEnded(ctx))
		}
	}
}

// openRoom is a live or paused room as the watch sees it.
type openRoom struct{ id, phase, cause string }

// look decides on every open room once. Without an answer from Redis nothing is decided and every
// clock starts anew.
func (h *HostWatch) look(ctx context.Context, now time.Time) error {
	open, err := h.openRooms(ctx)
	if err != nil {
		return err
	}
	here, err := h.hosts(ctx, open)
	if err != nil {
		h.rooms = nil
		return err
	}
	before := h.rooms
	h.rooms = make(map[string]watched, len(open))
	var failed []error
	for i, room := range open {
		known := before[room.id]
		if here[i] {
			known.gone = time.Time{}
		} else if known.gone.IsZero() || room.phase == "live" && known.phase == "paused" {
			known.gone = now
		}
		h.rooms[room.id] = watched{phase: room.phase, gone: known.gone}
		if err := h.decide(ctx, room, here[i], now.Sub(known.gone)); err != nil {
			failed = append(failed, err)
		}
	}
	return errors.Join(failed...)
}

func (h *HostWatch) decide(ctx context.Context, room openRoom, here bool, gone time.Duration) error {
	var m move
	switch {
	case here && room.phase == "paused" && room.cause == causeHostGone:
		m = moveHostBack
	case here:
		return nil
	case h.cfg.EndAfter > 0 && gone >= h.cfg.EndAfter:
		m = moveHostLost
	case room.phase == "live" && gone >= h.cfg.PauseAfter:
		m = moveHostGone
	default:
		return nil
	}
	_, err := h.cfg.Rooms.move(ctx, room.id, m)
	switch {
	case errors.Is(err, ErrRoomState):
		return nil // another watch or a person was first
	case err != nil:
		return err
	}
	h.cfg.Log.Info("a room was "+m.verb+" by the host watch", "room", room.id, "cause", m.cause)
	return nil
}

func (h *HostWatch) openRooms(ctx context.Context) ([]openRoom, error) {
	rows, err := h.cfg.Pool.Query(ctx, `SELECT id, phase, cause FROM room WHERE phase IN ('live', 'paused')`)
	if err != nil {
		return nil, fmt.Errorf("open rooms: %w", err)
	}
	open, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (r openRoom, err error) {
		err = row.Scan(&r.id, &r.phase, &r.cause)
		return r, err
	})
	if err != nil {
		return nil, fmt.Errorf("open rooms: %w", err)
	}
	return open, nil
}

// hosts tells of each room whether a gateway holds a host of it.
func (h *HostWatch) hosts(ctx context.Context, open []openRoom) ([]bool, error) {
	if len(open) == 0 {
		return nil, nil
	}
	pipe := h.cfg.Redis.Pipeline()
	replies := make([]*redis.IntCmd, len(open))
	for i, room := range open {
		replies[i] = pipe.Exists(ctx, hostKey(room.id))
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, fmt.Errorf("hosts: %w", err)
	}
	here := make([]bool, len(open))
	for i, reply := range replies {
		here[i] = reply.Val() > 0
	}
	return here, nil
}
