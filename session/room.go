package session

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"livecart/proto"
	"livecart/session/bus"
	"livecart/session/store"
)

// RoomsConfig is what Rooms work with. Pool and Bus are required.
type RoomsConfig struct {
	Pool *pgxpool.Pool
	Bus  *bus.Bus
	// Log is told of hints and of OnEnd functions that failed; nil discards.
	Log *slog.Logger
	// OnEnd are called in order after a room ended, for what must end with it. Each must be harmless
	// to repeat: after a failure or a crash all are called again, every 10 s, by a running HostWatch.
	OnEnd []func(ctx context.Context, roomID string) error
}

// Rooms are the rooms of this installation: their description and their lifecycle
//
//	scheduled ──start──► live ◄──pause / resume──► paused
//	                       └────────end────────────────┴──► ended
//
// Every change is one transaction with its numbered room_state event, published after the commit.
// Safe for concurrent use.
type Rooms struct {
	cfg   RoomsConfig
	cache roomCache
}

// NewRooms starts nothing.
func NewRooms(cfg RoomsConfig) (*Rooms, error) {
	if cfg.Pool == nil || cfg.Bus == nil {
		return nil, errors.New("rooms need Postgres and NATS")
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Rooms{cfg: cfg}, nil
}

// maxList is the most rooms that List returns.
const maxList = 200

const roomColumns = `id, title, phase, host_id, host_name, shop_id, playback_url, cover_url, anonymous, version, scheduled_at, started_at, ended_at`

// Room reads a room.
func (r *Rooms) Room(ctx context.Context, roomID string) (*proto.Room, error) {
	room, _, err := readRoom(ctx, r.cfg.Pool, roomID)
	return room, err
}

// RoomIn is Room as the transaction sees it.
func (r *Rooms) RoomIn(ctx context.Context, tx pgx.Tx, roomID string) (*proto.Room, error) {
	room, _, err := readRoom(ctx, tx, roomID)
	return room, err
}

// List returns the rooms of these phases, of all when none is named, newest first and at most 200.
func (r *Rooms) List(ctx context.Context, phases ...proto.RoomPhase) ([]*proto.Room, error) {
	words := make([]string, len(phases))
	for i, p := range phases {
		words[i] = phaseWords[p]
	}
	rows, err := r.cfg.Pool.Query(ctx, `SELECT `+roomColumns+` FROM room
		WHERE cardinality($1::text[]) = 0 OR phase = ANY($1) ORDER BY created_at DESC, id LIMIT $2`, words, maxList)
	if err != nil {
		return nil, fmt.Errorf("list rooms: %w", err)
	}
	rooms, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (*proto.Room, error) { return scanRoom(row) })
	if err != nil {
		return nil, fmt.Errorf("list rooms: %w", err)
	}
	return rooms, nil
}

// Snapshot fills in the room, its number, the server's time and the totals as last saved; whoever
// has fresher totals puts them over these.
func (r *Rooms) Snapshot(ctx context.Context, tx pgx.Tx, roomID string, w *proto.SessionWelcome) error {
	room, seq, err := readRoom(ctx, tx, roomID)
	if err != nil {
		return err
	}
	saved, err := savedCounters(ctx, tx, []string{roomID})
	if err != nil {
		return err
	}
	w.Room, w.Seq, w.ServerTimeMs = room, seq, time.Now().UnixMilli()
	w.Stats = saved[roomID].stats()
	w.Stats.HeadSeq = seq
	return nil
}

var phaseWords = map[proto.RoomPhase]string{
	proto.RoomPhase_ROOM_PHASE_SCHEDULED: "scheduled",
	proto.RoomPhase_ROOM_PHASE_LIVE:      "live",
	proto.RoomPhase_ROOM_PHASE_PAUSED:    "paused",
	proto.RoomPhase_ROOM_PHASE_ENDED:     "ended",
}

func readRoom(ctx context.Context, q store.Querier, roomID string) (room *proto.Room, seq int64, err error) {
	row := q.QueryRow(ctx, `SELECT `+roomColumns+`, seq FROM room WHERE id = $1`, roomID)
	room, err = scanRoom(row, &seq)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, 0, store.ErrNoRoom
	}
	if err != nil {
		return nil, 0, fmt.Errorf("read room %s: %w", roomID, err)
	}
	return room, seq, nil
}

// scanRoom reads roomColumns, and what else was selected after them.
func scanRoom(row pgx.Row, more ...any) (*proto.Room, error) {
	room := &proto.Room{Host: &proto.User{Role: proto.Role_ROLE_HOST}}
	var phase string
	var scheduled, started, ended *time.Time
	into := append([]any{
		&room.Id, &room.Title, &phase, &room.Host.Id, &room.Host.Name, &room.ShopId, &room.PlaybackUrl,
		&room.CoverUrl, &room.Anonymous, &room.Version, &scheduled, &started, &ended,
	}, more...)
	if err := row.Scan(into...); err != nil {
		return nil, err
	}
	for p, word := range phaseWords {
		if word == phase {
			room.Phase = p
		}
	}
	room.ScheduledAtMs, room.StartedAtMs, room.EndedAtMs = unixMilli(scheduled), unixMilli(started), unixMilli(ended)
	return room, nil
}

func unixMilli(t *time.Time) int64 {
	if t == nil {
		return 0
	}
	return t.UnixMilli()
}

// change runs fn, which changes the room and returns it, together with its numbered room_state
// event. fn returns nil for nothing to do.
func (r *Rooms) change(ctx context.Context, roomID, cause string, fn func(tx pgx.Tx) (*proto.Room, error)) (*proto.Room, error) {
	var room *proto.Room
	var ev *proto.Event
	err := store.InTx(ctx, r.cfg.Pool, func(tx pgx.Tx) (err error) {
		ev = nil
		if room, err = fn(tx); err != nil || room == nil {
			return err
		}
		ev = &proto.Event{Event: &proto.Event_RoomState{RoomState: &proto.RoomState{Room: room, Cause: cause}}}
		return store.AppendEvent(ctx, tx, roomID, ev)
	})
	if err != nil || ev == nil {
		return nil, err
	}
	r.Observe(room)
	// Only a hint: gateways find a lost one by the room's number within a second.
	if err := r.cfg.Bus.PublishRoom(roomID, ev); err != nil {
		r.cfg.Log.Warn("room_state was not announced", "room", roomID, "err", err)
	}
	return proto.Clone(room), nil
}
