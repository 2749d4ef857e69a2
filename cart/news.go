package cart

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"

	"livecart/proto"
	"livecart/session/store"
)

// roomNews gathers the numbered events of one transaction by room. Gather first, number last: the
// rooms' rows are its last locks. After the commit they are published as hints.
type roomNews map[string][]*proto.Event

func (n roomNews) add(roomID string, ev *proto.Event) { n[roomID] = append(n[roomID], ev) }

// number numbers and stores all events, room by room in sorted order.
func (n roomNews) number(ctx context.Context, tx pgx.Tx) error {
	for _, roomID := range slices.Sorted(maps.Keys(n)) {
		for _, ev := range n[roomID] {
			if err := store.AppendEvent(ctx, tx, roomID, ev); err != nil {
				return err
			}
		}
	}
	return nil
}

// publish sends the hints; a room that misses them reads them by their numbers.
func (n roomNews) publish(cfg Config) {
	for roomID, events := range n {
		if err := cfg.Bus.PublishRoom(roomID, events...); err != nil {
			cfg.Log.Warn("a room was not told at once", "room", roomID, "err", err)
		}
	}
}

func productUpdatedEvent(p *proto.Product, position int32) *proto.Event {
	return &proto.Event{Event: &proto.Event_ProductUpdated{ProductUpdated: &proto.ProductUpdated{Product: p, Position: position}}}
}

func productPushedEvent(pushed *proto.ProductPushed) *proto.Event {
	return &proto.Event{Event: &proto.Event_ProductPushed{ProductPushed: pushed}}
}

// productUpdated adds an event for each room that has the product on its shelf and has not ended.
func (n roomNews) productUpdated(ctx context.Context, tx pgx.Tx, p *proto.Product) error {
	rows, err := tx.Query(ctx, `
		SELECT s.room_id, s.position FROM shelf s JOIN room r ON r.id = s.room_id
		WHERE s.product_id = $1 AND r.phase <> 'ended'`, p.Id)
	if err != nil {
		return err
	}
	var roomID string
	var position int32
	_, err = pgx.ForEachRow(rows, []any{&roomID, &position}, func() error {
		n.add(roomID, productUpdatedEvent(p, position))
		return nil
	})
	return err
}

// hide takes a product off show, in one room or with an empty roomID in all.
func (n roomNews) hide(ctx context.Context, tx pgx.Tx, productID, roomID string) error {
	rows, err := tx.Query(ctx, `DELETE FROM pop_up WHERE product_id = $1 AND ($2 = '' OR room_id = $2) RETURNING room_id`, productID, roomID)
	if err != nil {
		return err
	}
	rooms, err := pgx.CollectRows(rows, pgx.RowTo[string])
	for _, id := range rooms {
		n.add(id, productPushedEvent(&proto.ProductPushed{}))
	}
	return err
}

// roomRow is what the shop side needs of a room; the room's own package owns the rest.
type roomRow struct {
	phase, shopID string
}

func readRoom(ctx context.Context, q store.Querier, roomID string) (roomRow, error) {
	var r roomRow
	err := q.QueryRow(ctx, `SELECT phase, shop_id FROM room WHERE id = $1`, roomID).Scan(&r.phase, &r.shopID)
	if errors.Is(err, pgx.ErrNoRows) {
		return r, ErrRoomNotFound
	}
	return r, err
}

// onAir reports whether the room is live or only paused.
func (r roomRow) onAir() bool { return r.phase == "live" || r.phase == "paused" }
