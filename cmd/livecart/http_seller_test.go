package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"livecart/cart"
	"livecart/proto"
	"livecart/session"
)

// TestSellerOfAnOrder takes an order by HTTP through a reprice, its payment, a partial shipment, a
// refund of the rest, and the buyer's receipt; another shop's host finds it at no step.
func TestSellerOfAnOrder(t *testing.T) {
	f := newFront(t)
	viewer, host := f.viewer(), f.host()
	f.do("PUT", "/v1/shops/other", f.operator(), `{"name":"Other","currency":"CNY"}`).want(http.StatusOK, "")
	stranger := f.token(session.Claims{Subject: "eve", Role: "host", Rooms: session.RoomList{"*"}, Shop: "other"})
	shopless := f.token(session.Claims{Subject: "sam", Role: "host", Rooms: session.RoomList{"*"}})

	var o proto.Order
	f.do("POST", "/v1/orders", viewer, `{"room":"room","items":[{"listing_id":"mug-blue","quantity":2}],
		"ship_to":{"name":"Vi","phone":"555-0199","country":"CN","city":"Jinan","street":"1 Spring"}}`, key("make")).want(http.StatusCreated, "").into(&o)
	step := func(what, body, k string) {
		t.Helper()
		path := "/v1/orders/" + o.Id + "/" + what
		f.do("POST", path, stranger, body, key(k)).want(http.StatusNotFound, proto.ReasonNotFound)
		f.do("POST", path, shopless, body, key(k)).want(http.StatusNotFound, proto.ReasonNotFound)
		o = proto.Order{}
		f.do("POST", path, host, body, key(k)).want(http.StatusOK, "").into(&o)
	}
	step("reprice", fmt.Sprintf(`{"amount":"9001","expected_version":%d}`, o.Version), "cheaper")
	if o.Amount != 9001 || o.Discount != 799 || o.PriceVersion != 2 {
		t.Errorf("repriced: %v", &o)
	}
	f.do("POST", "/v1/orders/"+o.Id+"/ship", host, `{"carrier":"SF","waybill":"1"}`, key("early")).want(http.StatusConflict, proto.ReasonOrderState)

	var pay proto.Payment
	f.do("POST", "/v1/orders/"+o.Id+"/pay", viewer, "", key("pay")).want(http.StatusOK, "").into(&pay)
	f.must(f.parts.cart.HandleNotice(t.Context(), cart.Notice{
		EventID: "e1", PaymentID: pay.PaymentId, Kind: cart.PaymentSucceeded, Amount: pay.Amount, Currency: pay.Currency, PaidAt: time.Now(),
	}))
	step("ship", `{"carrier":"SF","waybill":"SF1","pieces":[{"line":1,"quantity":1}]}`, "ship")
	if o.State != proto.OrderState_ORDER_STATE_PAID || len(o.Shipments) != 1 || o.Lines[0].Shipped != 1 {
		t.Errorf("shipped in part: %v", &o)
	}
	step("refund", `{"restock":true,"reason":"broken","pieces":[{"line":1,"quantity":1}]}`, "refund")
	if o.State != proto.OrderState_ORDER_STATE_SHIPPED || o.Refunded != 4500 || !o.Refunds[0].Restocked {
		t.Errorf("refunded the rest: %v", &o)
	}
	o = proto.Order{}
	f.do("POST", "/v1/orders/"+pay.OrderId+"/receive", viewer, "", key("here")).want(http.StatusOK, "").into(&o)
	if o.State != proto.OrderState_ORDER_STATE_COMPLETED {
		t.Errorf("received: %v", &o)
	}
	var page proto.OrderPage
	f.do("GET", "/v1/shops/shop/orders", host, "").want(http.StatusOK, "").into(&page)
	if len(page.Orders) != 1 || !proto.Equal(page.Orders[0], &o) {
		t.Errorf("the shop's orders are %v", page.Orders)
	}
}

