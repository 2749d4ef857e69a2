package cart

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"

	"github.com/jackc/pgx/v5"

	"livecart/proto"
	"livecart/session/store"
)

// Limits of an ordinary order.
const (
	MaxLines    = 20
	MaxQuantity = 99 // pieces of a line
)

//go:embed sql/insert_order.sql
var insertOrderSQL string

// CreateOrders orders listings, all or nothing, at the prices of the moment; the pieces are the
// buyer's until the payment window ends. Each shop gets an order of its own, in the order in which the
// shops' first lines come. In a room only what is on its shelf can be ordered; an empty roomID stands
// for no room.
//
// The outcome is recorded under (buyer, requestID): sending the same again returns the same orders
// as they are then, or ErrSoldOut again; other content is ErrKeyConflict. Not recorded: ErrRoomNotFound,
// ErrListingNotFound, ErrProductNotInRoom, ErrProductOffSale, ErrInvalidQuantity, invalid_argument.
func (c *Cart) CreateOrders(ctx context.Context, roomID string, by Buyer, requestID string, cmd *proto.OrderCreate) ([]*proto.Order, error) {
	if err := checkOrder(by, requestID, cmd); err != nil {
		return nil, err
	}
	hash, err := orderHash(roomID, cmd)
	if err != nil {
		return nil, err
	}
	o := creation{cfg: c.cfg, roomID: roomID, by: by, key: requestID, hash: hash, cmd: cmd}
	for _, item := range cmd.Items {
		o.listings = append(o.listings, item.ListingId)
	}
	if err := store.InTx(ctx, c.cfg.Pool, func(tx pgx.Tx) error { return o.run(ctx, tx) }); err != nil {
		return nil, wrap(err, "create orders")
	}
	if o.made {
		c.cfg.entered(o.orders...)
	}
	return o.orders, o.refusal
}

// orderHash is contentHash with the room: the same items in another room are another order.
func orderHash(roomID string, cmd *proto.OrderCreate) ([]byte, error) {
	hash, err := contentHash(cmd)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(append(hash, roomID...))
	return sum[:], nil
}

func checkOrder(by Buyer, requestID string, cmd *proto.OrderCreate) error {
	if err := by.check(); err != nil {
		return err
	}
	if err := checkKey(requestID); err != nil {
		return err
	}
	if n := len(cmd.GetItems()); n < 1 || n > MaxLines {
		return invalid("an order has 1 to %d lines, not %d", MaxLines, n)
	}
	seen := map[string]bool{}
	for _, item := range cmd.Items {
		if item.GetQuantity() < 1 || item.GetQuantity() > MaxQuantity {
			return proto.Refuse(proto.ReasonInvalidQuantity, "a line has 1 to %d pieces, not %d", MaxQuantity, item.GetQuantity())
		}
		if !store.ValidID(item.ListingId) {
			return ErrListingNotFound
		}
		if seen[item.ListingId] {
			return invalid("listing %s is named twice", item.ListingId)
		}
		seen[item.ListingId] = true
	}
	if cmd.ShipTo != nil {
		return checkAddress(cmd.ShipTo)
	}
	return nil
}

// creation is one CreateOrders; run fills in what came of it and may be run again.
type creation struct {
	cfg      Config
	roomID   string
	by       Buyer
	key      string
	hash     []byte
	cmd      *proto.OrderCreate
	listings []string

	orders  []*proto.Order
	refusal error // recorded, so the transaction commits
	made    bool
}

