package main

import (
	"errors"
	"fmt"
	"net/http"
	"testing"

	"livecart/proto"
	"livecart/session"
)

// TestSellersActForTheRoomsShop gives the commands of orders by their routes: an order_create of two
// shops answers with both orders, and the room's host changes the one of the room's shop alone, whatever
// shop the token names.
func TestSellersActForTheRoomsShop(t *testing.T) {
	f := newFront(t)
	f.do("PUT", "/v1/shops/other", f.operator(), `{"name":"Other","currency":"USD"}`).want(http.StatusOK, "")
	f.do("PUT", "/v1/shops/other/products/bag", f.operator(), `{"title":"Bag","on_sale":true,"listings":[{"id":"bag","sku_id":"sku-bag","price":700}],
		"stock":{"sku-bag":5}}`).want(http.StatusOK, "")
	f.do("PUT", "/v1/rooms/room/shelf/bag", f.operator(), `{}`).want(http.StatusNoContent, "")
	routes := commandRoutes(f.parts)
	calls := 0
	give := func(v session.Viewer, kind string, cmd *proto.Command) (*proto.Ok, error) {
		calls++
		return routes[kind].Handle(t.Context(), session.Call{Viewer: v, RoomID: "room", RequestID: fmt.Sprint("r", calls), Command: cmd})
	}
	vi := session.Viewer{ID: "vi", Name: "Vi", Role: proto.Role_ROLE_VIEWER}
	ok, err := give(vi, "order_create", &proto.Command{Command: &proto.Command_OrderCreate{OrderCreate: &proto.OrderCreate{
		Items: []*proto.OrderItem{{ListingId: "mug-blue", Quantity: 1}, {ListingId: "bag", Quantity: 1}},
	}}})
	f.must(err)
	made := ok.GetOrders().GetOrders()
	if len(made) != 2 {
		t.Fatalf("order_create answered %v", ok)
	}
	asked, err := give(vi, "order_get", &proto.Command{Command: &proto.Command_OrderGet{OrderGet: &proto.OrderGet{OfRequestId: "r1"}}})
	f.must(err)
	if !proto.Equal(asked, ok) {
		t.Errorf("order_get of the request answered %v", asked)
	}
	one, err := give(vi, "order_get", &proto.Command{Command: &proto.Command_OrderGet{OrderGet: &proto.OrderGet{OrderId: made[1].Id}}})
	f.must(err)
	if !proto.Equal(one.GetOrder(), made[1]) {
		t.Errorf("order_get of the order answered %v", one)
	}

	restock := true
	for _, shop := range []string{"shop", "other", ""} {
		host := session.Viewer{ID: "hana", Role: proto.Role_ROLE_HOST, Shop: shop}
		for kind, cmd := range map[string]*proto.Command{
			"order_reprice": {Command: &proto.Command_OrderReprice{OrderReprice: &proto.OrderReprice{OrderId: made[1].Id, Amount: 1, ExpectedVersion: 1}}},
			"order_ship":    {Command: &proto.Command_OrderShip{OrderShip: &proto.OrderShip{OrderId: made[1].Id, Carrier: "SF", Waybill: "1"}}},
			"order_refund":  {Command: &proto.Command_OrderRefund{OrderRefund: &proto.OrderRefund{OrderId: made[1].Id, Restock: &restock}}},
		} {
			var p *proto.Problem
			if _, err := give(host, kind, cmd); !errors.As(err, &p) || p.Reason != proto.ReasonNotFound {
				t.Errorf("%s of a partner's order by a host of shop %q: %v", kind, shop, err)
			}
		}
	}
	repriced, err := give(session.Viewer{ID: "hana", Role: proto.Role_ROLE_HOST, Shop: "other"}, "order_reprice", &proto.Command{
		Command: &proto.Command_OrderReprice{OrderReprice: &proto.OrderReprice{OrderId: made[0].Id, Amount: 4000, ExpectedVersion: made[0].Version}},
	})
	f.must(err)
	if o := repriced.GetOrder(); o.GetAmount() != 4000 || o.GetDiscount() != 900 {
		t.Errorf("order_reprice answered %v", repriced)
	}
	_, err = give(vi, "order_receive", &proto.Command{Command: &proto.Command_OrderReceive{OrderReceive: &proto.OrderReceive{OrderId: made[0].Id}}})
	var p *proto.Problem
	if !errors.As(err, &p) || p.Reason != proto.ReasonOrderState {
		t.Errorf("order_receive of an unpaid order: %v", err)
	}
}