// TestOrderOfTwoShops orders in a room what its shop and a partner sell; the partner's goods come on the
// shelf by an operator, or by a share.
func TestOrderOfTwoShops(t *testing.T) {
	f := newFront(t)
	operator, host, viewer := f.operator(), f.host(), f.viewer()
	f.do("PUT", "/v1/shops/other", operator, `{"name":"Other","currency":"USD"}`).want(http.StatusOK, "")
	f.do("PUT", "/v1/shops/other/products/bag", operator, `{"title":"Bag","on_sale":true,"listings":[{"id":"bag","sku_id":"sku-bag","price":700}],
		"stock":{"sku-bag":5}}`).want(http.StatusOK, "")
	partner := f.token(session.Claims{Subject: "eve", Role: "host", Rooms: session.RoomList{"elsewhere"}, Shop: "other"})
	shelve := func(token string) answer { return f.do("PUT", "/v1/rooms/room/shelf/bag", token, `{}`) }
	shelve(host).want(http.StatusForbidden, proto.ReasonForbidden)
	shares := func(token, want string) {
		t.Helper()
		var list struct{ Shares []map[string]any }
		f.do("GET", "/v1/shops/other/skus/sku-bag/shares", token, "").want(http.StatusOK, "").into(&list)
		var shops []string
		for _, s := range list.Shares {
			at, _ := s["at_ms"].(float64)
			if age := time.Since(time.UnixMilli(int64(at))); age < -time.Minute || age > time.Hour {
				t.Errorf("shared since %v", s["at_ms"])
			}
			shops = append(shops, fmt.Sprint(s["shop"], " ", s["name"]))
		}
		if got := strings.Join(shops, ", "); got != want || list.Shares == nil {
			t.Errorf("shared with %q, want %q", got, want)
		}
	}
	shares(partner, "")
	f.do("PUT", "/v1/shops/other/skus/sku-bag/shares/shop", partner, "").want(http.StatusNoContent, "")
	shares(partner, "shop Hana's")
	shares(operator, "shop Hana's")
	shelve(host).want(http.StatusNoContent, "")
	f.do("DELETE", "/v1/shops/other/skus/sku-bag/shares/shop", partner, "").want(http.StatusNoContent, "")
	shares(operator, "")
	f.do("DELETE", "/v1/rooms/room/shelf/bag", host, "").want(http.StatusNoContent, "")
	shelve(host).want(http.StatusForbidden, proto.ReasonForbidden)
	shelve(operator).want(http.StatusNoContent, "")

	const body = `{"room":"room","items":[{"listing_id":"mug-blue","quantity":1},{"listing_id":"bag","quantity":2}]}`
	var made, again, shop proto.OrderPage
	a := f.do("POST", "/v1/orders", viewer, body, key("k")).want(http.StatusCreated, "")
	a.into(&made)
	if len(made.Orders) != 2 || made.Orders[0].ShopId != "shop" || made.Orders[1].ShopId != "other" || a.header.Get("Location") != "" {
		t.Fatalf("made %v at %q", made.Orders, a.header.Get("Location"))
	}
	f.do("POST", "/v1/orders", viewer, body, key("k")).want(http.StatusCreated, "").into(&again)
	if !proto.Equal(&made, &again) {
		t.Errorf("again:\n%v\nnot\n%v", &again, &made)
	}
	f.do("GET", "/v1/shops/other/orders", partner, "").want(http.StatusOK, "").into(&shop)
	if len(shop.Orders) != 1 || shop.Orders[0].Id != made.Orders[1].Id {
		t.Errorf("the partner's orders are %v", shop.Orders)
	}
	f.do("POST", "/v1/orders/"+made.Orders[1].Id+"/reprice", host, `{"amount":1,"expected_version":1}`, key("r")).want(http.StatusNotFound, proto.ReasonNotFound)
	f.do("POST", "/v1/orders/"+made.Orders[1].Id+"/reprice", partner, `{"amount":1,"expected_version":1}`, key("r")).want(http.StatusOK, "")
}
