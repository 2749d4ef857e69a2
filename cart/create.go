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

//go:embed sql/read_offers.sql
var readOffersSQL string

//go:embed sql/insert_order.sql
var insertOrderSQL string

// CreateOrder orders listings of one shop, all or nothing, at the prices of the moment; the pieces
// are the buyer's until the payment window ends. In a room only what is on its shelf can be
// ordered; an empty roomID stands for no room.
//
// The outcome is recorded under (buyer, requestID): sending the same again returns the same order
// as it is then, or ErrSoldOut again; other content is ErrKeyConflict. Not recorded: ErrRoomNotFound,
// ErrListingNotFound, ErrProductNotInRoom, ErrProductOffSale, ErrInvalidQuantity, invalid_argument.
func (c *Cart) CreateOrder(ctx context.Context, roomID string, by Buyer, requestID string, cmd *proto.OrderCreate) (*proto.Order, error) {
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
		return nil, wrap(err, "create order")
	}
	if o.made {
		c.cfg.entered(o.order)
	}
	return o.order, o.refusal
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

// creation is one CreateOrder; run fills in what came of it and may be run again.
type creation struct {
	cfg      Config
	roomID   string
	by       Buyer
	key      string
	hash     []byte
	cmd      *proto.OrderCreate
	listings []string

	order   *proto.Order
	refusal error // recorded, so the transaction commits
	made    bool
}

func (o *creation) run(ctx context.Context, tx pgx.Tx) error {
	o.order, o.refusal, o.made = nil, nil, false
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
	orderID := store.NewID("ord")
	if basket.soldOut {
		outcome = "sold_out"
	}
	tag, err := tx.Exec(ctx, `
		INSERT INTO attempt (buyer_id, key, kind, hash, outcome, order_id) VALUES ($1, $2, $3, $4, $5, CASE WHEN $5 = 'ordered' THEN $6 END)
		ON CONFLICT DO NOTHING`, o.by.User.Id, o.key, kindOrderCreate, o.hash, outcome, orderID)
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
	if err := o.write(ctx, tx, orderID, basket); err != nil {
		return err
	}
	o.made = true
	o.order, err = readOrder(ctx, tx, orderID)
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
	o.order, o.refusal = a.answer(ctx, tx)
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

// offer is a listing as it stands under the locks.
type offer struct {
	listingID, skuID, shopID, currency, title, imageURL string
	price, available                                    int64
	onSale, shelved                                     bool
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

// basket is what an order would be.
type basket struct {
	shopID, currency string
	lines            []offer
	quantities       []int32
	amount           int64
	taken            map[string]int64 // by sku
	soldOut          bool
}

// fillBasket decides an order on the offers of its listings; the refusals that are not recorded are
// its errors.
func fillBasket(items []*proto.OrderItem, offers map[string]offer) (basket, error) {
	b := basket{taken: map[string]int64{}}
	for _, item := range items {
		f, ok := offers[item.ListingId]
		switch {
		case !ok:
			return b, ErrListingNotFound
		case !f.shelved:
			return b, ErrProductNotInRoom
		case !f.onSale:
			return b, ErrProductOffSale
		case b.shopID != "" && b.shopID != f.shopID:
			return b, invalid("an order is of one shop")
		}
		b.shopID, b.currency = f.shopID, f.currency
		b.lines = append(b.lines, f)
		b.quantities = append(b.quantities, item.Quantity)
		b.amount += f.price * int64(item.Quantity)
		b.taken[f.skuID] += int64(item.Quantity)
		b.soldOut = b.soldOut || b.taken[f.skuID] > f.available
	}
	return b, nil
}

func (o *creation) write(ctx context.Context, tx pgx.Tx, orderID string, b basket) error {
	var shipTo []byte
	if o.cmd.ShipTo != nil {
		var err error
		if shipTo, err = proto.Encode(proto.JSON, o.cmd.ShipTo); err != nil {
			return err
		}
	}
	var skus, titles, images []string
	var prices []int64
	for _, f := range b.lines {
		skus, titles, images, prices = append(skus, f.skuID), append(titles, f.title), append(images, f.imageURL), append(prices, f.price)
	}
	_, err := tx.Exec(ctx, insertOrderSQL, orderID, b.shopID, o.roomID, o.by.User.Id, o.by.User.Name, o.key, b.currency, b.amount, shipTo,
		o.by.Source, o.by.Guide, o.cfg.OrderPayWindow.Seconds(), o.listings, skus, titles, images, b.quantities, prices)
	if err != nil {
		return err
	}
	var ids []string
	var taken []int64
	for id, n := range b.taken {
		ids, taken = append(ids, id), append(taken, n)
	}
	_, err = tx.Exec(ctx, `UPDATE sku SET sold = sold + t.n FROM unnest($1::text[], $2::bigint[]) AS t (id, n) WHERE sku.id = t.id`, ids, taken)
	return err
}
