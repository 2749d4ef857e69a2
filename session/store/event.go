package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"livecart/proto"
)

// Retention of numbered events, the sooner of the two.
const (
	EventAge   = 24 * time.Hour
	EventCount = 10_000 // a room
)

// ErrNoRoom says that there is no such room.
var ErrNoRoom = proto.Refuse(proto.ReasonRoomNotFound, "there is no such room")

// AppendEvent gives ev the room's next number and the database's time and stores it. The room's row
// is locked from then until the end of tx, so call it last; after the commit publish ev as a hint.
func AppendEvent(ctx context.Context, tx pgx.Tx, roomID string, ev *proto.Event) error {
	var at time.Time
	err := tx.QueryRow(ctx, `UPDATE room SET seq = seq + 1 WHERE id = $1 RETURNING seq, clock_timestamp()`, roomID).Scan(&ev.Seq, &at)
	if errors.Is(err, pgx.ErrNoRows) {
		return ErrNoRoom
	}
	if err != nil {
		return fmt.Errorf("number event of room %s: %w", roomID, err)
	}
	ev.TimeMs = at.UnixMilli()
	payload, err := proto.Encode(proto.Binary, ev)
	if err != nil {
		return fmt.Errorf("encode event of room %s: %w", roomID, err)
	}
	if _, err := tx.Exec(ctx, `INSERT INTO room_event (room_id, seq, payload, at) VALUES ($1, $2, $3, $4)`, roomID, ev.Seq, payload, at); err != nil {
		return fmt.Errorf("store event %d of room %s: %w", ev.Seq, roomID, err)
	}
	return nil
}

// EventsAfter returns the room's numbered events above after, in order, at most limit of them. The
// first one has another number than after+1 where older ones were pruned.
func EventsAfter(ctx context.Context, q Querier, roomID string, after int64, limit int) ([]*proto.Event, error) {
	rows, err := q.Query(ctx, `SELECT payload FROM room_event WHERE room_id = $1 AND seq > $2 ORDER BY seq LIMIT $3`, roomID, after, limit)
	if err != nil {
		return nil, fmt.Errorf("events of room %s: %w", roomID, err)
	}
	events, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (*proto.Event, error) {
		var payload []byte
		if err := row.Scan(&payload); err != nil {
			return nil, err
		}
		ev := new(proto.Event)
		return ev, proto.Decode(proto.Binary, payload, ev)
	})
	if err != nil {
		return nil, fmt.Errorf("events of room %s: %w", roomID, err)
	}
	return events, nil
}

// Heads returns the number of the newest event of each room that exists.
func Heads(ctx context.Context, q Querier, roomIDs []string) (map[string]int64, error) {
	rows, err := q.Query(ctx, `SELECT id, seq FROM room WHERE id = ANY($1)`, roomIDs)
	if err != nil {
		return nil, fmt.Errorf("heads of rooms: %w", err)
	}
	heads := make(map[string]int64, len(roomIDs))
	var id string
	var seq int64
	_, err = pgx.ForEachRow(rows, []any{&id, &seq}, func() error {
		heads[id] = seq
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("heads of rooms: %w", err)
	}
	return heads, nil
}

// PruneEvents deletes numbered events beyond their retention and returns how many.
func PruneEvents(ctx context.Context, q Querier) (int64, error) {
	tag, err := q.Exec(ctx, `
		DELETE FROM room_event e USING room r
		WHERE r.id = e.room_id AND (e.at < now() - make_interval(secs => $1) OR e.seq <= r.seq - $2)`,
		EventAge.Seconds(), EventCount)
	if err != nil {
		return 0, fmt.Errorf("prune room events: %w", err)
	}
	return tag.RowsAffected(), nil
}
