package cart

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"livecart/proto"
)

// MaxReprices is how often the amount of one order may be lowered.
const MaxReprices = 50

// Reprice lowers the amount of an order that awaits its payment. Payments requested before are void:
// money of the old amount does not pay the order and goes back. The window for paying stays as it
// was. Sent again under the same requestID it returns the order as it is then.
//
// Refusals: ErrOrderNotFound, ErrRepriceNotUnpaid also once the window is over, ErrVersionConflict
// unless expected_version is the order's, ErrRepriceZero for an amount of 0 or less,
// ErrRepriceAboveOriginal unless it is below the present one, ErrRepriceLimit after 50, and
// ErrKeyConflict.
func (c *Cart) Reprice(ctx context.Context, by Seller, requestID string, cmd *proto.OrderReprice) (*proto.Order, error) {
	if cmd.GetAmount() <= 0 {
		return nil, ErrRepriceZero
	}
	return c.changeSold(ctx, sellerCommand{
		by: by, kind: kindOrderReprice, requestID: requestID, cmd: cmd, orderID: cmd.GetOrderId(),
		change: func(ctx context.Context, tx pgx.Tx, o lockedOrder) ([]string, error) {
			return nil, reprice(ctx, tx, o, by, cmd)
		},
	})
}

func reprice(ctx context.Context, tx pgx.Tx, o lockedOrder, by Seller, cmd *proto.OrderReprice) error {
	// The first price is version 1 and each reprice makes the next, so this is the reprice's number.
	n := o.PriceVersion
	switch {
	case o.State != awaitingPayment || o.Overdue:
		return ErrRepriceNotUnpaid
	case o.Version != cmd.ExpectedVersion:
		return ErrVersionConflict
	case cmd.Amount >= o.Amount:
		return ErrRepriceAboveOriginal
	case n > MaxReprices:
		return ErrRepriceLimit
	}
	batch := new(pgx.Batch)
	batch.Queue(`INSERT INTO order_reprice (order_id, n, from_amount, to_amount, by_id) VALUES ($1, $2, $3, $4, $5)`, o.ID, n, o.Amount, cmd.Amount, by.User.GetId())
	batch.Queue(`UPDATE orders SET amount = $2, discount = discount + amount - $2, price_version = price_version + 1 WHERE id = $1`, o.ID, cmd.Amount)
	if err := tx.SendBatch(ctx, batch).Close(); err != nil {
		return fmt.Errorf("write reprice: %w", err)
	}
	return voidPayments(ctx, tx, o.ID, "")
}
