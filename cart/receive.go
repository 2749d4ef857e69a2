package cart

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"livecart/proto"
	"livecart/session/store"
)

// Receive completes an own order that was shipped. One that is completed already is returned as it
// is. Refusals: ErrOrderNotFound, ErrOrderState, and ErrKeyConflict for a request_id that received
// another order.
func (c *Cart) Receive(ctx context.Context, userID, requestID, orderID string) (*proto.Order, error) {
	if err := checkKey(requestID); err != nil {
		return nil, err
	}
	if !store.ValidID(orderID) {
		return nil, ErrOrderNotFound
	}
	var order *proto.Order
	var moved bool
	err := store.InTx(ctx, c.cfg.Pool, func(tx pgx.Tx) error {
		moved = false
		again, err := claimKey(ctx, tx, userID, kindOrderReceive, requestID, &proto.OrderReceive{OrderId: orderID})
		if err != nil {
			return err
		}
		o, err := lockOwnOrder(ctx, tx, userID, orderID)
		if err != nil {
			return err
		}
		switch {
		case o.State == shipped:
			if err := moveOrder(ctx, tx, orderID, shipped, completed, "buyer"); err != nil {
				return err
			}
			moved = true
		case o.State != completed && !again:
			return ErrOrderState
		}
		order, err = readOrder(ctx, tx, orderID)
		return err
	})
	if err != nil {
		return nil, wrap(err, "receive order %s", orderID)
	}
	if moved {
		c.cfg.entered(order)
	}
	return order, nil
}

// completeOrders completes the orders that were shipped longer ago than cfg.CompleteAfter.
func (s *sweeper) completeOrders(ctx context.Context) error {
	return s.sweep(ctx, `
		SELECT id, shipped_at FROM orders
		WHERE state = 'shipped' AND shipped_at <= now() - make_interval(secs => $4) AND (shipped_at, id) > ($1, $2)
		ORDER BY shipped_at, id LIMIT $3`, "complete", s.complete, s.cfg.CompleteAfter.Seconds())
}

// complete moves those of the orders on that are shipped under their locks. One that somebody else has
// locked is left for the next time.
func (s *sweeper) complete(ctx context.Context, tx pgx.Tx, ids []string) ([]*proto.Order, []string, error) {
	locked, err := collectIDs(ctx, tx, `SELECT id FROM orders WHERE id = ANY ($1) ORDER BY id FOR UPDATE SKIP LOCKED`, ids)
	if err != nil {
		return nil, nil, err
	}
	moved, err := moveOrders(ctx, tx, locked, shipped, completed, fmt.Sprintf("shipped for %v", s.cfg.CompleteAfter))
	if err != nil {
		return nil, nil, err
	}
	orders, err := readOrders(ctx, tx, moved)
	return orders, nil, err
}
