package session

import (
	"context"
	_ "embed"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"livecart/proto"
)

//go:embed sql/move_room.sql
var moveRoom string

// move is one arrow of the lifecycle.
type move struct {
	verb string
	from []string
	to   string
	// cause is written on the room and its event: "" where a person moved it.
	cause string
	// ofCause limits the move to rooms whose last move had that cause; "" for any.
	ofCause string
}

// ErrRoomState says that the room's phase does not allow a move.
var ErrRoomState = proto.Refuse(proto.ReasonRoomState, "the room's phase does not allow this")

// Causes of moves that no person made.
const (
	causeHostGone = "host_gone"
	causeHostBack = "host_back"
)

var (
	moveStart  = move{verb: "started", from: []string{"scheduled"}, to: "live"}
	movePause  = move{verb: "paused", from: []string{"live"}, to: "paused"}
	moveResume = move{verb: "resumed", from: []string{"paused"}, to: "live"}
	moveEnd    = move{verb: "ended", from: []string{"live", "paused"}, to: "ended"}

	moveHostGone = move{verb: "paused", from: []string{"live"}, to: "paused", cause: causeHostGone}
	moveHostBack = move{verb: "resumed", from: []string{"paused"}, to: "live", cause: causeHostBack, ofCause: causeHostGone}
	moveHostLost = move{verb: "ended", from: []string{"live", "paused"}, to: "ended", cause: causeHostGone}
)

// Start takes a scheduled room live. Its errors, like those of the other moves: room_not_found,
// room_state where the room's phase does not allow it, forbidden where by may not host.
func (r *Rooms) Start(ctx context.Context, roomID string, by *proto.User) (*proto.Room, error) {
	return r.moveBy(ctx, roomID, by, moveStart)
}

// Pause pauses a live room. Orders and running sales go on.
func (r *Rooms) Pause(ctx context.Context, roomID string, by *proto.User) (*proto.Room, error) {
	return r.moveBy(ctx, roomID, by, movePause)
}

// Resume takes a paused room live again.
func (r *Rooms) Resume(ctx context.Context, roomID string, by *proto.User) (*proto.Room, error) {
	return r.moveBy(ctx, roomID, by, moveResume)
}

// End ends a live or paused room for good and calls the OnEnd functions.
func (r *Rooms) End(ctx context.Context, roomID string, by *proto.User) (*proto.Room, error) {
	return r.moveBy(ctx, roomID, by, moveEnd)
}

func (r *Rooms) moveBy(ctx context.Context, roomID string, by *proto.User, m move) (*proto.Room, error) {
	if !by.GetRole().Hosts() {
		return nil, ErrForbidden
	}
	return r.move(ctx, roomID, m)
}

func (r *Rooms) move(ctx context.Context, roomID string, m move) (*proto.Room, error) {
	room, err := r.change(ctx, roomID, m.cause, func(tx pgx.Tx) (*proto.Room, error) {
		room, err := scanRoom(tx.QueryRow(ctx, moveRoom, roomID, m.to, m.cause, m.from, m.ofCause))
		if !errors.Is(err, pgx.ErrNoRows) {
			return room, err
		}
		if room, _, err = readRoom(ctx, tx, roomID); err != nil {
			return nil, err
		}
		return nil, proto.Refuse(proto.ReasonRoomState, "a room that is %s cannot be %s", phaseWords[room.Phase], m.verb)
	})
	if err != nil {
		return nil, fmt.Errorf("room %s: %w", roomID, err)
	}
	if room.Phase == proto.RoomPhase_ROOM_PHASE_ENDED {
		// The room has ended whatever becomes of this, and the host watch takes it up again.
		if err := r.finish(ctx, roomID); err != nil {
			r.cfg.Log.Warn("the end of a room is not finished yet", "room", roomID, "err", err)
		}
	}
	return room, nil
}

// finish does what follows from the end of a room.
func (r *Rooms) finish(ctx context.Context, roomID string) error {
	for _, fn := range r.cfg.OnEnd {
		if err := fn(ctx, roomID); err != nil {
			return err
		}
	}
	_, err := r.cfg.Pool.Exec(ctx, `UPDATE room SET closed_at = clock_timestamp() WHERE id = $1 AND closed_at IS NULL`, roomID)
	return err
}

// finishEnded takes up the ends of rooms that were not finished.
func (r *Rooms) finishEnded(ctx context.Context) error {
	rows, err := r.cfg.Pool.Query(ctx, `SELECT id FROM room WHERE phase = 'ended' AND closed_at IS NULL ORDER BY id LIMIT 100`)
	if err != nil {
		return fmt.Errorf("unfinished ends of rooms: %w", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("unfinished ends of rooms: %w", err)
	}
	var failed []error
	for _, id := range ids {
		if err := r.finish(ctx, id); err != nil {
			failed = append(failed, fmt.Errorf("finish room %s: %w", id, err))
		}
	}
	return errors.Join(failed...)
}
