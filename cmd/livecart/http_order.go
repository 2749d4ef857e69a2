package main

import (
	"encoding/json"
	"net/http"

	"livecart/cart"
	"livecart/proto"
	"livecart/session"
)

// maxOrderPage is the most orders of a page.
const maxOrderPage = 50

// orderPost is an order_create with the room it is made in; without one the order is of no room.
type orderPost struct {
	room   string
	create proto.OrderCreate
}

// UnmarshalJSON reads an OrderCreate of the wire with one field more, room.
func (b *orderPost) UnmarshalJSON(data []byte) error {
	if err := proto.Decode(proto.JSON, data, &b.create); err != nil {
		return err
	}
	return json.Unmarshal(data, &struct {
		Room *string `json:"room"`
	}{&b.room})
}

// postOrder orders listings, all or nothing. It answers with the order, or with a page of orders where
// the listings are of several shops.
func (p *parts) postOrder(w http.ResponseWriter, r *request) error {
	var body orderPost
	if err := session.ReadJSON(w, r.Request, &body); err != nil {
		return err
	}
	if body.room != "" {
		if _, err := p.rooms.Enter(r.Context(), r.viewer, body.room); err != nil {
			return err
		}
	}
	orders, err := p.cart.CreateOrders(r.Context(), body.room, buyer(r.viewer), r.key, &body.create)
	if err != nil {
		return err
	}
	if len(orders) > 1 {
		return session.WriteMessage(w, http.StatusCreated, &proto.OrderPage{Orders: orders})
	}
	w.Header().Set("Location", "/v1/orders/"+orders[0].Id)
	return session.WriteMessage(w, http.StatusCreated, orders[0])
}

// listOrders answers with a page of the asker's own orders, newest first.
func (p *parts) listOrders(w http.ResponseWriter, r *request) error {
	limit, err := r.number("limit", 0, 1, maxOrderPage)
	if err != nil {
		return err
	}
	page, err := p.cart.Orders(r.Context(), r.viewer.ID, &proto.OrderList{Limit: int32(limit), Cursor: r.URL.Query().Get("cursor")})
	if err != nil {
		return err
	}
	return session.WriteMessage(w, http.StatusOK, page)
}

// readOrder answers with an own order.
func (p *parts) readOrder(w http.ResponseWriter, r *request) error {
	order, err := p.cart.Order(r.Context(), r.viewer.ID, &proto.OrderGet{OrderId: r.PathValue("order")})
	if err != nil {
		return err
	}
	return session.WriteMessage(w, http.StatusOK, order)
}

// payOrder answers with where and how much to pay.
func (p *parts) payOrder(w http.ResponseWriter, r *request) error {
	payment, err := p.cart.Pay(r.Context(), r.viewer.ID, r.key, r.PathValue("order"))
	if err != nil {
		return err
	}
	return session.WriteMessage(w, http.StatusOK, payment)
}

// cancelOrder ends an own order that awaits its payment.
func (p *parts) cancelOrder(w http.ResponseWriter, r *request) error {
	order, err := p.cart.Cancel(r.Context(), r.viewer.ID, r.key, r.PathValue("order"))
	if err != nil {
		return err
	}
	return session.WriteMessage(w, http.StatusOK, order)
}

// putAddress sets where an own order goes.
func (p *parts) putAddress(w http.ResponseWriter, r *request) error {
	address := new(proto.Address)
	if err := session.ReadMessage(w, r.Request, address); err != nil {
		return err
	}
	order, err := p.cart.SetAddress(r.Context(), r.viewer.ID, &proto.OrderAddress{OrderId: r.PathValue("order"), ShipTo: address})
	if err != nil {
		return err
	}
	return session.WriteMessage(w, http.StatusOK, order)
}

// receiveOrder completes an own order that was shipped.
func (p *parts) receiveOrder(w http.ResponseWriter, r *request) error {
	order, err := p.cart.Receive(r.Context(), r.viewer.ID, r.key, r.PathValue("order"))
	if err != nil {
		return err
	}
	return session.WriteMessage(w, http.StatusOK, order)
}

// listRoomOrders answers with a page of the orders that the room's shop got in this room, newest
// first. Moderators see addresses masked.
func (p *parts) listRoomOrders(w http.ResponseWriter, r *request) error {
	limit, err := r.number("limit", 0, 1, maxOrderPage)
	if err != nil {
		return err
	}
	room, err := p.inRoom(r)
	if err != nil {
		return err
	}
	page, err := p.cart.ShopOrders(r.Context(), room.ShopId, room.Id, r.URL.Query().Get("cursor"), limit)
	if err != nil {
		return err
	}
	if !r.viewer.Role.Hosts() {
		for _, order := range page.Orders {
			order.ShipTo = cart.MaskAddress(order.ShipTo)
		}
	}
	return session.WriteMessage(w, http.StatusOK, page)
}
