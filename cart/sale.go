package cart

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"livecart/proto"
	"livecart/session/store"
)

// Limits of a flash sale.
const (
	MaxSaleQuantity = 1_000_000
	// MaxSaleAhead is how far ahead a sale may be announced.
	MaxSaleAhead = 24 * time.Hour
	MinSaleTime  = 10 * time.Second
	MaxSaleTime  = 24 * time.Hour
)

// Why a sale ended, as flash_ended tells it.
const (
	causeTime      = "time"
	causeStopped   = "stopped"
	causeRoomEnded = "room_ended"
)

// saleRow is a flash sale as Postgres keeps it. Money is in minor units.
type saleRow struct {
	id, roomID, shopID, productID, listingID, skuID string
	title, imageURL, currency                       string
	price, originalPrice                            int64
	quantity, sold                                  int64
	limit                                           int32 // pieces of one buyer, 0 for no limit
	startsAt, endsAt                                time.Time
	closed, soldOut                                 bool
	version, epoch                                  int64
	createdBy, redisRun                             string
	hostID                                          string // of the room
}

// saleColumns are what scanSale reads.
const saleColumns = `id, room_id, shop_id, product_id, listing_id, sku_id, title, image_url, currency, price, original_price,
	quantity, sold, per_buyer_limit, starts_at, ends_at, closed_at IS NOT NULL, sold_out, version, epoch, created_by, redis_run,
	coalesce((SELECT host_id FROM room WHERE room.id = sale.room_id), '')`

func scanSale(row pgx.CollectableRow) (*saleRow, error) {
	s := new(saleRow)
	return s, row.Scan(&s.id, &s.roomID, &s.shopID, &s.productID, &s.listingID, &s.skuID, &s.title, &s.imageURL, &s.currency,
		&s.price, &s.originalPrice, &s.quantity, &s.sold, &s.limit, &s.startsAt, &s.endsAt, &s.closed, &s.soldOut, &s.version,
		&s.epoch, &s.createdBy, &s.redisRun, &s.hostID)
}

// lockSalesSQL locks the sales of a list of ids in their order.
const lockSalesSQL = `SELECT ` + saleColumns + ` FROM sale WHERE id = ANY ($1) ORDER BY id FOR UPDATE`

// lockSales locks sales in the order of their ids and returns those that exist. Read the clock, and
// everything else that must not be older than the locks, in a later statement.
func lockSales(ctx context.Context, tx pgx.Tx, ids []string) (map[string]*saleRow, error) {
	rows, err := tx.Query(ctx, lockSalesSQL, ids)
	if err != nil {
		return nil, fmt.Errorf("lock sales: %w", err)
	}
	return collectSales(rows)
}

// collectSales reads what lockSalesSQL locked.
func collectSales(rows pgx.Rows) (map[string]*saleRow, error) {
	locked, err := pgx.CollectRows(rows, scanSale)
	if err != nil {
		return nil, fmt.Errorf("lock sales: %w", err)
	}
	sales := make(map[string]*saleRow, len(locked))
	for _, s := range locked {
		sales[s.id] = s
	}
	return sales, nil
}

// lockSale locks one sale and returns it with the database's clock, read afterwards.
func lockSale(ctx context.Context, tx pgx.Tx, id string) (*saleRow, time.Time, error) {
	sales, err := lockSales(ctx, tx, []string{id})
	if err != nil {
		return nil, time.Time{}, err
	}
	sale := sales[id]
	if sale == nil {
		return nil, time.Time{}, ErrSaleNotFound
	}
	var now time.Time
	if err := tx.QueryRow(ctx, `SELECT clock_timestamp()`).Scan(&now); err != nil {
		return nil, time.Time{}, fmt.Errorf("read the clock: %w", err)
	}
	return sale, now, nil
}

// endedAt reports whether nothing can be bought any more; once true it stays so.
func (s *saleRow) endedAt(now time.Time) bool { return s.closed || !now.Before(s.endsAt) }

// isOwn reports whether somebody may not buy in this sale: hosts and moderators, the room's host whatever
// the own token says, and who started the sale.
func (s *saleRow) isOwn(u *proto.User) bool {
	return u.GetRole() == proto.Role_ROLE_HOST || u.GetRole() == proto.Role_ROLE_MODERATOR ||
		u.GetId() == s.hostID || u.GetId() == s.createdBy
}

