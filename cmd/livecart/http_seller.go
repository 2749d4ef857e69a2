package main

import (
	"net/http"

	"livecart/cart"
	"livecart/proto"
	"livecart/session"
)

// seller is the viewer as who acts for a shop: operators for every shop, hosts for their token's.
func seller(v session.Viewer) cart.Seller {
	return cart.Seller{User: v.User(), ShopID: v.Shop, AllShops: v.Role == proto.Role_ROLE_OPERATOR}
}

// listShopOrders answers with a page of a shop's orders of all rooms and of none, newest first.
func (p *parts) listShopOrders(w http.ResponseWriter, r *request) error {
	limit, err := r.number("limit", 0, 1, maxOrderPage)
	if err != nil {
		return err
	}
	if err := ofShop(r.viewer, r.PathValue("shop")); err != nil {
		return err
	}
	page, err := p.cart.ShopOrders(r.Context(), r.PathValue("shop"), "", r.URL.Query().Get("cursor"), limit)
	if err != nil {
		return err
	}
	return session.WriteMessage(w, http.StatusOK, page)
}

// repriceOrder lowers the amount of an order of the asker's shop that awaits its payment.
func (p *parts) repriceOrder(w http.ResponseWriter, r *request) error {
	cmd := new(proto.OrderReprice)
	if err := session.ReadMessage(w, r.Request, cmd); err != nil {
		return err
	}
	cmd.OrderId = r.PathValue("order")
	order, err := p.cart.Reprice(r.Context(), seller(r.viewer), r.key, cmd)
	if err != nil {
		return err
	}
	return session.WriteMessage(w, http.StatusOK, order)
}

// shipOrder sends pieces of an order of the asker's shop out.
func (p *parts) shipOrder(w http.ResponseWriter, r *request) error {
	cmd := new(proto.OrderShip)
	if err := session.ReadMessage(w, r.Request, cmd); err != nil {
		return err
	}
	cmd.OrderId = r.PathValue("order")
	order, err := p.cart.Ship(r.Context(), seller(r.viewer), r.key, cmd)
	if err != nil {
		return err
	}
	return session.WriteMessage(w, http.StatusOK, order)
}

// refundOrder gives money of an order of the asker's shop back.
func (p *parts) refundOrder(w http.ResponseWriter, r *request) error {
	cmd := new(proto.OrderRefund)
	if err := session.ReadMessage(w, r.Request, cmd); err != nil {
		return err
	}
	cmd.OrderId = r.PathValue("order")
	order, err := p.cart.Refund(r.Context(), seller(r.viewer), r.key, cmd)
	if err != nil {
		return err
	}
	return session.WriteMessage(w, http.StatusOK, order)
}
