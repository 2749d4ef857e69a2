package cart

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"

	"livecart/proto"
	"livecart/session/store"
)

// Limits of a product.
const (
	// MaxPrice is the highest price of a piece in minor units, so that no order's amount overflows.
	MaxPrice = 1_000_000_000_000
	// MaxStock is the most pieces of a sku.
	MaxStock = 1_000_000_000
	// MaxListings is the most variants of a product.
	MaxListings = 50

	maxDescription = 1000 // characters
	maxImageURL    = 500  // bytes
)

//go:embed sql/read_products.sql
var readProductsSQL string

// Product returns a product with its listings, or ErrProductNotFound.
func (c *Cart) Product(ctx context.Context, id string) (*proto.Product, error) {
	return readProduct(ctx, c.cfg.Pool, id)
}

func readProduct(ctx context.Context, q store.Querier, id string) (*proto.Product, error) {
	rows, err := q.Query(ctx, readProductsSQL, []string{id})
	if err != nil {
		return nil, fmt.Errorf("read product %s: %w", id, err)
	}
	p, err := pgx.CollectExactlyOneRow(rows, scanProduct)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, ErrProductNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("read product %s: %w", id, err)
	}
	return p, nil
}

// scanProduct reads a row of read_products.sql.
func scanProduct(row pgx.CollectableRow) (*proto.Product, error) {
	p := new(proto.Product)
	var ids, skus, names []string
	var prices, available []int64
	if err := row.Scan(&p.Id, &p.ShopId, &p.Title, &p.ImageUrl, &p.Description, &p.Currency, &p.OnSale, &p.Version,
		&ids, &skus, &names, &prices, &available); err != nil {
		return nil, err
	}
	for i := range ids {
		p.Listings = append(p.Listings, &proto.Listing{Id: ids[i], SkuId: skus[i], Name: names[i], Price: prices[i], Available: available[i]})
	}
	return p, nil
}

// PutProduct makes a product or brings it to what p says, and returns it as it is then. The same
// twice changes nothing; a change raises the version and is announced in the rooms that have it on
// the shelf. p.Version, p.Currency and the listings' available are ignored. Listings that p does
// not name stay as they are.
//
// A listing may be of a sku that another shop shares with this one (see [Cart.ShareSku]); its stock is
// the other shop's to set. Else ErrForbidden is for another shop's sku.
//
// stock sets how many pieces of a sku there are in all, the sold ones included; it makes skus that
// do not exist. It cannot fall below what is sold or moved into sales: ErrInvalidQuantity.
func (c *Cart) PutProduct(ctx context.Context, p *proto.Product, stock map[string]int64) (*proto.Product, error) {
	if err := checkProduct(p, stock); err != nil {
		return nil, err
	}
	var put *proto.Product
	var news roomNews
	err := store.InTx(ctx, c.cfg.Pool, func(tx pgx.Tx) error {
		news = roomNews{}
		before, err := lockOrMakeProduct(ctx, tx, p)
		if err != nil {
			return err
		}
		if err := putStock(ctx, tx, p, stock); err != nil {
			return err
		}
		if err := putListings(ctx, tx, p); err != nil {
			return err
		}
		if put, err = readProduct(ctx, tx, p.Id); err != nil {
			return err
		}
		if before == nil || sameOffer(before, put) {
			return nil
		}
		put.Version++
		if _, err := tx.Exec(ctx, `UPDATE product SET version = $2 WHERE id = $1`, p.Id, put.Version); err != nil {
			return err
		}
		if err := news.productUpdated(ctx, tx, put); err != nil {
			return err
		}
		if !put.OnSale {
			if err := news.hide(ctx, tx, put.Id, ""); err != nil {
				return err
			}
		}
		return news.number(ctx, tx)
	})
	if err != nil {
		return nil, wrap(err, "put product %s", p.Id)
	}
	news.publish(c.cfg)
	return put, nil
}

func checkProduct(p *proto.Product, stock map[string]int64) error {
	err := errors.Join(checkID("id", p.GetId()), checkID("shop_id", p.GetShopId()), checkText("title", p.GetTitle(), 1, maxTitle),
		checkText("description", p.GetDescription(), 0, maxDescription), checkText("image_url", p.GetImageUrl(), 0, maxImageURL))
	if err != nil {
		return err
	}
	if n := len(p.GetListings()); n < 1 || n > MaxListings {
		return invalid("a product has 1 to %d listings, not %d", MaxListings, n)
	}
	seen := map[string]bool{}
	for _, l := range p.Listings {
		if err := errors.Join(checkID("listing id", l.GetId()), checkID("sku_id", l.GetSkuId()), checkText("listing name", l.GetName(), 0, maxTitle), checkPrice(l.GetPrice())); err != nil {
			return err
		}
		if seen[l.Id] {
			return invalid("listing %s is named twice", l.Id)
		}
		seen[l.Id] = true
	}
	for id, n := range stock {
		if err := checkID("sku", id); err != nil {
			return err
		}
		if n < 0 || n > MaxStock {
			return proto.Refuse(proto.ReasonInvalidQuantity, "a sku has 0 to %d pieces, not %d", MaxStock, n)
		}
	}
	return nil
}

