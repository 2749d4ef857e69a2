package cart

import (
	"context"
	_ "embed"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"livecart/proto"
	"livecart/session/store"
)

//go:embed sql/read_orders.sql
var readOrdersSQL string

// readOrders returns the orders of the given ids in the same order, as the wire shows them. Ids of
// no order are left out.
func readOrders(ctx context.Context, q store.Querier, ids []string) ([]*proto.Order, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	rows, err := q.Query(ctx, readOrdersSQL, ids)
	if err != nil {
		return nil, fmt.Errorf("read orders: %w", err)
	}
	found, err := pgx.CollectRows(rows, scanOrder)
	if err != nil {
		return nil, fmt.Errorf("read orders: %w", err)
	}
	byID := make(map[string]*proto.Order, len(found))
	for _, o := range found {
		byID[o.Id] = o
	}
	orders := make([]*proto.Order, 0, len(found))
	for _, id := range ids {
		if o := byID[id]; o != nil {
			orders = append(orders, o)
		}
	}
	return orders, nil
}

// scanOrder reads a row of read_orders.sql.
func scanOrder(row pgx.CollectableRow) (*proto.Order, error) {
	o := &proto.Order{Buyer: &proto.User{Role: proto.Role_ROLE_VIEWER}}
	var (
		word                           string
		shipTo, after                  []byte
		created, expires               time.Time
		listings, skus, titles, images []string
		quantities, shipped, refunded  []int32
		prices                         []int64
	)
	if err := row.Scan(&o.Id, &o.ShopId, &o.RoomId, &o.SaleId, &o.Buyer.Id, &o.Buyer.Name, &o.RequestId, &word, &o.Currency,
		&o.Amount, &o.Discount, &o.PriceVersion, &shipTo, &created, &expires, &o.Version,
		&listings, &skus, &titles, &images, &quantities, &prices, &shipped, &refunded, &after); err != nil {
		return nil, err
	}
	o.State = state(word).wire()
	o.CreatedMs, o.ExpiresAtMs = created.UnixMilli(), expires.UnixMilli()
	if shipTo != nil {
		o.ShipTo = new(proto.Address)
		if err := proto.Decode(proto.JSON, shipTo, o.ShipTo); err != nil {
			return nil, fmt.Errorf("address of order %s: %w", o.Id, err)
		}
	}
	for i := range listings {
		o.Lines = append(o.Lines, &proto.OrderLine{
			ListingId: listings[i], SkuId: skus[i], Title: titles[i], ImageUrl: images[i], Quantity: quantities[i], UnitPrice: prices[i],
			Shipped: shipped[i], Refunded: refunded[i],
		})
	}
	if after != nil {
		var rest proto.Order
		if err := proto.Decode(proto.JSON, after, &rest); err != nil {
			return nil, fmt.Errorf("shipments and refunds of order %s: %w", o.Id, err)
		}
		o.Shipments, o.Refunds = rest.Shipments, rest.Refunds
		for _, r := range o.Refunds {
			o.Refunded += r.Amount
		}
	}
	return o, nil
}

// orderUpdated returns the private events that tell each buyer of the own order.
func orderUpdated(orders ...*proto.Order) []*proto.PrivateEvent {
	events := make([]*proto.PrivateEvent, len(orders))
	now := time.Now().UnixMilli()
	for i, o := range orders {
		events[i] = &proto.PrivateEvent{UserId: o.Buyer.Id, Event: &proto.Event{
			TimeMs: now,
			Event:  &proto.Event_OrderUpdated{OrderUpdated: &proto.OrderUpdated{Order: o}},
		}}
	}
	return events
}
