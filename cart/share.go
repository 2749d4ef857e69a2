package cart

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"livecart/proto"
	"livecart/session/store"
)

//go:embed sql/read_shares.sql
var readSharesSQL string

// ErrSkuNotFound is for a sku that does not exist or is another shop's.
var ErrSkuNotFound = proto.Refuse(proto.ReasonNotFound, "there is no such sku of this shop")

// ShareSku lets another shop list a sku of this shop, at prices of its own: one pool of pieces, of which
// both sell and never more than there are. The stock stays this shop's to set; an order's money is its
// listing's shop's. Rooms of the other shop may then show products that consist of shared skus. The same
// twice changes nothing.
//
// Refusals: ErrSkuNotFound, ErrShopNotFound for the other shop, and invalid_argument for the own.
func (c *Cart) ShareSku(ctx context.Context, shopID, skuID, otherID string) error {
	if shopID == otherID {
		return invalid("a shop lists its own skus anyhow")
	}
	return c.changeShare(ctx, shopID, skuID, otherID, func(ctx context.Context, tx pgx.Tx, _ roomNews) error {
		_, err := tx.Exec(ctx, `INSERT INTO sku_share (sku_id, shop_id) VALUES ($1, $2) ON CONFLICT DO NOTHING`, skuID, otherID)
		return err
	})
}

// UnshareSku takes a share back; one that is not there is no error. The other shop's listings of the sku
// are off sale from then on, and this shop's products of it leave the shelves of the other shop's rooms, or
// those could go on putting them in flash sales. What was ordered stays so, and a flash sale that runs goes
// on as announced.
//
// Refusals: ErrSkuNotFound, ErrShopNotFound.
func (c *Cart) UnshareSku(ctx context.Context, shopID, skuID, otherID string) error {
	return c.changeShare(ctx, shopID, skuID, otherID, func(ctx context.Context, tx pgx.Tx, news roomNews) error {
		tag, err := tx.Exec(ctx, `DELETE FROM sku_share WHERE sku_id = $1 AND shop_id = $2`, skuID, otherID)
		if err != nil || tag.RowsAffected() == 0 {
			return err
		}
		return unshelve(ctx, tx, shopID, skuID, otherID, news)
	})
}

//go:embed sql/read_shelved.sql
var readShelvedSQL string

// unshelve takes a shop's products of a sku off the shelves of another shop's rooms. The products and the
// sku are locked.
func unshelve(ctx context.Context, tx pgx.Tx, shopID, skuID, otherID string, news roomNews) error {
	rows, err := tx.Query(ctx, readShelvedSQL, skuID, shopID, otherID)
	if err != nil {
		return err
	}
	type place struct{ roomID, productID string }
	places, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (p place, err error) { return p, row.Scan(&p.roomID, &p.productID) })
	if err != nil {
		return err
	}
	for _, p := range places {
		product, err := readProduct(ctx, tx, p.productID)
		if err != nil {
			return err
		}
		if _, err := placeOnShelf(ctx, tx, p.roomID, p.productID, 0); err != nil {
			return err
		}
		news.add(p.roomID, productUpdatedEvent(product, 0))
		if err := news.hide(ctx, tx, p.productID, p.roomID); err != nil {
			return err
		}
	}
	return nil
}

// Share says that a shop may list a sku of another.
type Share struct {
	ShopID, ShopName string
	At               time.Time // since when
}

// Shares returns with whom a sku of this shop is shared, by shop id.
//
// Refusals: ErrSkuNotFound.
func (c *Cart) Shares(ctx context.Context, shopID, skuID string) ([]Share, error) {
	if !store.ValidID(shopID) || !store.ValidID(skuID) {
		return nil, ErrSkuNotFound
	}
	rows, err := c.cfg.Pool.Query(ctx, readSharesSQL, shopID, skuID)
	if err != nil {
		return nil, fmt.Errorf("shares of sku %s: %w", skuID, err)
	}
	var shares []Share
	found := false
	var id, name *string
	var at *time.Time
	_, err = pgx.ForEachRow(rows, []any{&id, &name, &at}, func() error {
		found = true
		if id != nil {
			shares = append(shares, Share{*id, *name, *at})
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("shares of sku %s: %w", skuID, err)
	}
	if !found {
		return nil, ErrSkuNotFound
	}
	return shares, nil
}

// changeShare runs change under the locks of the sku and of the shop's products of it. Orders, sales and
// shelves take the sku's as well before they look: none is decided on a share that is being taken back.
func (c *Cart) changeShare(ctx context.Context, shopID, skuID, otherID string, change func(ctx context.Context, tx pgx.Tx, news roomNews) error) error {
	if !store.ValidID(skuID) {
		return ErrSkuNotFound
	}
	if !store.ValidID(otherID) {
		return ErrShopNotFound
	}
	var news roomNews
	err := store.InTx(ctx, c.cfg.Pool, func(tx pgx.Tx) error {
		news = roomNews{}
		if _, err := lockShop(ctx, tx, otherID); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `
			SELECT FROM product WHERE shop_id = $1 AND id IN (SELECT product_id FROM listing WHERE sku_id = $2) ORDER BY id FOR NO KEY UPDATE`, shopID, skuID)
		if err != nil {
			return err
		}
		var owner string
		err = tx.QueryRow(ctx, `SELECT shop_id FROM sku WHERE id = $1 FOR UPDATE`, skuID).Scan(&owner)
		if errors.Is(err, pgx.ErrNoRows) || err == nil && owner != shopID {
			return ErrSkuNotFound
		}
		if err != nil {
			return err
		}
		if err := change(ctx, tx, news); err != nil {
			return err
		}
		return news.number(ctx, tx)
	})
	if err != nil {
		return wrap(err, "share of sku %s", skuID)
	}
	news.publish(c.cfg)
	return nil
}

// checkShared refuses another shop's sku unless it is shared, and in any case to set its stock.
func checkShared(ctx context.Context, tx pgx.Tx, skuID, shopID string, stockGiven bool) error {
	var shared bool
	err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM sku_share WHERE sku_id = $1 AND shop_id = $2)`, skuID, shopID).Scan(&shared)
	switch {
	case err != nil:
		return fmt.Errorf("share of sku %s: %w", skuID, err)
	case !shared:
		return proto.Refuse(proto.ReasonForbidden, "sku %s is another shop's", skuID)
	case stockGiven:
		return proto.Refuse(proto.ReasonForbidden, "the stock of sku %s is set by the shop that shares it", skuID)
	}
	return nil
}
