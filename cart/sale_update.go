package cart

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"livecart/proto"
)

// UpdateSale changes a sale's quantity, limit or end; what the command leaves out stays. Pieces are
// moved out of the sku or back. Sent again under the same request_id it returns the sale as it is
// then.
//
// Refusals: ErrSaleNotFound, ErrSaleEnded, ErrVersionConflict, ErrKeyConflict, ErrInvalidQuantity
// (below what is sold, above 1,000,000 or above what the sku has free), and invalid_argument for a
// limit below 0 or an end that is over or leaves the sale's time outside 10 s to 24 h.
func (c *Cart) UpdateSale(ctx context.Context, roomID string, by *proto.User, requestID string, cmd *proto.FlashUpdate) (*proto.FlashSale, error) {
	if cmd.PerBuyerLimit != nil {
		if err := checkLimit(*cmd.PerBuyerLimit); err != nil {
			return nil, err
		}
	}
	return c.changeSale(ctx, roomID, by, "flash_update", requestID, cmd, cmd.GetSaleId(), cmd.GetExpectedVersion(),
		func(tx pgx.Tx, sale *saleRow, now time.Time, news roomNews) error {
			return updateSale(ctx, tx, sale, now, cmd, news)
		})
}

func updateSale(ctx context.Context, tx pgx.Tx, sale *saleRow, now time.Time, cmd *proto.FlashUpdate, news roomNews) error {
	if cmd.Quantity != nil {
		n := *cmd.Quantity
		if n < max(1, sale.sold) || n > MaxSaleQuantity {
			return proto.Refuse(proto.ReasonInvalidQuantity, "the quantity is %d to %d, not %d", max(1, sale.sold), MaxSaleQuantity, n)
		}
		if err := moveFromSku(ctx, tx, sale.skuID, n-sale.quantity); err != nil {
			return err
		}
		sale.quantity = n
	}
	if cmd.PerBuyerLimit != nil {
		sale.limit = *cmd.PerBuyerLimit
	}
	if cmd.EndsAtMs != nil {
		ends := time.UnixMilli(*cmd.EndsAtMs)
		if d := ends.Sub(sale.startsAt); !ends.After(now) || d < MinSaleTime || d > MaxSaleTime {
			return invalid("a sale ends in the future and lasts %v to %v", MinSaleTime, MaxSaleTime)
		}
		sale.endsAt = ends
	}
	emptied := sale.sold == sale.quantity && !sale.soldOut
	sale.soldOut = sale.sold == sale.quantity
	sale.version++
	_, err := tx.Exec(ctx, `
		UPDATE sale SET quantity = $2, per_buyer_limit = $3, ends_at = $4, sold_out = $5, version = $6,
			widest_limit = CASE WHEN $3 = 0 OR widest_limit = 0 THEN 0 ELSE greatest(widest_limit, $3) END
		WHERE id = $1`,
		sale.id, sale.quantity, sale.limit, sale.endsAt, sale.soldOut, sale.version)
	if err != nil {
		return fmt.Errorf("update sale %s: %w", sale.id, err)
	}
	news.add(sale.roomID, &proto.Event{Event: &proto.Event_FlashUpdated{FlashUpdated: &proto.FlashUpdated{Sale: sale.wire(now)}}})
	if emptied {
		news.add(sale.roomID, soldOutEvent(sale.id))
	}
	return nil
}

func soldOutEvent(saleID string) *proto.Event {
	return &proto.Event{Event: &proto.Event_FlashSoldOut{FlashSoldOut: &proto.FlashSoldOut{SaleId: saleID}}}
}
