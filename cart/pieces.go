package cart

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"livecart/proto"
)

// line is what decisions about the pieces of an order's line need, read under the order's lock.
type line struct {
	n, quantity, shipped, refunded int32
	unitPrice                      int64
}

// toShip is how many pieces may still go out: a refund takes those first that have not.
func (l line) toShip() int32 { return max(0, l.quantity-l.refunded-l.shipped) }

// toRefund is how many pieces' money has not gone back.
func (l line) toRefund() int32 { return l.quantity - l.refunded }

// readLines returns the lines of a locked order from the first.
func readLines(ctx context.Context, tx pgx.Tx, orderID string) ([]line, error) {
	rows, err := tx.Query(ctx, `SELECT n, quantity, shipped, refunded, unit_price FROM order_line WHERE order_id = $1 ORDER BY n`, orderID)
	if err != nil {
		return nil, fmt.Errorf("lines of order %s: %w", orderID, err)
	}
	lines, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (l line, err error) {
		return l, row.Scan(&l.n, &l.quantity, &l.shipped, &l.refunded, &l.unitPrice)
	})
	if err != nil {
		return nil, fmt.Errorf("lines of order %s: %w", orderID, err)
	}
	return lines, nil
}

// checkPieces refuses pieces that no order can have.
func checkPieces(pieces []*proto.LinePieces) error {
	if len(pieces) > MaxLines {
		return invalid("an order has at most %d lines", MaxLines)
	}
	seen := map[int32]bool{}
	for _, p := range pieces {
		switch n := p.GetQuantity(); {
		case p.GetLine() < 1 || p.GetLine() > MaxLines:
			return invalid("lines are counted from 1 to %d, there is no line %d", MaxLines, p.GetLine())
		case n < 1 || n > MaxQuantity:
			return proto.Refuse(proto.ReasonInvalidQuantity, "of a line it is 1 to %d pieces, not %d", MaxQuantity, n)
		case seen[p.Line]:
			return invalid("line %d is named twice", p.Line)
		}
		seen[p.Line] = true
	}
	return nil
}

// pickPieces returns how many pieces of each line are asked for: those named, or with none named all that
// are left. More of a line than left says, or nothing at all, is refused with reason.
func pickPieces(lines []line, pieces []*proto.LinePieces, left func(line) int32, reason proto.Reason) ([]int32, error) {
	picked := make([]int32, len(lines))
	var sum int32
	for _, p := range pieces {
		if int(p.Line) > len(lines) {
			return nil, invalid("the order has %d lines, there is no line %d", len(lines), p.Line)
		}
		i := p.Line - 1
		if most := left(lines[i]); p.Quantity > most {
			return nil, proto.Refuse(reason, "of line %d only %d pieces are left, not %d", p.Line, most, p.Quantity)
		}
		picked[i] = p.Quantity
		sum += p.Quantity
	}
	if len(pieces) == 0 {
		for i, l := range lines {
			picked[i] = left(l)
			sum += picked[i]
		}
	}
	if sum == 0 {
		return nil, proto.Refuse(reason, "no pieces are left")
	}
	return picked, nil
}

// numbered returns the lines of which some pieces were picked, and how many.
func numbered(lines []line, picked []int32) (ns, pieces []int32) {
	for i, n := range picked {
		if n > 0 {
			ns, pieces = append(ns, lines[i].n), append(pieces, n)
		}
	}
	return ns, pieces
}

// stateAfter is what an order in state s becomes by what happened to its pieces: all money goes back,
// or all that is not refunded is on its way.
func stateAfter(s state, lines []line) state {
	kept, waiting := false, false
	for _, l := range lines {
		kept = kept || l.toRefund() > 0
		waiting = waiting || l.toShip() > 0
	}
	switch {
	case !kept:
		return refundDue
	case s == paid && !waiting:
		return shipped
	}
	return s
}