func (s *saleRow) phase(now time.Time) proto.SalePhase {
	switch {
	case s.endedAt(now):
		return proto.SalePhase_SALE_PHASE_ENDED
	case now.Before(s.startsAt):
		return proto.SalePhase_SALE_PHASE_ANNOUNCED
	}
	return proto.SalePhase_SALE_PHASE_OPEN
}

func (s *saleRow) wire(now time.Time) *proto.FlashSale {
	sale := &proto.FlashSale{
		Id: s.id, ProductId: s.productID, ListingId: s.listingID, SkuId: s.skuID, Title: s.title, ImageUrl: s.imageURL,
		Currency: s.currency, Price: s.price, OriginalPrice: s.originalPrice, Quantity: s.quantity, Sold: s.sold,
		PerBuyerLimit: s.limit, StartsAtMs: s.startsAt.UnixMilli(), EndsAtMs: s.endsAt.UnixMilli(),
		Phase: s.phase(now), Version: s.version, SoldOut: s.sold >= s.quantity,
	}
	if !s.endedAt(now) {
		sale.Available = s.quantity - s.sold
	}
	return sale
}

// Sales returns the room's sales that have not ended, oldest first. available does not know what is
// reserved at the moment; flash_stock does.
func (c *Cart) Sales(ctx context.Context, roomID string) ([]*proto.FlashSale, error) {
	return readSales(ctx, c.cfg.Pool, roomID)
}

func readSales(ctx context.Context, q store.Querier, roomID string) ([]*proto.FlashSale, error) {
	var now time.Time
	if err := q.QueryRow(ctx, `SELECT clock_timestamp()`).Scan(&now); err != nil {
		return nil, fmt.Errorf("sales of room %s: %w", roomID, err)
	}
	rows, err := q.Query(ctx, `SELECT `+saleColumns+` FROM sale WHERE room_id = $1 AND closed_at IS NULL ORDER BY created_at, id`, roomID)
	if err != nil {
		return nil, fmt.Errorf("sales of room %s: %w", roomID, err)
	}
	sales, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (*proto.FlashSale, error) {
		s, err := scanSale(row)
		return s.wire(now), err
	})
	if err != nil {
		return nil, fmt.Errorf("sales of room %s: %w", roomID, err)
	}
	return sales, nil
}

// StopSale ends a sale for good; what was ordered before stays payable. Sent again under the same
// request_id it returns the sale as it is then.
//
// Refusals: ErrSaleNotFound, ErrSaleEnded, ErrVersionConflict, ErrKeyConflict.
func (c *Cart) StopSale(ctx context.Context, roomID string, by *proto.User, requestID string, cmd *proto.FlashStop) (*proto.FlashSale, error) {
	return c.changeSale(ctx, roomID, by, "flash_stop", requestID, cmd, cmd.GetSaleId(), cmd.GetExpectedVersion(),
		func(tx pgx.Tx, sale *saleRow, now time.Time, news roomNews) error {
			return closeSale(ctx, tx, sale, causeStopped, news)
		})
}

// changeSale runs one host's change of a sale under its lock: once a request_id, on the version that
// the host saw, and while the sale has not ended.
func (c *Cart) changeSale(ctx context.Context, roomID string, by *proto.User, kind, requestID string, cmd proto.Message,
	saleID string, expected int64, change func(tx pgx.Tx, sale *saleRow, now time.Time, news roomNews) error) (*proto.FlashSale, error) {
	if err := checkKey(requestID); err != nil {
		return nil, err
	}
	if !store.ValidID(saleID) {
		return nil, ErrSaleNotFound
	}
	var changed *proto.FlashSale
	var news roomNews
	err := store.InTx(ctx, c.cfg.Pool, func(tx pgx.Tx) error {
		news = roomNews{}
		again, err := claimKey(ctx, tx, by.GetId(), kind, requestID, cmd)
		if err != nil {
			return err
		}
		sale, now, err := lockSale(ctx, tx, saleID)
		if err != nil {
			return err
		}
		switch {
		case sale.roomID != roomID:
			return ErrSaleNotFound
		case again:
			changed = sale.wire(now)
			return nil
		case sale.endedAt(now):
			return ErrSaleEnded
		case sale.version != expected:
			return ErrVersionConflict
		}
		if err := change(tx, sale, now, news); err != nil {
			return err
		}
		changed = sale.wire(now)
		return news.number(ctx, tx)
	})
	if err != nil {
		return nil, wrap(err, "%s of sale %s", kind, saleID)
	}
	news.publish(c.cfg)
	if len(news) > 0 {
		resyncAll(ctx, c.cfg, c.Resync, []string{saleID})
	}
	return changed, nil
}

