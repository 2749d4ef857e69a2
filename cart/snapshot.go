package cart

import (
	"context"
	_ "embed"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"

	"livecart/proto"
)

const (
	// welcomeShelf is how many shelf entries a welcome carries; the rest is read over HTTP.
	welcomeShelf = 20
	// maxOpenOrders is how many open orders a viewer is told of when joining.
	maxOpenOrders = 20
)

//go:embed sql/open_orders.sql
var openOrdersSQL string

// Snapshot fills in what a joining viewer needs of the room's shop: the product on show, the sales
// that are announced or running, and the beginning of the shelf.
func (c *Cart) Snapshot(ctx context.Context, tx pgx.Tx, roomID string, w *proto.SessionWelcome) (err error) {
	if w.OnShow, err = readOnShow(ctx, tx, roomID); err != nil {
		return err
	}
	if w.Sales, err = readSales(ctx, tx, roomID); err != nil {
		return err
	}
	if w.Shelf, err = readShelf(ctx, tx, roomID, welcomeShelf); err != nil {
		return err
	}
	if err := tx.QueryRow(ctx, `SELECT count(*) FROM shelf WHERE room_id = $1`, roomID).Scan(&w.ShelfTotal); err != nil {
		return fmt.Errorf("shelf of room %s: %w", roomID, err)
	}
	return nil
}

// Self fills in the open orders of viewers, by user id: the newest 20 of each in any room, those
// that await payment, are paid or shipped, or are to be refunded.
func (c *Cart) Self(ctx context.Context, tx pgx.Tx, roomID string, selves map[string]*proto.SessionSelf) error {
	rows, err := tx.Query(ctx, openOrdersSQL, slices.Collect(maps.Keys(selves)), maxOpenOrders)
	if err != nil {
		return fmt.Errorf("open orders: %w", err)
	}
	var ids []string
	var userID, id string
	if _, err := pgx.ForEachRow(rows, []any{&userID, &id}, func() error {
		ids = append(ids, id)
		return nil
	}); err != nil {
		return fmt.Errorf("open orders: %w", err)
	}
	orders, err := readOrders(ctx, tx, ids)
	if err != nil {
		return err
	}
	for _, o := range orders {
		self := selves[o.Buyer.Id]
		self.OpenOrders = append(self.OpenOrders, o)
	}
	return nil
}
