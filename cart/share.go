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
	return c.changeShare(ctx, shopID, skuID, otherID, `INSERT INTO sku_share (sku_id, shop_id) VALUES ($1, $2) ON CONFLICT DO NOTHING`)
}

// UnshareSku takes a share back; one that is not there is no error. The other shop's listings of the sku
// are off sale from then on. What was ordered stays so, and a flash sale that runs goes on as announced.
//
// Refusals: ErrSkuNotFound, ErrShopNotFound.
func (c *Cart) UnshareSku(ctx context.Context, shopID, skuID, otherID string) error {
	return c.changeShare(ctx, shopID, skuID, otherID, `DELETE FROM sku_share WHERE sku_id = $1 AND shop_id = $2`)
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

// changeShare runs sql under the sku's lock, which orders and sales take as well before they look: none is
// decided on a share that is being taken back.
func (c *Cart) changeShare(ctx context.Context, shopID, skuID, otherID, sql string) error {
	if !store.ValidID(skuID) {
		return ErrSkuNotFound
	}
	if !store.ValidID(otherID) {
		return ErrShopNotFound
	}
	err := store.InTx(ctx, c.cfg.Pool, func(tx pgx.Tx) error {
		if _, err := lockShop(ctx, tx, otherID); err != nil {
			return err
		}
		var owner string
		err := tx.QueryRow(ctx, `SELECT shop_id FROM sku WHERE id = $1 FOR UPDATE`, skuID).Scan(&owner)
		if errors.Is(err, pgx.ErrNoRows) || err == nil && owner != shopID {
			return ErrSkuNotFound
		}
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, sql, skuID, otherID)
		return err
	})
	if err != nil {
		return wrap(err, "share of sku %s", skuID)
	}
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
