package cart

import (
	"context"
	_ "embed"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"livecart/proto"
	"livecart/session/store"
)

const (
	// welcomeShelf is how many shelf entries a welcome carries; the rest is read over HTTP.
	welcomeShelf = 20
	// maxOpenOrders is how many open orders a viewer is told of when joining.
	maxOpenOrders = 20
)

//go:embed sql/open_orders.sql
var openOrdersSQL string

//go:embed sql/room_sales.sql
var roomSalesSQL string

// Snapshot fills in what a joining viewer needs of the room's shop: the product on show, the sales
// that are announced or running, and the beginning of the shelf.
func (c *Cart) Snapshot(ctx context.Context, tx pgx.Tx, roomID string, w *proto.SessionWelcome) (err error) {
	if w.OnShow, err = readOnShow(ctx, tx, roomID); err != nil {
		return err
	}
	if w.Sales, err = roomSales(ctx, tx, roomID); err != nil {
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

// roomSales returns the room's sales that are not closed. Available is what Postgres counts: pieces
// that are reserved but not decided count as available here, and flash_stock follows.
func roomSales(ctx context.Context, q store.Querier, roomID string) ([]*proto.FlashSale, error) {
	rows, err := q.Query(ctx, roomSalesSQL, roomID)
	if err != nil {
		return nil, fmt.Errorf("sales of room %s: %w", roomID, err)
	}
	sales, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (*proto.FlashSale, error) {
		s := &proto.FlashSale{Phase: proto.SalePhase_SALE_PHASE_ANNOUNCED}
		var starts, ends time.Time
		var open bool
		if err := row.Scan(&s.Id, &s.ProductId, &s.ListingId, &s.SkuId, &s.Title, &s.ImageUrl, &s.Currency, &s.Price, &s.OriginalPrice,
			&s.Quantity, &s.Sold, &s.PerBuyerLimit, &starts, &ends, &s.Version, &s.SoldOut, &open); err != nil {
			return nil, err
		}
		if open {
			s.Phase = proto.SalePhase_SALE_PHASE_OPEN
		}
		s.StartsAtMs, s.EndsAtMs = starts.UnixMilli(), ends.UnixMilli()
		s.Available = s.Quantity - s.Sold
		return s, nil
	})
	if err != nil {
		return nil, fmt.Errorf("sales of room %s: %w", roomID, err)
	}
	return sales, nil
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
