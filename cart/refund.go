package cart

import (
	"context"
	_ "embed"
	"fmt"

	"github.com/jackc/pgx/v5"

	"livecart/proto"
	"livecart/session/store"
)

const (
	// MaxRefunds is how many refunds an order has; one more may give back all that is left.
	MaxRefunds = 50
	// maxRefundReason is the longest reason of a refund, in characters.
	maxRefundReason = 200
)

//go:embed sql/return_pieces.sql
var returnPiecesSQL string

// Refund gives money of a paid, shipped or completed order back, for some pieces or with none named
// for all that are left. The provider is asked for it later; the order shows it at once. Pieces go
// back to the stock only where restock says so, which must be given. When nothing is left the order
// is refund_due, and refunded once the provider gave all of it. A paid order of which something was
// shipped and the rest is refunded is shipped.
//
// The refunds of an order add up: after pieces worth g of the lines' sum t it is amount × g ÷ t
// rounded down, so that all of them together are exactly the amount. A step may come to 0.
//
// Sent again under the same requestID it returns the order as it is then. Refusals: ErrOrderNotFound,
// ErrOrderState, ErrRefundExceedsPaid for more of a line than is left, ErrInvalidQuantity,
// ErrKeyConflict, and invalid_argument without restock, for a reason above 200 characters, a line that
// the order has not, or a 51st refund that leaves something.
func (c *Cart) Refund(ctx context.Context, by Seller, requestID string, cmd *proto.OrderRefund) (*proto.Order, error) {
	if cmd.Restock == nil {
		return nil, invalid("restock must say whether the pieces go back to the stock")
	}
	if err := checkText("reason", cmd.GetReason(), 0, maxRefundReason); err != nil {
		return nil, err
	}
	if err := checkPieces(cmd.GetPieces()); err != nil {
		return nil, err
	}
	return c.changeSold(ctx, sellerCommand{
		by: by, kind: kindOrderRefund, requestID: requestID, cmd: cmd, orderID: cmd.GetOrderId(), stock: cmd.GetRestock(),
		change: func(ctx context.Context, tx pgx.Tx, o lockedOrder) ([]string, error) {
			return refund(ctx, tx, o, by, requestID, cmd)
		},
	})
}

// refund writes a refund of a locked order and moves the order; with restock its stock is locked too.
func refund(ctx context.Context, tx pgx.Tx, o lockedOrder, by Seller, requestID string, cmd *proto.OrderRefund) ([]string, error) {
	if o.State != paid && o.State != shipped && o.State != completed {
		return nil, ErrOrderState
	}
	lines, err := readLines(ctx, tx, o.ID)
	if err != nil {
		return nil, err
	}
	picked, err := pickPieces(lines, cmd.Pieces, line.toRefund, proto.ReasonRefundExceedsPaid)
	if err != nil {
		return nil, err
	}
	weights := make([]int64, len(lines))
	var gross, sum int64
	for i := range lines {
		weights[i] = lines[i].unitPrice * int64(picked[i])
		lines[i].refunded += picked[i]
		gross += lines[i].unitPrice * int64(lines[i].refunded)
		sum += lines[i].unitPrice * int64(lines[i].quantity)
	}
	after := stateAfter(o.State, lines)
	given, err := readGiven(ctx, tx, o.ID)
	if err != nil {
		return nil, err
	}
	total := share(o.Amount, gross, sum)
	if total < given.amount || total > given.paid {
		return nil, ErrRefundExceedsPaid
	}
	if given.refunds >= MaxRefunds && after != refundDue {
		return nil, invalid("an order has %d refunds, and one more for all that is left", MaxRefunds)
	}
	id := store.NewID("ref")
	amount := total - given.amount
	ns, pieces := numbered(lines, picked)
	var amounts []int64
	for i, part := range splitRefund(amount, weights) {
		if picked[i] > 0 {
			amounts = append(amounts, part)
		}
	}
	batch := new(pgx.Batch)
	batch.Queue(`
		INSERT INTO refund (id, order_id, payment_id, kind, provider, amount, currency, restock, reason, requested_by, request_id, state, done_at)
		SELECT $1, order_id, id, 'order', provider, $3::bigint, currency, $4, $5, $6, $7,
		       CASE WHEN $3::bigint = 0 THEN 'done' ELSE 'due' END, CASE WHEN $3::bigint = 0 THEN clock_timestamp() END
		FROM payment WHERE id = $2`, id, given.paymentID, amount, cmd.GetRestock(), cmd.Reason, by.User.GetId(), requestID)
	batch.Queue(`
		INSERT INTO refund_line (refund_id, n, quantity, amount)
		SELECT $1, p.n, p.pieces, p.amount FROM unnest($2::int[], $3::int[], $4::bigint[]) AS p (n, pieces, amount)`, id, ns, pieces, amounts)
	batch.Queue(`
		UPDATE order_line SET refunded = refunded + p.pieces FROM unnest($2::int[], $3::int[]) AS p (n, pieces)
		WHERE order_id = $1 AND order_line.n = p.n`, o.ID, ns, pieces)
	if cmd.GetRestock() {
		batch.Queue(returnPiecesSQL, o.ID, ns, pieces)
	}
	if err := tx.SendBatch(ctx, batch).Close(); err != nil {
		return nil, fmt.Errorf("write refund: %w", err)
	}
	if err := moveRefunded(ctx, tx, o, after, "refund "+id); err != nil || !cmd.GetRestock() {
		return nil, err
	}
	return openSales(ctx, tx, []string{o.ID})
}

