package cart

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"livecart/proto"
	"livecart/session/store"
)

// UpdateProduct changes a product on the room's shelf: title, whether it is on sale, prices, and
// its place. It raises the version and is announced in every room that has the product. Of another
// shop's product on the shelf only the place may be changed, which leaves its version as it is and is
// announced in this room.
//
// Refusals: ErrRoomNotFound, ErrProductNotInRoom for a product that is not on this room's shelf,
// ErrForbidden for more than the place of another shop's, ErrVersionConflict unless expected_version is the product's,
// ErrListingNotFound, and invalid_argument. A product that goes off sale or off the shelf is no
// longer on show.
func (c *Cart) UpdateProduct(ctx context.Context, roomID string, by *proto.User, cmd *proto.ProductUpdate) (*proto.Product, error) {
	if cmd.Title != nil {
		if err := checkText("title", cmd.GetTitle(), 1, maxTitle); err != nil {
			return nil, err
		}
	}
	if cmd.GetPosition() < 0 {
		return nil, invalid("a position is 0 or more")
	}
	for _, lp := range cmd.Prices {
		if err := checkPrice(lp.GetPrice()); err != nil {
			return nil, err
		}
	}
	var product *proto.Product
	var news roomNews
	err := store.InTx(ctx, c.cfg.Pool, func(tx pgx.Tx) (err error) {
		news = roomNews{}
		product, err = lockShelved(ctx, tx, roomID, cmd.ProductId)
		if err != nil {
			return err
		}
		room, err := readRoom(ctx, tx, roomID)
		if err != nil {
			return err
		}
		own := product.ShopId == room.shopID
		if !own && (cmd.Title != nil || cmd.OnSale != nil || len(cmd.Prices) > 0) {
			return proto.Refuse(proto.ReasonForbidden, "product %s is another shop's: only its place is the room's to change", product.Id)
		}
		if product.Version != cmd.ExpectedVersion {
			return ErrVersionConflict
		}
		if own {
			if err := editProduct(ctx, tx, product, cmd); err != nil {
				return err
			}
		}
		place := unmoved
		if cmd.Position != nil {
			if place, err = placeOnShelf(ctx, tx, roomID, product.Id, int(cmd.GetPosition())); err != nil {
				return err
			}
		}
		if product, err = readProduct(ctx, tx, product.Id); err != nil {
			return err
		}
		if own {
			if err := news.productUpdated(ctx, tx, product); err != nil {
				return err
			}
		} else if place > 0 {
			news.add(roomID, productUpdatedEvent(product, int32(place)))
		}
		if cmd.Position != nil && cmd.GetPosition() == 0 {
			news.add(roomID, productUpdatedEvent(product, 0))
			if err := news.hide(ctx, tx, product.Id, roomID); err != nil {
				return err
			}
		}
		if !product.OnSale {
			if err := news.hide(ctx, tx, product.Id, ""); err != nil {
				return err
			}
		}
		return news.number(ctx, tx)
	})
	if err != nil {
		return nil, wrap(err, "update product %s", cmd.ProductId)
	}
	news.publish(c.cfg)
	return product, nil
}

// lockShelved locks a product that is on the room's shelf.
func lockShelved(ctx context.Context, tx pgx.Tx, roomID, productID string) (*proto.Product, error) {
	if !store.ValidID(productID) {
		return nil, ErrProductNotInRoom
	}
	if _, err := readRoom(ctx, tx, roomID); err != nil {
		return nil, err
	}
	product, err := lockProduct(ctx, tx, productID)
	if errors.Is(err, ErrProductNotFound) {
		return nil, ErrProductNotInRoom
	}
	if err != nil {
		return nil, err
	}
	var shelved bool
	err = tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM shelf WHERE room_id = $1 AND product_id = $2)`, roomID, productID).Scan(&shelved)
	if err != nil {
		return nil, err
	}
	if !shelved {
		return nil, ErrProductNotInRoom
	}
	return product, nil
}

func editProduct(ctx context.Context, tx pgx.Tx, p *proto.Product, cmd *proto.ProductUpdate) error {
	for _, lp := range cmd.Prices {
		tag, err := tx.Exec(ctx, `UPDATE listing SET price = $3 WHERE id = $1 AND product_id = $2`, lp.ListingId, p.Id, lp.Price)
		if err != nil {
			return err
		}
		if tag.RowsAffected() == 0 {
			return ErrListingNotFound
		}
	}
	_, err := tx.Exec(ctx, `UPDATE product SET title = coalesce($2, title), on_sale = coalesce($3, on_sale), version = version + 1 WHERE id = $1`,
		p.Id, cmd.Title, cmd.OnSale)
	return err
}
