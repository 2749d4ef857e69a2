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

// ErrSaleRunning is for a second open sale of one sku.
var ErrSaleRunning = proto.Refuse(proto.ReasonInvalidArgument, "this sku is in another sale that has not ended")

// StartSale starts a flash sale of a listing whose product is on the room's shelf, of whatever shop, now
// or at the announced time, and moves its quantity out of the sku. Sent again under the same request_id it
// returns the sale as it is then.
//
// Refusals: ErrRoomNotFound, ErrRoomNotLive unless the room is live or paused, ErrListingNotFound,
// ErrProductNotInRoom, ErrProductOffSale, ErrInvalidQuantity (1 to 1,000,000 and no more than the
// sku has free), ErrSaleRunning, ErrKeyConflict, and invalid_argument for a price that is not below
// the listing's, a limit below 0, a start more than 24 h ahead, or a duration outside 10 s to 24 h.
func (c *Cart) StartSale(ctx context.Context, roomID string, by *proto.User, requestID string, cmd *proto.FlashStart) (*proto.FlashSale, error) {
	if err := checkKey(requestID); err != nil {
		return nil, err
	}
	if err := checkStart(cmd); err != nil {
		return nil, err
	}
	start := saleStart{roomID: roomID, by: by, key: requestID, cmd: cmd}
	err := store.InTx(ctx, c.cfg.Pool, func(tx pgx.Tx) error { return start.run(ctx, tx) })
	if store.Violates(err, "sale_one_open_per_sku") {
		return nil, ErrSaleRunning
	}
	if err != nil {
		return nil, wrap(err, "start sale in room %s", roomID)
	}
	start.news.publish(c.cfg)
	if len(start.news) > 0 {
		resyncAll(ctx, c.cfg, c.Resync, []string{start.sale.Id})
	}
	return start.sale, nil
}

func checkStart(cmd *proto.FlashStart) error {
	switch {
	case !store.ValidID(cmd.GetListingId()):
		return ErrListingNotFound
	case cmd.Quantity < 1 || cmd.Quantity > MaxSaleQuantity:
		return proto.Refuse(proto.ReasonInvalidQuantity, "a sale has 1 to %d pieces, not %d", MaxSaleQuantity, cmd.Quantity)
	case cmd.Price < 1:
		return invalid("a price is above 0")
	case cmd.StartsAtMs < 0:
		return invalid("starts_at_ms is a time, or 0 for now")
	}
	if err := checkLimit(cmd.PerBuyerLimit); err != nil {
		return err
	}
	if d := cmd.DurationMs; d < MinSaleTime.Milliseconds() || d > MaxSaleTime.Milliseconds() {
		return invalid("a sale lasts %v to %v", MinSaleTime, MaxSaleTime)
	}
	return nil
}

func checkLimit(n int32) error {
	if n < 0 || n > MaxSaleQuantity {
		return invalid("a buyer's limit is 0 for none, or 1 to %d", MaxSaleQuantity)
	}
	return nil
}

// saleStart is one StartSale; run fills in what came of it and may be run again.
type saleStart struct {
	roomID string
	by     *proto.User
	key    string
	cmd    *proto.FlashStart

	sale *proto.FlashSale
	news roomNews // empty where an earlier request started the sale
}

func (s *saleStart) run(ctx context.Context, tx pgx.Tx) error {
	s.news = roomNews{}
	again, err := claimKey(ctx, tx, s.by.GetId(), "flash_start", s.key, s.cmd)
	if err != nil {
		return err
	}
	if again {
		return s.readAgain(ctx, tx)
	}
	room, err := readRoom(ctx, tx, s.roomID)
	if err != nil {
		return err
	}
	if !room.onAir() {
		return ErrRoomNotLive
	}
	sale, err := s.offer(ctx, tx)
	if err != nil {
		return err
	}
	if err := moveFromSku(ctx, tx, sale.skuID, sale.quantity); err != nil {
		return err
	}
	now, err := s.schedule(ctx, tx, sale)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `
		INSERT INTO sale (id, room_id, shop_id, product_id, listing_id, sku_id, title, image_url, currency, price, original_price,
			quantity, per_buyer_limit, widest_limit, starts_at, ends_at, created_by, request_id)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $13, $14, $15, $16, $17)`,
		sale.id, sale.roomID, sale.shopID, sale.productID, sale.listingID, sale.skuID, sale.title, sale.imageURL, sale.currency, sale.price,
		sale.originalPrice, sale.quantity, sale.limit, sale.startsAt, sale.endsAt, sale.createdBy, s.key)
	if err != nil {
		return fmt.Errorf("insert sale: %w", err)
	}
	s.sale = sale.wire(now)
	s.news.add(s.roomID, &proto.Event{Event: &proto.Event_FlashStarted{FlashStarted: &proto.FlashStarted{Sale: s.sale}}})
	if err := s.news.number(ctx, tx); err != nil {
		return err
	}
	// Numbering locked the room: if it ended in the meantime, its end did not see this sale.
	if room, err = readRoom(ctx, tx, s.roomID); err == nil && !room.onAir() {
		err = ErrRoomNotLive
	}
	return err
}