func checkPrice(price int64) error {
	if price < 1 || price > MaxPrice {
		return invalid("a price is 1 to %d, not %d", int64(MaxPrice), price)
	}
	return nil
}

// lockOrMakeProduct locks the product's row, writes its fields and returns it as it was before, nil
// when it is new.
func lockOrMakeProduct(ctx context.Context, tx pgx.Tx, p *proto.Product) (*proto.Product, error) {
	if _, err := lockShop(ctx, tx, p.ShopId); err != nil {
		return nil, err
	}
	tag, err := tx.Exec(ctx, `
		INSERT INTO product (id, shop_id, title, description, image_url, on_sale) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING`,
		p.Id, p.ShopId, p.Title, p.Description, p.ImageUrl, p.OnSale)
	if err != nil || tag.RowsAffected() == 1 {
		return nil, err
	}
	before, err := lockProduct(ctx, tx, p.Id)
	if err != nil {
		return nil, err
	}
	if before.ShopId != p.ShopId {
		return nil, proto.Refuse(proto.ReasonForbidden, "product %s is another shop's", p.Id)
	}
	_, err = tx.Exec(ctx, `UPDATE product SET title = $2, description = $3, image_url = $4, on_sale = $5 WHERE id = $1`,
		p.Id, p.Title, p.Description, p.ImageUrl, p.OnSale)
	return before, err
}

// lockShop keeps the shop from going away and returns its currency.
func lockShop(ctx context.Context, tx pgx.Tx, id string) (currency string, err error) {
	err = tx.QueryRow(ctx, `SELECT currency FROM shop WHERE id = $1 FOR KEY SHARE`, id).Scan(&currency)
	if errors.Is(err, pgx.ErrNoRows) {
		return "", ErrShopNotFound
	}
	return currency, err
}

// lockProduct locks a product against other changes and reads it afterwards.
func lockProduct(ctx context.Context, tx pgx.Tx, id string) (*proto.Product, error) {
	if _, err := tx.Exec(ctx, `SELECT FROM product WHERE id = $1 FOR NO KEY UPDATE`, id); err != nil {
		return nil, err
	}
	return readProduct(ctx, tx, id)
}

// putStock locks the skus of p and of stock, sorted, and sets the pieces of those in stock.
func putStock(ctx context.Context, tx pgx.Tx, p *proto.Product, stock map[string]int64) error {
	names := map[string]string{}
	for _, l := range p.Listings {
		names[l.SkuId] = l.Name
	}
	for _, id := range slices.Sorted(maps.Keys(stock)) {
		if _, ok := names[id]; !ok {
			return invalid("sku %s is in no listing of the product", id)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(names)) {
		pieces, given := stock[id]
		if given {
			if _, err := tx.Exec(ctx, `INSERT INTO sku (id, shop_id, name, stock) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`,
				id, p.ShopId, names[id], pieces); err != nil {
				return err
			}
		}
		var shopID string
		var had, taken int64
		err := tx.QueryRow(ctx, `SELECT shop_id, stock, sold + moved FROM sku WHERE id = $1 FOR UPDATE`, id).Scan(&shopID, &had, &taken)
		switch {
		case errors.Is(err, pgx.ErrNoRows):
			return invalid("there is no sku %s, and no stock is given for it", id)
		case err != nil:
			return err
		case shopID != p.ShopId:
			if err := checkShared(ctx, tx, id, p.ShopId, given); err != nil {
				return err
			}
			continue
		case !given || pieces == had:
			continue
		case pieces < taken:
			return proto.Refuse(proto.ReasonInvalidQuantity, "%d pieces of sku %s are sold or in sales, the stock cannot be %d", taken, id, pieces)
		}
		if _, err := tx.Exec(ctx, `UPDATE sku SET stock = $2 WHERE id = $1`, id, pieces); err != nil {
			return err
		}
	}
	return nil
}

func putListings(ctx context.Context, tx pgx.Tx, p *proto.Product) error {
	for i, l := range p.Listings {
		tag, err := tx.Exec(ctx, `
			INSERT INTO listing (id, product_id, sku_id, name, price, position) VALUES ($1, $2, $3, $4, $5, $6)
			ON CONFLICT (id) DO UPDATE SET name = excluded.name, price = excluded.price, position = excluded.position
			WHERE listing.product_id = excluded.product_id AND listing.sku_id = excluded.sku_id`,
			l.Id, p.Id, l.SkuId, l.Name, l.Price, i+1)
		if err != nil {
			return err
		}
		if tag.RowsAffected() == 0 {
			return proto.Refuse(proto.ReasonForbidden, "listing %s belongs to another product or sku", l.Id)
		}
	}
	return nil
}

// sameOffer reports whether nothing but stock differs between two readings of a product.
func sameOffer(a, b *proto.Product) bool {
	a, b = proto.Clone(a), proto.Clone(b)
	for _, p := range []*proto.Product{a, b} {
		for _, l := range p.Listings {
			l.Available = 0
		}
	}
	return proto.Equal(a, b)
}