func (o *creation) run(ctx context.Context, tx pgx.Tx) error {
	o.orders, o.refusal, o.made = nil, nil, false
	// Asked before the locks for speed, and again by the insert below for certainty.
	if done, err := o.recorded(ctx, tx); done || err != nil {
		return err
	}
	if o.roomID != "" {
		if _, err := readRoom(ctx, tx, o.roomID); err != nil {
			return err
		}
	}
	if err := o.lock(ctx, tx); err != nil {
		return err
	}
	offers, err := o.offers(ctx, tx)
	if err != nil {
		return err
	}
	basket, err := fillBasket(o.cmd.Items, offers)
	if err != nil {
		return err
	}
	outcome := "ordered"
	if basket.soldOut {
		outcome = "sold_out"
	}
	// Ids of one process rise, so the orders' ids stand in the order of the parcels.
	ids := make([]string, len(basket.parcels))
	for i := range ids {
		ids[i] = store.NewID("ord")
	}
	tag, err := tx.Exec(ctx, `
		INSERT INTO attempt (buyer_id, key, kind, hash, outcome, order_id) VALUES ($1, $2, $3, $4, $5, CASE WHEN $5 = 'ordered' THEN $6 END)
		ON CONFLICT DO NOTHING`, o.by.User.Id, o.key, kindOrderCreate, o.hash, outcome, ids[0])
	if err != nil {
		return err
	}
	if tag.RowsAffected() == 0 {
		_, err := o.recorded(ctx, tx)
		return err
	}
	if basket.soldOut {
		o.refusal = ErrSoldOut
		return nil
	}
	if err := o.write(ctx, tx, ids, basket); err != nil {
		return err
	}
	o.made = true
	o.orders, err = readOrders(ctx, tx, ids)
	return err
}

// recorded answers from the key's row where there is one.
func (o *creation) recorded(ctx context.Context, tx pgx.Tx) (bool, error) {
	a, err := readAttempt(ctx, tx, o.by.User.Id, kindOrderCreate, o.key)
	if a == nil || err != nil {
		return false, err
	}
	if !bytes.Equal(a.hash, o.hash) {
		return true, ErrKeyConflict
	}
	o.orders, o.refusal = a.answers(ctx, tx)
	return true, nil
}

// lock locks the products against changes of price and the skus, each sorted.
func (o *creation) lock(ctx context.Context, tx pgx.Tx) error {
	_, err := tx.Exec(ctx, `
		SELECT FROM product WHERE id IN (SELECT product_id FROM listing WHERE id = ANY ($1)) ORDER BY id FOR SHARE`, o.listings)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `SELECT FROM sku WHERE id IN (SELECT sku_id FROM listing WHERE id = ANY ($1)) ORDER BY id FOR UPDATE`, o.listings)
	return err
}

func (o *creation) offers(ctx context.Context, tx pgx.Tx) (map[string]offer, error) {
	rows, err := tx.Query(ctx, readOffersSQL, o.listings, o.roomID)
	if err != nil {
		return nil, err
	}
	offers := map[string]offer{}
	var f offer
	_, err = pgx.ForEachRow(rows, []any{&f.listingID, &f.skuID, &f.shopID, &f.currency, &f.title, &f.imageURL, &f.price, &f.available, &f.onSale, &f.shelved}, func() error {
		offers[f.listingID] = f
		return nil
	})
	return offers, err
}

// write makes the orders and takes their pieces.
func (o *creation) write(ctx context.Context, tx pgx.Tx, ids []string, b basket) error {
	var shipTo []byte
	if o.cmd.ShipTo != nil {
		var err error
		if shipTo, err = proto.Encode(proto.JSON, o.cmd.ShipTo); err != nil {
			return err
		}
	}
	batch := new(pgx.Batch)
	for i, p := range b.parcels {
		splitFrom := ""
		if i > 0 {
			splitFrom = ids[0]
		}
		var listings, skus, titles, images []string
		var prices []int64
		for _, f := range p.lines {
			listings, skus, titles = append(listings, f.listingID), append(skus, f.skuID), append(titles, f.title)
			images, prices = append(images, f.imageURL), append(prices, f.price)
		}
		batch.Queue(insertOrderSQL, ids[i], p.shopID, o.roomID, o.by.User.Id, o.by.User.Name, o.key, p.currency, p.amount, shipTo,
			o.by.Source, o.by.Guide, o.cfg.OrderPayWindow.Seconds(), listings, skus, titles, images, p.quantities, prices, splitFrom)
	}
	var skus []string
	var taken []int64
	for id, n := range b.taken {
		skus, taken = append(skus, id), append(taken, n)
	}
	batch.Queue(`UPDATE sku SET sold = sold + t.n FROM unnest($1::text[], $2::bigint[]) AS t (id, n) WHERE sku.id = t.id`, skus, taken)
	return tx.SendBatch(ctx, batch).Close()
}