func (s *saleStart) readAgain(ctx context.Context, tx pgx.Tx) error {
	var id string
	err := tx.QueryRow(ctx, `SELECT id FROM sale WHERE created_by = $1 AND request_id = $2 ORDER BY created_at DESC LIMIT 1`, s.by.GetId(), s.key).Scan(&id)
	if errors.Is(err, pgx.ErrNoRows) {
		return ErrSaleNotFound
	}
	if err != nil {
		return fmt.Errorf("find sale by its request: %w", err)
	}
	sale, now, err := lockSale(ctx, tx, id)
	if err != nil {
		return err
	}
	if sale.roomID != s.roomID {
		return ErrKeyConflict
	}
	s.sale = sale.wire(now)
	return nil
}

// offer locks the listing's product, so that its price stands until the commit, and its sku, so that
// its share does, and makes a sale of it.
func (s *saleStart) offer(ctx context.Context, tx pgx.Tx) (*saleRow, error) {
	_, err := tx.Exec(ctx, `SELECT FROM product WHERE id = (SELECT product_id FROM listing WHERE id = $1) FOR SHARE`, s.cmd.ListingId)
	if err != nil {
		return nil, fmt.Errorf("lock product: %w", err)
	}
	_, err = tx.Exec(ctx, `SELECT FROM sku WHERE id = (SELECT sku_id FROM listing WHERE id = $1) FOR UPDATE`, s.cmd.ListingId)
	if err != nil {
		return nil, fmt.Errorf("lock sku: %w", err)
	}
	rows, err := tx.Query(ctx, readOffersSQL, []string{s.cmd.ListingId}, s.roomID)
	if err != nil {
		return nil, fmt.Errorf("read offer: %w", err)
	}
	var f offer
	found, err := pgx.ForEachRow(rows, []any{&f.listingID, &f.skuID, &f.shopID, &f.currency, &f.title, &f.imageURL, &f.price, &f.available, &f.onSale, &f.shelved},
		func() error { return nil })
	if err != nil {
		return nil, fmt.Errorf("read offer: %w", err)
	}
	switch {
	case found.RowsAffected() == 0:
		return nil, ErrListingNotFound
	case !f.shelved:
		return nil, ErrProductNotInRoom
	case !f.onSale:
		return nil, ErrProductOffSale
	case s.cmd.Price >= f.price:
		return nil, invalid("a sale's price is below the listing's, which is %d", f.price)
	}
	sale := &saleRow{
		id: store.NewID("sale"), roomID: s.roomID, shopID: f.shopID, listingID: f.listingID, skuID: f.skuID, title: f.title, imageURL: f.imageURL,
		currency: f.currency, price: s.cmd.Price, originalPrice: f.price, quantity: s.cmd.Quantity, limit: s.cmd.PerBuyerLimit,
		version: 1, epoch: 1, createdBy: s.by.GetId(),
	}
	if err := tx.QueryRow(ctx, `SELECT product_id FROM listing WHERE id = $1`, f.listingID).Scan(&sale.productID); err != nil {
		return nil, fmt.Errorf("read offer: %w", err)
	}
	return sale, nil
}

// schedule sets the sale's window by the database's clock, after the locks.
func (s *saleStart) schedule(ctx context.Context, tx pgx.Tx, sale *saleRow) (time.Time, error) {
	var now time.Time
	if err := tx.QueryRow(ctx, `SELECT clock_timestamp()`).Scan(&now); err != nil {
		return now, fmt.Errorf("read the clock: %w", err)
	}
	sale.startsAt = now
	if s.cmd.StartsAtMs > now.UnixMilli() {
		if s.cmd.StartsAtMs > now.Add(MaxSaleAhead).UnixMilli() {
			return now, invalid("a sale is announced at most %v ahead", MaxSaleAhead)
		}
		sale.startsAt = time.UnixMilli(s.cmd.StartsAtMs)
	}
	sale.endsAt = sale.startsAt.Add(time.Duration(s.cmd.DurationMs) * time.Millisecond)
	return now, nil
}