// given is what an order's buyer has paid, and what has gone back or is due to.
type given struct {
	paymentID    string
	paid, amount int64
	refunds      int
}

func readGiven(ctx context.Context, tx pgx.Tx, orderID string) (g given, err error) {
	err = tx.QueryRow(ctx, `
		SELECT p.id, p.amount, r.amount, r.n
		FROM payment p CROSS JOIN (
			SELECT coalesce(sum(amount), 0)::bigint AS amount, count(*) AS n FROM refund WHERE order_id = $1 AND kind = 'order'
		) r
		WHERE p.order_id = $1 AND p.state = 'accepted'`, orderID).Scan(&g.paymentID, &g.paid, &g.amount, &g.refunds)
	if err != nil {
		return g, fmt.Errorf("what was paid for order %s: %w", orderID, err)
	}
	return g, nil
}

// moveRefunded moves an order to the state that a refund leads to, and on where nothing is due.
func moveRefunded(ctx context.Context, tx pgx.Tx, o lockedOrder, after state, cause string) error {
	switch {
	case after == o.State:
		return nil
	case after == shipped:
		return becomeShipped(ctx, tx, o.ID, cause)
	}
	if err := moveOrder(ctx, tx, o.ID, o.State, after, cause); err != nil {
		return err
	}
	o.State = after
	_, err := settleRefunds(ctx, tx, o, cause)
	return err
}

// settleRefunds moves a locked order that is refund_due to refunded once nothing is due any more: no
// refund of its pieces, or where no payment was accepted no money that paid nothing.
func settleRefunds(ctx context.Context, tx pgx.Tx, o lockedOrder, cause string) (moved bool, err error) {
	if o.State != refundDue {
		return false, nil
	}
	var due bool
	err = tx.QueryRow(ctx, `
		SELECT CASE WHEN EXISTS (SELECT FROM payment WHERE order_id = $1 AND state = 'accepted')
			THEN EXISTS (SELECT FROM refund WHERE order_id = $1 AND kind = 'order' AND state = 'due')
			ELSE EXISTS (SELECT FROM refund WHERE order_id = $1 AND state = 'due') OR EXISTS (SELECT FROM payment WHERE order_id = $1 AND state = 'refund_due')
		END`, o.ID).Scan(&due)
	if err != nil {
		return false, fmt.Errorf("what is due of order %s: %w", o.ID, err)
	}
	if due {
		return false, nil
	}
	return true, moveOrder(ctx, tx, o.ID, refundDue, refunded, cause)
}

// finishRefund records that the provider has given a refund's money back. The payment of a refund of
// kind 'payment' is refunded once none of its refunds is due, and an order that was refund_due is
// refunded when nothing is due any more.
//
// It returns the order where this changed it, to be told to the buyer, and nil where it did not: the
// refund was done already, or the order has nothing to do with it. Locks the order, then the refund;
// pgx.ErrNoRows is for a refund that does not exist.
func finishRefund(ctx context.Context, tx pgx.Tx, refundID string) (*proto.Order, error) {
	var orderID, paymentID, kind string
	// These never change, so reading them before the lock does no harm.
	err := tx.QueryRow(ctx, `SELECT order_id, payment_id, kind FROM refund WHERE id = $1`, refundID).Scan(&orderID, &paymentID, &kind)
	if err != nil {
		return nil, fmt.Errorf("read refund %s: %w", refundID, err)
	}
	o, err := lockOrder(ctx, tx, orderID)
	if err != nil {
		return nil, err
	}
	tag, err := tx.Exec(ctx, `UPDATE refund SET state = 'done', done_at = clock_timestamp() WHERE id = $1 AND state = 'due'`, refundID)
	if err != nil {
		return nil, fmt.Errorf("finish refund %s: %w", refundID, err)
	}
	if tag.RowsAffected() == 0 {
		return nil, nil
	}
	if kind == "payment" {
		_, err = tx.Exec(ctx, `
			UPDATE payment SET state = 'refunded' WHERE id = $1 AND state = 'refund_due'
			AND NOT EXISTS (SELECT FROM refund WHERE payment_id = $1 AND state = 'due')`, paymentID)
	} else {
		_, err = tx.Exec(ctx, `UPDATE orders SET version = version + 1 WHERE id = $1`, orderID)
	}
	if err != nil {
		return nil, fmt.Errorf("finish refund %s: %w", refundID, err)
	}
	moved, err := settleRefunds(ctx, tx, o, "refund "+refundID)
	if err != nil || !moved && kind == "payment" {
		return nil, err
	}
	return readOrder(ctx, tx, orderID)
}
