package cart

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"livecart/proto"
	"livecart/session/store"
)

// MaxShelf is the most products on a room's shelf.
const MaxShelf = 500

// shelfSQL reads the first $2 entries of room $1's shelf.
const shelfSQL = `
	SELECT p.id, s.position, p.title, p.image_url, sh.currency, coalesce((SELECT min(l.price) FROM listing l WHERE l.product_id = p.id), 0), p.on_sale, p.version
	FROM shelf s JOIN product p ON p.id = s.product_id JOIN shop sh ON sh.id = p.shop_id
	WHERE s.room_id = $1 ORDER BY s.position, p.id LIMIT $2`

// Shelf returns the room's products in order, in short form. A room without products or that does
// not exist has an empty shelf.
func (c *Cart) Shelf(ctx context.Context, roomID string) ([]*proto.ShelfEntry, error) {
	return readShelf(ctx, c.cfg.Pool, roomID, MaxShelf)
}

func readShelf(ctx context.Context, q store.Querier, roomID string, limit int) ([]*proto.ShelfEntry, error) {
	rows, err := q.Query(ctx, shelfSQL, roomID, limit)
	if err != nil {
		return nil, fmt.Errorf("shelf of room %s: %w", roomID, err)
	}
	shelf, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (*proto.ShelfEntry, error) {
		e := new(proto.ShelfEntry)
		return e, row.Scan(&e.ProductId, &e.Position, &e.Title, &e.ImageUrl, &e.Currency, &e.PriceFrom, &e.OnSale, &e.Version)
	})
	if err != nil {
		return nil, fmt.Errorf("shelf of room %s: %w", roomID, err)
	}
	return shelf, nil
}

// PutOnShelf puts a product on the room's shelf, or moves it there: to position 1 to the shelf's end;
// 0 or beyond the end is the end. The others make room, and the room is told by product_updated
// unless nothing changed.
//
// What is not there yet must be of the room's shop, or of a shop that shares every sku of the product
// with it (see [Cart.ShareSku]); else ErrForbidden. Its orders are its own shop's.
func (c *Cart) PutOnShelf(ctx context.Context, roomID, productID string, position int) error {
	return c.putOnShelf(ctx, roomID, productID, position, mayShelve)
}

// PutAnyOnShelf is [Cart.PutOnShelf] for an operator: the product may be of any shop.
func (c *Cart) PutAnyOnShelf(ctx context.Context, roomID, productID string, position int) error {
	return c.putOnShelf(ctx, roomID, productID, position, nil)
}

// shelver refuses products that may not stand on a room's shelf.
type shelver func(ctx context.Context, tx pgx.Tx, roomID, shopID string, p *proto.Product) error

func (c *Cart) putOnShelf(ctx context.Context, roomID, productID string, position int, check shelver) error {
	if position < 0 {
		return invalid("a position is 0 or more")
	}
	if position == 0 {
		position = MaxShelf
	}
	return c.changeShelf(ctx, roomID, productID, position, check)
}

// mayShelve is what hosts are held to.
func mayShelve(ctx context.Context, tx pgx.Tx, roomID, shopID string, p *proto.Product) error {
	if p.ShopId == shopID {
		return nil
	}
	_, err := tx.Exec(ctx, `SELECT FROM sku WHERE id IN (SELECT sku_id FROM listing WHERE product_id = $1) ORDER BY id FOR SHARE`, p.Id)
	if err != nil {
		return err
	}
	var may bool
	err = tx.QueryRow(ctx, `
		SELECT EXISTS (SELECT FROM shelf WHERE room_id = $1 AND product_id = $2) OR NOT EXISTS (
			SELECT FROM listing l JOIN sku k ON k.id = l.sku_id LEFT JOIN sku_share s ON s.sku_id = k.id AND s.shop_id = $3
			WHERE l.product_id = $2 AND (s.sku_id IS NULL OR k.shop_id <> $4))`, roomID, p.Id, shopID, p.ShopId).Scan(&may)
	if err == nil && !may {
		return proto.Refuse(proto.ReasonForbidden, "product %s is another shop's, which does not share it with the room's shop", p.Id)
	}
	return err
}

// RemoveFromShelf takes a product off the room's shelf and off show; one that is not there is no
// error.
func (c *Cart) RemoveFromShelf(ctx context.Context, roomID, productID string) error {
	return c.changeShelf(ctx, roomID, productID, 0, nil)
}

func (c *Cart) changeShelf(ctx context.Context, roomID, productID string, position int, check shelver) error {
	var news roomNews
	err := store.InTx(ctx, c.cfg.Pool, func(tx pgx.Tx) error {
		news = roomNews{}
		r, err := readRoom(ctx, tx, roomID)
		if err != nil {
			return err
		}
		product, err := lockProduct(ctx, tx, productID)
		if err != nil {
			return err
		}
		if check != nil {
			if err := check(ctx, tx, roomID, r.shopID, product); err != nil {
				return err
			}
		}
		at, err := placeOnShelf(ctx, tx, roomID, productID, position)
		if err != nil || at == unmoved {
			return err
		}
		news.add(roomID, productUpdatedEvent(product, int32(at)))
		if position == 0 {
			if err := news.hide(ctx, tx, productID, roomID); err != nil {
				return err
			}
		}
		return news.number(ctx, tx)
	})
	if err != nil {
		return wrap(err, "shelf of room %s", roomID)
	}
	news.publish(c.cfg)
	return nil
}

// unmoved is what placeOnShelf returns where nothing changed.
const unmoved = -1

// placeOnShelf puts a product at a position, or with 0 takes it off, and returns its new position.
// Positions stay 1 to n. The shelf is locked until the end of tx.
func placeOnShelf(ctx context.Context, tx pgx.Tx, roomID, productID string, position int) (int, error) {
	if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtextextended('shelf:' || $1, 0))`, roomID); err != nil {
		return 0, err
	}
	rows, err := tx.Query(ctx, `SELECT product_id FROM shelf WHERE room_id = $1 ORDER BY position, product_id`, roomID)
	if err != nil {
		return 0, err
	}
	before, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return 0, err
	}
	after := slices.DeleteFunc(slices.Clone(before), func(id string) bool { return id == productID })
	if position > 0 {
		position = min(position, len(after)+1)
		after = slices.Insert(after, position-1, productID)
	}
	if slices.Equal(before, after) {
		return unmoved, nil
	}
	if len(after) > MaxShelf {
		return 0, invalid("a shelf holds at most %d products", MaxShelf)
	}
	_, err = tx.Exec(ctx, `
		INSERT INTO shelf (room_id, product_id, position) SELECT $1, p.id, p.n FROM unnest($2::text[]) WITH ORDINALITY AS p (id, n)
		ON CONFLICT (room_id, product_id) DO UPDATE SET position = excluded.position WHERE shelf.position <> excluded.position`, roomID, after)
	if position == 0 {
		_, removeErr := tx.Exec(ctx, `DELETE FROM shelf WHERE room_id = $1 AND product_id = $2`, roomID, productID)
		err = errors.Join(err, removeErr)
	}
	return position, err
}
