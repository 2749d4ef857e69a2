package cart

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"livecart/proto"
	"livecart/session/store"
)

// MaxShipments is how many waybills an order has; one more may take all that is left.
const MaxShipments = 50

// maxWaybill is the longest name of a carrier and the longest waybill, in characters.
const maxWaybill = 80

// Ship sends pieces of a paid order out under a waybill; with none named, all that are left. Once
// everything is on its way that is not refunded, the order is shipped. Sent again under the same
// requestID it returns the order as it is then.
//
// Refusals: ErrOrderNotFound, ErrOrderState unless the order is paid and not wholly shipped,
// ErrAddressRequired, ErrInvalidQuantity for more of a line than is left, ErrKeyConflict, and
// invalid_argument for a carrier or a waybill outside 1 to 80 characters, a line that the order has
// not, or a 51st waybill that leaves something behind.
func (c *Cart) Ship(ctx context.Context, by Seller, requestID string, cmd *proto.OrderShip) (*proto.Order, error) {
	err := errors.Join(checkText("carrier", cmd.GetCarrier(), 1, maxWaybill), checkText("waybill", cmd.GetWaybill(), 1, maxWaybill))
	if err == nil {
		err = checkPieces(cmd.GetPieces())
	}
	if err != nil {
		return nil, err
	}
	return c.changeSold(ctx, sellerCommand{
		by: by, kind: kindOrderShip, requestID: requestID, cmd: cmd, orderID: cmd.GetOrderId(),
		change: func(ctx context.Context, tx pgx.Tx, o lockedOrder) ([]string, error) {
			return nil, ship(ctx, tx, o, by, cmd)
		},
	})
}

func ship(ctx context.Context, tx pgx.Tx, o lockedOrder, by Seller, cmd *proto.OrderShip) error {
	switch {
	case o.State != paid:
		return ErrOrderState
	case !o.HasAddress:
		return ErrAddressRequired
	}
	lines, err := readLines(ctx, tx, o.ID)
	if err != nil {
		return err
	}
	picked, err := pickPieces(lines, cmd.Pieces, line.toShip, proto.ReasonInvalidQuantity)
	if err != nil {
		return err
	}
	for i, n := range picked {
		lines[i].shipped += n
	}
	after := stateAfter(o.State, lines)
	var before int
	if err := tx.QueryRow(ctx, `SELECT count(*) FROM shipment WHERE order_id = $1`, o.ID).Scan(&before); err != nil {
		return fmt.Errorf("count shipments: %w", err)
	}
	if before >= MaxShipments && after != shipped {
		return invalid("an order has %d waybills, and one more for all that is left", MaxShipments)
	}
	id := store.NewID("ship")
	ns, pieces := numbered(lines, picked)
	batch := new(pgx.Batch)
	batch.Queue(`INSERT INTO shipment (id, order_id, carrier, waybill, by_id) VALUES ($1, $2, $3, $4, $5)`, id, o.ID, cmd.Carrier, cmd.Waybill, by.User.GetId())
	batch.Queue(`INSERT INTO shipment_line (shipment_id, n, quantity) SELECT $1, p.n, p.pieces FROM unnest($2::int[], $3::int[]) AS p (n, pieces)`, id, ns, pieces)
	batch.Queue(`
		UPDATE order_line SET shipped = shipped + p.pieces FROM unnest($2::int[], $3::int[]) AS p (n, pieces)
		WHERE order_id = $1 AND order_line.n = p.n`, o.ID, ns, pieces)
	if err := tx.SendBatch(ctx, batch).Close(); err != nil {
		return fmt.Errorf("write shipment: %w", err)
	}
	if after == shipped {
		return becomeShipped(ctx, tx, o.ID, "shipment "+id)
	}
	return nil
}

// becomeShipped moves a paid order on whose pieces are all on their way; the buyer's time to receive
// begins.
func becomeShipped(ctx context.Context, tx pgx.Tx, orderID, cause string) error {
	if err := moveOrder(ctx, tx, orderID, paid, shipped, cause); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `UPDATE orders SET shipped_at = clock_timestamp() WHERE id = $1`, orderID); err != nil {
		return fmt.Errorf("ship order %s: %w", orderID, err)
	}
	return nil
}
