package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"

	"livecart/cart"
	"livecart/proto"
	"livecart/session"
)

// whole is a whole number in JSON, also in quotes, as 64-bit integers stand in the JSON of the wire.
type whole int64

// UnmarshalJSON reads a number or the digits of one.
func (n *whole) UnmarshalJSON(data []byte) error {
	v, err := strconv.ParseInt(string(bytes.Trim(data, `"`)), 10, 64)
	if err != nil {
		return fmt.Errorf("a whole number is wanted, not %.40s", data)
	}
	*n = whole(v)
	return nil
}

// readShelf answers with a page of the room's products in order.
func (p *parts) readShelf(w http.ResponseWriter, r *request) error {
	limit, err := r.number("limit", cart.MaxShelf, 1, cart.MaxShelf)
	if err != nil {
		return err
	}
	after, err := r.number("cursor", 0, 0, cart.MaxShelf)
	if err != nil {
		return err
	}
	room, err := p.inRoom(r)
	if err != nil {
		return err
	}
	shelf, err := p.cart.Shelf(r.Context(), room.Id)
	if err != nil {
		return err
	}
	page := struct {
		Shelf []json.RawMessage `json:"shelf"`
		Total int               `json:"total"`
		// NextCursor is the position of the page's last product, empty on the last page.
		NextCursor string `json:"next_cursor"`
	}{Total: len(shelf)}
	rest := shelf[min(after, len(shelf)):]
	if len(rest) > limit {
		rest = rest[:limit]
		page.NextCursor = strconv.Itoa(after + limit)
	}
	if page.Shelf, err = wireList(rest); err != nil {
		return err
	}
	return writeCached(w, r, page)
}

// putOnShelf puts a product on the room's shelf, or moves it there; operators a product of any shop.
func (p *parts) putOnShelf(w http.ResponseWriter, r *request) error {
	var place struct {
		Position whole `json:"position"`
	}
	if err := session.ReadJSON(w, r.Request, &place); err != nil {
		return err
	}
	if place.Position < 0 || place.Position > cart.MaxShelf {
		return proto.Refuse(proto.ReasonInvalidArgument, "position is 1 to %d, or 0 for the end", cart.MaxShelf)
	}
	room, err := p.inRoom(r)
	if err != nil {
		return err
	}
	put := p.cart.PutOnShelf
	if r.viewer.Role == proto.Role_ROLE_OPERATOR {
		put = p.cart.PutAnyOnShelf
	}
	if err := put(r.Context(), room.Id, r.PathValue("product"), int(place.Position)); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// removeFromShelf takes a product off the room's shelf; one that is not there is no error.
func (p *parts) removeFromShelf(w http.ResponseWriter, r *request) error {
	room, err := p.inRoom(r)
	if err != nil {
		return err
	}
	if err := p.cart.RemoveFromShelf(r.Context(), room.Id, r.PathValue("product")); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// readProduct answers with a product and its listings. Products are no secret: no token is needed.
func (p *parts) readProduct(w http.ResponseWriter, r *request) error {
	product, err := p.cart.Product(r.Context(), r.PathValue("product"))
	if err != nil {
		return err
	}
	return session.WriteCached(w, r.Request, product)
}

func (p *parts) readShop(w http.ResponseWriter, r *request) error {
	shop, err := p.cart.Shop(r.Context(), r.PathValue("shop"))
	if err != nil {
		return err
	}
	return writeCached(w, r, shop)
}

// putShop makes the shop or renames it.
func (p *parts) putShop(w http.ResponseWriter, r *request) error {
	var shop cart.Shop
	if err := session.ReadJSON(w, r.Request, &shop); err != nil {
		return err
	}
	shop.ID = r.PathValue("shop")
	if err := ofShop(r.viewer, shop.ID); err != nil {
		return err
	}
	if err := p.cart.PutShop(r.Context(), shop); err != nil {
		return err
	}
	return session.WriteJSON(w, http.StatusOK, shop)
}

// productPut is a product as it should be, and the pieces of its skus.
type productPut struct {
	product proto.Product
	stock   map[string]int64
}

// UnmarshalJSON reads a Product of the wire with one field more, stock.
func (b *productPut) UnmarshalJSON(data []byte) error {
	if err := proto.Decode(proto.JSON, data, &b.product); err != nil {
		return err
	}
	var with struct {
		Stock map[string]whole `json:"stock"`
	}
	if err := json.Unmarshal(data, &with); err != nil {
		return err
	}
	b.stock = make(map[string]int64, len(with.Stock))
	for sku, pieces := range with.Stock {
		b.stock[sku] = int64(pieces)
	}
	return nil
}

// putProduct makes a product of the shop or brings it to what the body says.
func (p *parts) putProduct(w http.ResponseWriter, r *request) error {
	var body productPut
	if err := session.ReadJSON(w, r.Request, &body); err != nil {
		return err
	}
	body.product.Id, body.product.ShopId = r.PathValue("product"), r.PathValue("shop")
	if err := ofShop(r.viewer, body.product.ShopId); err != nil {
		return err
	}
	put, err := p.cart.PutProduct(r.Context(), &body.product, body.stock)
	if err != nil {
		return err
	}
	return session.WriteMessage(w, http.StatusOK, put)
}

// listShares answers with the shops that may list a sku of this shop.
func (p *parts) listShares(w http.ResponseWriter, r *request) error {
	shopID := r.PathValue("shop")
	if err := ofShop(r.viewer, shopID); err != nil {
		return err
	}
	found, err := p.cart.Shares(r.Context(), shopID, r.PathValue("sku"))
	if err != nil {
		return err
	}
	type share struct {
		Shop string `json:"shop"`
		Name string `json:"name"`
		// AtMs is since when it is shared.
		AtMs int64 `json:"at_ms"`
	}
	answer := struct {
		Shares []share `json:"shares"`
	}{make([]share, 0, len(found))}
	for _, s := range found {
		answer.Shares = append(answer.Shares, share{s.ShopID, s.ShopName, s.At.UnixMilli()})
	}
	return session.WriteJSON(w, http.StatusOK, answer)
}

// putShare lets another shop list a sku of this shop.
func (p *parts) putShare(w http.ResponseWriter, r *request) error {
	return changeShare(w, r, p.cart.ShareSku)
}

// deleteShare takes a share back.
func (p *parts) deleteShare(w http.ResponseWriter, r *request) error {
	return changeShare(w, r, p.cart.UnshareSku)
}

func changeShare(w http.ResponseWriter, r *request, change func(ctx context.Context, shopID, skuID, otherID string) error) error {
	shopID := r.PathValue("shop")
	if err := ofShop(r.viewer, shopID); err != nil {
		return err
	}
	if err := change(r.Context(), shopID, r.PathValue("sku"), r.PathValue("other")); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