// closeSale ends a locked, open sale and returns to the sku what was not sold.
func closeSale(ctx context.Context, tx pgx.Tx, sale *saleRow, cause string, news roomNews) error {
	if err := moveFromSku(ctx, tx, sale.skuID, sale.sold-sale.quantity); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, `UPDATE sale SET closed_at = clock_timestamp(), close_cause = $2, version = version + 1 WHERE id = $1`, sale.id, cause)
	if err != nil {
		return fmt.Errorf("close sale %s: %w", sale.id, err)
	}
	sale.closed = true
	sale.version++
	news.add(sale.roomID, &proto.Event{Event: &proto.Event_FlashEnded{FlashEnded: &proto.FlashEnded{SaleId: sale.id, Sold: sale.sold, Cause: cause}}})
	return nil
}

// moveFromSku moves n pieces out of a sku into a sale, or with a negative n back. It locks the sku
// first and looks at its stock in a later statement. ErrInvalidQuantity is for too few pieces.
func moveFromSku(ctx context.Context, tx pgx.Tx, skuID string, n int64) error {
	if _, err := tx.Exec(ctx, `SELECT FROM sku WHERE id = $1 FOR UPDATE`, skuID); err != nil {
		return fmt.Errorf("lock sku %s: %w", skuID, err)
	}
	var free int64
	if err := tx.QueryRow(ctx, `SELECT stock - sold - moved FROM sku WHERE id = $1`, skuID).Scan(&free); err != nil {
		return fmt.Errorf("read sku %s: %w", skuID, err)
	}
	if n > free {
		return proto.Refuse(proto.ReasonInvalidQuantity, "only %d pieces are free", free)
	}
	if _, err := tx.Exec(ctx, `UPDATE sku SET moved = moved + $2 WHERE id = $1`, skuID, n); err != nil {
		return fmt.Errorf("move pieces of sku %s: %w", skuID, err)
	}
	return nil
}

// EndSalesOfRoom ends all sales of a room that has ended.
func (c *Cart) EndSalesOfRoom(ctx context.Context, roomID string) error {
	return endSalesOfRoom(ctx, c.cfg, c.Resync, roomID)
}

// EndSalesOfRoom ends all sales of a room that has ended.
func (l *Ledger) EndSalesOfRoom(ctx context.Context, roomID string) error {
	return endSalesOfRoom(ctx, l.cfg, l.Resync, roomID)
}

func endSalesOfRoom(ctx context.Context, cfg Config, resync func(context.Context, string) error, roomID string) error {
	rows, err := cfg.Pool.Query(ctx, `SELECT id FROM sale WHERE room_id = $1 AND closed_at IS NULL ORDER BY id`, roomID)
	if err != nil {
		return fmt.Errorf("sales of room %s: %w", roomID, err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("sales of room %s: %w", roomID, err)
	}
	var failed error
	for _, id := range ids {
		failed = errors.Join(failed, endSale(ctx, cfg, resync, id, causeRoomEnded))
	}
	return failed
}

// endSale closes a sale unless that has happened; causeTime only once its time is over under the lock.
func endSale(ctx context.Context, cfg Config, resync func(context.Context, string) error, saleID, cause string) error {
	ctx, cancel := context.WithTimeout(ctx, cfg.turnTimeout)
	defer cancel()
	var news roomNews
	err := store.InTx(ctx, cfg.Pool, func(tx pgx.Tx) error {
		news = roomNews{}
		sale, now, err := lockSale(ctx, tx, saleID)
		if err != nil || sale.closed || cause == causeTime && now.Before(sale.endsAt) {
			return err
		}
		if err := closeSale(ctx, tx, sale, cause, news); err != nil {
			return err
		}
		return news.number(ctx, tx)
	})
	if err != nil {
		return fmt.Errorf("end sale %s: %w", saleID, err)
	}
	news.publish(cfg)
	if len(news) > 0 {
		resyncAll(ctx, cfg, resync, []string{saleID})
	}
	return nil
}
