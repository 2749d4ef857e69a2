package cart

import (
	"context"

	"github.com/jackc/pgx/v5"

	"livecart/proto"
	"livecart/session/store"
)

// Cancel ends an own order that awaits its payment and gives its pieces back. An order that is
// cancelled already is returned as it is. Refusals: ErrOrderNotFound, ErrOrderState, and
// ErrKeyConflict for a request_id that cancelled another order.
func (c *Cart) Cancel(ctx context.Context, userID, requestID, orderID string) (*proto.Order, error) {
	if err := checkKey(requestID); err != nil {
		return nil, err
	}
	if !store.ValidID(orderID) {
		return nil, ErrOrderNotFound
	}
	var order *proto.Order
	var sales []string
	var moved bool
	err := store.InTx(ctx, c.cfg.Pool, func(tx pgx.Tx) error {
		sales, moved = nil, false
		if _, err := claimKey(ctx, tx, userID, kindOrderCancel, requestID, &proto.OrderCancel{OrderId: orderID}); err != nil {
			return err
		}
		ids := []string{orderID}
		if err := lockStock(ctx, tx, ids); err != nil {
			return err
		}
		o, err := lockOwnOrder(ctx, tx, userID, orderID)
		if err != nil {
			return err
		}
		switch o.State {
		case awaitingPayment:
			if err := moveOrder(ctx, tx, orderID, awaitingPayment, cancelled, "buyer"); err != nil {
				return err
			}
			if sales, err = returnStock(ctx, tx, ids); err != nil {
				return err
			}
			if err := voidPayments(ctx, tx, orderID, ""); err != nil {
				return err
			}
			moved = true
		case cancelled:
		default:
			return ErrOrderState
		}
		order, err = readOrder(ctx, tx, orderID)
		return err
	})
	if err != nil {
		return nil, wrap(err, "cancel order %s", orderID)
	}
	if moved {
		c.cfg.entered(order)
	}
	resyncAll(ctx, c.cfg, c.Resync, sales)
	return order, nil
}

// resyncAll has the sales' Redis counters count anew. A sale that cannot be counted now is counted
// with the next periodic Resync.
func resyncAll(ctx context.Context, cfg Config, resync func(ctx context.Context, saleID string) error, saleIDs []string) {
	for _, id := range saleIDs {
		if err := resync(ctx, id); err != nil {
			cfg.Log.Warn("stock of a sale returned but is not on offer yet", "sale", id, "err", err)
		}
	}
}
