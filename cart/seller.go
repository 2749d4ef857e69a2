package cart

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"livecart/proto"
	"livecart/session/store"
)

// Seller is who acts for a shop about its orders.
type Seller struct {
	User *proto.User
	// ShopID is the shop whose orders the seller may change. Another shop's order is as if it were not
	// there; a seller without a shop finds none.
	ShopID string
	// AllShops is an operator's: every shop's orders.
	AllShops bool
}

func (by Seller) sells(o lockedOrder) bool {
	return by.AllShops || by.ShopID != "" && by.ShopID == o.ShopID
}

// sellerCommand is one command of a seller about one order.
type sellerCommand struct {
	by        Seller
	kind      string
	requestID string
	cmd       proto.Message
	orderID   string
	// stock says that change may move stock, which is locked before the order.
	stock bool
	// change does it, on an order that is locked, and returns the open sales to which stock came back.
	change func(ctx context.Context, tx pgx.Tx, o lockedOrder) (sales []string, err error)
}

// changeSold runs a seller's command once a request_id, under the order's lock, raises the order's
// version, and tells the buyer after the commit. Sent again it returns the order as it is then.
func (c *Cart) changeSold(ctx context.Context, s sellerCommand) (*proto.Order, error) {
	if err := checkKey(s.requestID); err != nil {
		return nil, err
	}
	if !store.ValidID(s.orderID) {
		return nil, ErrOrderNotFound
	}
	var order *proto.Order
	var before state
	var sales []string
	var changed bool
	err := store.InTx(ctx, c.cfg.Pool, func(tx pgx.Tx) error {
		sales, changed = nil, false
		again, err := claimKey(ctx, tx, s.by.User.GetId(), s.kind, s.requestID, s.cmd)
		if err != nil {
			return err
		}
		if s.stock && !again {
			if err := lockStock(ctx, tx, []string{s.orderID}); err != nil {
				return err
			}
		}
		o, err := lockOrder(ctx, tx, s.orderID)
		if errors.Is(err, pgx.ErrNoRows) || err == nil && !s.by.sells(o) {
			return ErrOrderNotFound
		}
		if err != nil {
			return err
		}
		before = o.State
		if !again {
			if sales, err = s.change(ctx, tx, o); err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, `UPDATE orders SET version = version + 1 WHERE id = $1`, o.ID); err != nil {
				return err
			}
			changed = true
		}
		order, err = readOrder(ctx, tx, o.ID)
		return err
	})
	if err != nil {
		return nil, wrap(err, "%s of order %s", s.kind, s.orderID)
	}
	switch {
	case !changed:
	case stateOf(order.State) == before:
		c.cfg.tell(order)
	default:
		c.cfg.entered(order)
	}
	resyncAll(ctx, c.cfg, c.Resync, sales)
	return order, nil
}
