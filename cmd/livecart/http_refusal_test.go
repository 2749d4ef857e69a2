package main

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"livecart/cart"
	"livecart/proto"
	"livecart/session"
)

// refusal is a request that must do nothing.
type refusal struct {
	name, request string // "METHOD path"
	token         string
	key           string
	body          string
	status        int
	reason        proto.Reason
}

// bad lists for every endpoint what it refuses.
func bad(f *front) []refusal {
	operator, host, moderator, viewer, stranger := f.operator(), f.host(), f.moderator(), f.viewer(), f.stranger()
	outsider := f.token(session.Claims{Subject: "out", Rooms: session.RoomList{"elsewhere"}})
	const (
		order    = `{"items":[{"listing_id":"mug-blue","quantity":1}]}`
		soldOut  = `{"room":"room","items":[{"listing_id":"mug-red","quantity":2}]}`
		tooMany  = `{"items":[{"listing_id":"mug-blue","quantity":100}]}`
		negative = `{"items":[{"listing_id":"mug-blue","quantity":-1}]}`
		address  = `{"name":"Vi","phone":"555-0199","country":"China","city":"Jinan","street":"1 Spring"}`
	)
	return []refusal{
		{"junk", "GET /v1/rooms", "junk", "", "", 401, proto.ReasonSignInRequired},

		{"no token", "POST /v1/rooms", "", "", `{}`, 401, proto.ReasonSignInRequired},
		{"viewer", "POST /v1/rooms", viewer, "", `{}`, 403, proto.ReasonForbidden},
		{"no body", "POST /v1/rooms", host, "", "", 400, proto.ReasonMalformedFrame},
		{"no JSON", "POST /v1/rooms", host, "", `{"title":`, 400, proto.ReasonMalformedFrame},
		{"untitled", "POST /v1/rooms", host, "", `{"id":"next"}`, 422, proto.ReasonInvalidArgument},
		{"bad id", "POST /v1/rooms", operator, "", `{"id":"n\u0000xt","title":"x","host":{"id":"hana"}}`, 422, proto.ReasonInvalidArgument},
		{"another's shop", "POST /v1/rooms", host, "", `{"id":"next","title":"x","shop_id":"other"}`, 403, proto.ReasonForbidden},
		{"room not of the token", "POST /v1/rooms", host, "", `{"id":"third","title":"x"}`, 403, proto.ReasonForbidden},
		{"room that exists", "POST /v1/rooms", host, "", `{"id":"room","title":"x"}`, 409, proto.ReasonVersionConflict},
		{"no such shop", "POST /v1/rooms", operator, "", `{"id":"r2","title":"x","shop_id":"none","host":{"id":"h"}}`, 404, proto.ReasonNotFound},
		{"script address", "POST /v1/rooms", host, "", `{"id":"next","title":"x","playback_url":"javascript:alert(1)"}`, 422, proto.ReasonInvalidArgument},

		{"no such room", "GET /v1/rooms/none", viewer, "", "", 404, proto.ReasonRoomNotFound},
		{"an id that is none", "GET /v1/rooms/a%00b", viewer, "", "", 404, proto.ReasonRoomNotFound},
		{"closed to guests", "GET /v1/rooms/club", "", "", "", 401, proto.ReasonSignInRequired},
		{"wrong room", "GET /v1/rooms/room", outsider, "", "", 403, proto.ReasonForbidden},

		{"moderator", "PATCH /v1/rooms/room", moderator, "", `{"title":"x"}`, 403, proto.ReasonForbidden},
		{"another host", "PATCH /v1/rooms/room", stranger, "", `{"title":"x"}`, 403, proto.ReasonForbidden},
		{"old version", "PATCH /v1/rooms/room", host, "", `{"title":"x","version":"1"}`, 409, proto.ReasonVersionConflict},
		{"version 0", "PATCH /v1/rooms/room", host, "", `{"title":"x","version":0}`, 409, proto.ReasonVersionConflict},
		{"a word for a number", "PATCH /v1/rooms/room", host, "", `{"version":"one"}`, 400, proto.ReasonMalformedFrame},
		{"long title", "PATCH /v1/rooms/room", host, "", `{"title":"` + strings.Repeat("x", session.MaxRoomTitle+1) + `"}`, 422, proto.ReasonInvalidArgument},

		{"live already", "POST /v1/rooms/room/start", host, "", "", 409, proto.ReasonRoomState},
		{"viewer", "POST /v1/rooms/room/pause", viewer, "", "", 403, proto.ReasonForbidden},
		{"not paused", "POST /v1/rooms/room/resume", host, "", "", 409, proto.ReasonRoomState},
		{"another host", "POST /v1/rooms/room/end", stranger, "", "", 403, proto.ReasonForbidden},

		{"no token", "POST /v1/rooms/room/comments", "", "", `{"text":"x"}`, 401, proto.ReasonSignInRequired},
		{"empty", "POST /v1/rooms/room/comments", viewer, "", `{"text":" "}`, 422, proto.ReasonMessageEmpty},
		{"too long", "POST /v1/rooms/room/comments", viewer, "", `{"text":"` + strings.Repeat("x", 501) + `"}`, 422, proto.ReasonMessageTooLong},
		{"body too large", "POST /v1/rooms/room/comments", viewer, "", `{"text":"` + strings.Repeat("x", session.MaxBody) + `"}`, 400, proto.ReasonMalformedFrame},
		{"not live", "POST /v1/rooms/club/comments", viewer, "", `{"text":"x"}`, 409, proto.ReasonRoomNotLive},
		{"long key", "POST /v1/rooms/room/comments", viewer, strings.Repeat("k", proto.MaxRequestID+1), `{"text":"x"}`, 422, proto.ReasonInvalidArgument},

		{"no places", "GET /v1/rooms/room/ranking?limit=0", viewer, "", "", 422, proto.ReasonInvalidArgument},
		{"too many places", "GET /v1/rooms/room/ranking?limit=101", viewer, "", "", 422, proto.ReasonInvalidArgument},
		{"too long a page", "GET /v1/rooms/room/shelf?limit=501", viewer, "", "", 422, proto.ReasonInvalidArgument},
		{"a cursor that is none", "GET /v1/rooms/room/shelf?cursor=x", viewer, "", "", 422, proto.ReasonInvalidArgument},

		{"viewer", "PUT /v1/rooms/room/shelf/mug", viewer, "", `{}`, 403, proto.ReasonForbidden},
		{"no such product", "PUT /v1/rooms/room/shelf/none", host, "", `{}`, 404, proto.ReasonNotFound},
		{"before the first", "PUT /v1/rooms/room/shelf/mug", host, "", `{"position":-1}`, 422, proto.ReasonInvalidArgument},
		{"beyond the last", "PUT /v1/rooms/room/shelf/mug", host, "", `{"position":501}`, 422, proto.ReasonInvalidArgument},
		{"half a place", "PUT /v1/rooms/room/shelf/mug", host, "", `{"position":1.5}`, 400, proto.ReasonMalformedFrame},
		{"another host", "DELETE /v1/rooms/room/shelf/mug", stranger, "", "", 403, proto.ReasonForbidden},

		{"viewer", "GET /v1/rooms/room/orders", viewer, "", "", 403, proto.ReasonForbidden},
		{"another host", "GET /v1/rooms/room/orders", stranger, "", "", 403, proto.ReasonForbidden},
		{"a cursor that is none", "GET /v1/rooms/room/orders?cursor=x", host, "", "", 422, proto.ReasonInvalidArgument},
		{"no token", "GET /v1/rooms/room/statement", "", "", "", 401, proto.ReasonSignInRequired},
		{"viewer", "GET /v1/rooms/room/statement", viewer, "", "", 403, proto.ReasonForbidden},
		{"a format that is none", "GET /v1/rooms/room/statement?format=pdf", host, "", "", 422, proto.ReasonInvalidArgument},

		{"no such product", "GET /v1/products/none", "", "", "", 404, proto.ReasonNotFound},
		{"an id that is none", "GET /v1/products/a%00b", "", "", "", 404, proto.ReasonNotFound},
		{"an id that is none", "GET /v1/orders/a%00b", viewer, "", "", 404, proto.ReasonNotFound},
		{"no such shop", "GET /v1/shops/none", "", "", "", 404, proto.ReasonNotFound},
		{"another's shop", "PUT /v1/shops/shop", stranger, "", `{"name":"x","currency":"CNY"}`, 403, proto.ReasonForbidden},
		{"no currency", "PUT /v1/shops/shop", host, "", `{"name":"x","currency":"yuan"}`, 422, proto.ReasonInvalidArgument},
		{"other currency", "PUT /v1/shops/shop", host, "", `{"name":"x","currency":"EUR"}`, 422, proto.ReasonInvalidArgument},
		{"another's product", "PUT /v1/shops/shop/products/mug", stranger, "", `{"title":"x"}`, 403, proto.ReasonForbidden},
		{"nothing offered", "PUT /v1/shops/shop/products/mug", host, "", `{"title":"x"}`, 422, proto.ReasonInvalidArgument},
		{"negative stock", "PUT /v1/shops/shop/products/mug", host, "",
			`{"title":"x","listings":[{"id":"mug-blue","sku_id":"sku-blue","price":1}],"stock":{"sku-blue":-1}}`, 422, proto.ReasonInvalidQuantity},
		{"a price in words", "PUT /v1/shops/shop/products/mug", host, "", `{"title":"x","listings":[{"price":"one"}]}`, 400, proto.ReasonMalformedFrame},

		{"viewer", "PUT /v1/shops/shop/webhooks/erp", viewer, "", `{}`, 403, proto.ReasonForbidden},
		{"another's shop", "PUT /v1/shops/shop/webhooks/erp", stranger, "", `{}`, 403, proto.ReasonForbidden},
		{"no such shop", "PUT /v1/shops/none/webhooks/erp", operator, "", `{"url":"https://shop.example/","secret":"` + noticeSecret + `"}`, 404, proto.ReasonNotFound},
		{"no address", "PUT /v1/shops/shop/webhooks/erp", host, "", `{"secret":"` + noticeSecret + `"}`, 422, proto.ReasonInvalidArgument},
		{"plain http", "PUT /v1/shops/shop/webhooks/erp", host, "", `{"url":"http://shop.example/","secret":"` + noticeSecret + `"}`, 422, proto.ReasonInvalidArgument},
		{"our own machine", "PUT /v1/shops/shop/webhooks/erp", host, "", `{"url":"https://127.0.0.1/","secret":"` + noticeSecret + `"}`, 422, proto.ReasonInvalidArgument},
		{"no secret", "PUT /v1/shops/shop/webhooks/erp", host, "", `{"url":"https://shop.example/"}`, 422, proto.ReasonInvalidArgument},
		{"another's shop", "GET /v1/shops/shop/webhooks/erp", stranger, "", "", 403, proto.ReasonForbidden},
		{"no such webhook", "GET /v1/shops/shop/webhooks/erp", host, "", "", 404, proto.ReasonNotFound},
		{"an id that is none", "GET /v1/shops/shop/webhooks/a%00b", host, "", "", 404, proto.ReasonNotFound},
		{"another's shop", "DELETE /v1/shops/shop/webhooks/erp", stranger, "", "", 403, proto.ReasonForbidden},

		{"host", "PUT /v1/gifts/rose", host, "", `{"names":{"en":"Rose"},"beans":1,"tier":1}`, 403, proto.ReasonForbidden},
		{"free", "PUT /v1/gifts/rose", operator, "", `{"names":{"en":"Rose"},"beans":0,"tier":1}`, 422, proto.ReasonInvalidArgument},

		{"no token", "GET /v1/wallet", "", "", "", 401, proto.ReasonSignInRequired},
		{"no token", "POST /v1/topups", "", "k", `{"beans":1}`, 401, proto.ReasonSignInRequired},
		{"no beans", "POST /v1/topups", viewer, "k", `{"beans":0}`, 422, proto.ReasonInvalidQuantity},
		{"negative beans", "POST /v1/topups", viewer, "k", `{"beans":-5}`, 422, proto.ReasonInvalidQuantity},
		{"too many beans", "POST /v1/topups", viewer, "k", `{"beans":700001}`, 422, proto.ReasonInvalidQuantity},
		{"more than an integer", "POST /v1/topups", viewer, "k", `{"beans":9223372036854775808}`, 400, proto.ReasonMalformedFrame},

		{"another's", "GET /v1/lots?user=hana", viewer, "", "", 403, proto.ReasonForbidden},
		{"host", "POST /v1/lots/none/refund", host, "k", `{}`, 403, proto.ReasonForbidden},
		{"the viewer", "POST /v1/lots/none/refund", viewer, "k", `{}`, 403, proto.ReasonForbidden},
		{"no such lot", "POST /v1/lots/none/refund", operator, "k", `{}`, 404, proto.ReasonNotFound},
		{"an id that is none", "POST /v1/lots/a%00b/refund", operator, "k", `{}`, 404, proto.ReasonNotFound},
		{"no beans", "POST /v1/lots/none/refund", operator, "k", `{"beans":0}`, 422, proto.ReasonInvalidQuantity},
		{"negative beans", "POST /v1/lots/none/refund", operator, "k", `{"beans":-1}`, 422, proto.ReasonInvalidQuantity},
		{"more than an integer", "POST /v1/lots/none/refund", operator, "k", `{"beans":9223372036854775808}`, 400, proto.ReasonMalformedFrame},
		{"host", "POST /v1/tips/none/reversal", host, "k", `{"reason":"x"}`, 403, proto.ReasonForbidden},
		{"no such tip", "POST /v1/tips/none/reversal", operator, "k", `{"reason":"x"}`, 404, proto.ReasonNotFound},
		{"an id that is none", "POST /v1/tips/a%00b/reversal", operator, "k", `{"reason":"x"}`, 404, proto.ReasonNotFound},
		{"no reason", "POST /v1/tips/none/reversal", operator, "k", `{}`, 422, proto.ReasonInvalidArgument},
		{"another host's", "GET /v1/settlements?host=otto", host, "", "", 403, proto.ReasonForbidden},
		{"too long a page", "GET /v1/settlements?limit=101", host, "", "", 422, proto.ReasonInvalidArgument},
		{"a cursor that is none", "GET /v1/settlements?cursor=x", host, "", "", 422, proto.ReasonInvalidArgument},
		{"host", "POST /v1/settlements", host, "k", `{"host_id":"hana"}`, 403, proto.ReasonForbidden},
		{"no host", "POST /v1/settlements", operator, "k", `{}`, 422, proto.ReasonInvalidArgument},
		{"tomorrow", "POST /v1/settlements", operator, "k", `{"host_id":"hana","until_ms":99999999999999}`, 422, proto.ReasonInvalidArgument},
		{"beyond what years are", "POST /v1/settlements", operator, "k", `{"host_id":"hana","until_ms":9223372036854775807}`, 422, proto.ReasonInvalidArgument},
		{"nothing to settle", "POST /v1/settlements", operator, "k", `{"host_id":"hana"}`, 409, proto.ReasonNothingToSettle},
		{"another host's", "GET /v1/hosts/otto/earnings", host, "", "", 403, proto.ReasonForbidden},
		{"another's shop", "GET /v1/shops/shop/fees", stranger, "", "", 403, proto.ReasonForbidden},
		{"host", "PUT /v1/shops/shop/fees", host, "", `{"sale_ppm":0,"tip_ppm":0}`, 403, proto.ReasonForbidden},
		{"half a policy", "PUT /v1/shops/shop/fees", operator, "", `{"sale_ppm":0}`, 422, proto.ReasonInvalidArgument},
		{"more than all", "PUT /v1/shops/shop/fees", operator, "", `{"sale_ppm":1000001,"tip_ppm":0}`, 422, proto.ReasonInvalidArgument},
		{"yesterday", "PUT /v1/shops/shop/fees", operator, "", `{"since_ms":1,"sale_ppm":0,"tip_ppm":0}`, 422, proto.ReasonInvalidArgument},
		{"no such shop", "PUT /v1/shops/none/fees", operator, "", `{"sale_ppm":0,"tip_ppm":0}`, 404, proto.ReasonNotFound},

		{"no token", "GET /v1/orders", "", "", "", 401, proto.ReasonSignInRequired},
		{"too long a page", "GET /v1/orders?limit=51", viewer, "", "", 422, proto.ReasonInvalidArgument},
		{"no token", "POST /v1/orders", "", "k", order, 401, proto.ReasonSignInRequired},
		{"nothing", "POST /v1/orders", viewer, "k", `{}`, 422, proto.ReasonInvalidArgument},
		{"a list for an order", "POST /v1/orders", viewer, "k", `[]`, 400, proto.ReasonMalformedFrame},
		{"a number for a room", "POST /v1/orders", viewer, "k", `{"room":7}`, 400, proto.ReasonMalformedFrame},
		{"a hundred", "POST /v1/orders", viewer, "k", tooMany, 422, proto.ReasonInvalidQuantity},
		{"less than none", "POST /v1/orders", viewer, "k", negative, 422, proto.ReasonInvalidQuantity},
		{"more than there is", "POST /v1/orders", viewer, "k-sold-out", soldOut, 409, proto.ReasonSoldOut},
		{"no such room", "POST /v1/orders", viewer, "k", `{"room":"none","items":[{"listing_id":"mug-blue","quantity":1}]}`, 404, proto.ReasonRoomNotFound},
		{"wrong room", "POST /v1/orders", outsider, "k", `{"room":"room","items":[{"listing_id":"mug-blue","quantity":1}]}`, 403, proto.ReasonForbidden},
		{"no such order", "GET /v1/orders/none", viewer, "", "", 404, proto.ReasonNotFound},
		{"no such order", "POST /v1/orders/none/pay", viewer, "k", "", 404, proto.ReasonNotFound},
		{"no such order", "POST /v1/orders/none/cancel", viewer, "k", "", 404, proto.ReasonNotFound},
		{"no such country", "PUT /v1/orders/none/address", viewer, "", address, 422, proto.ReasonInvalidArgument},
		{"no such address", "PUT /v1/orders/none/address", viewer, "", `{}`, 422, proto.ReasonInvalidArgument},

		{"no such order", "POST /v1/orders/none/receive", viewer, "k", "", 404, proto.ReasonNotFound},
		{"viewer", "POST /v1/orders/none/reprice", viewer, "k", `{"amount":1}`, 403, proto.ReasonForbidden},
		{"no amount", "POST /v1/orders/none/reprice", host, "k", `{}`, 422, proto.ReasonRepriceZero},
		{"less than nothing", "POST /v1/orders/none/reprice", host, "k", `{"amount":-1}`, 422, proto.ReasonRepriceZero},
		{"more than an integer", "POST /v1/orders/none/reprice", host, "k", `{"amount":9223372036854775808}`, 400, proto.ReasonMalformedFrame},
		{"no such order", "POST /v1/orders/none/reprice", host, "k", `{"amount":1}`, 404, proto.ReasonNotFound},
		{"moderator", "POST /v1/orders/none/ship", moderator, "k", `{"carrier":"SF","waybill":"1"}`, 403, proto.ReasonForbidden},
		{"no waybill", "POST /v1/orders/none/ship", host, "k", `{"carrier":"SF"}`, 422, proto.ReasonInvalidArgument},
		{"no pieces of a line", "POST /v1/orders/none/ship", host, "k", `{"carrier":"SF","waybill":"1","pieces":[{"line":1}]}`, 422, proto.ReasonInvalidQuantity},
		{"no such order", "POST /v1/orders/none/ship", host, "k", `{"carrier":"SF","waybill":"1"}`, 404, proto.ReasonNotFound},
		{"viewer", "POST /v1/orders/none/refund", viewer, "k", `{"restock":true}`, 403, proto.ReasonForbidden},
		{"no choice", "POST /v1/orders/none/refund", host, "k", `{}`, 422, proto.ReasonInvalidArgument},
		{"a word for a choice", "POST /v1/orders/none/refund", host, "k", `{"restock":"yes"}`, 400, proto.ReasonMalformedFrame},
		{"less than nothing", "POST /v1/orders/none/refund", host, "k", `{"restock":true,"pieces":[{"line":1,"quantity":-1}]}`, 422, proto.ReasonInvalidQuantity},
		{"no such order", "POST /v1/orders/none/refund", operator, "k", `{"restock":true}`, 404, proto.ReasonNotFound},
		{"another's shop", "GET /v1/shops/shop/skus/sku-blue/shares", stranger, "", "", 403, proto.ReasonForbidden},
		{"viewer", "GET /v1/shops/shop/skus/sku-blue/shares", viewer, "", "", 403, proto.ReasonForbidden},
		{"no such sku", "GET /v1/shops/shop/skus/none/shares", host, "", "", 404, proto.ReasonNotFound},
		{"a sku of another shop", "GET /v1/shops/other/skus/sku-blue/shares", operator, "", "", 404, proto.ReasonNotFound},
		{"an id that is none", "GET /v1/shops/shop/skus/a%00b/shares", host, "", "", 404, proto.ReasonNotFound},
		{"another's shop", "PUT /v1/shops/shop/skus/sku-blue/shares/other", stranger, "", "", 403, proto.ReasonForbidden},
		{"no such sku", "PUT /v1/shops/shop/skus/none/shares/shop2", host, "", "", 404, proto.ReasonNotFound},
		{"no such shop", "PUT /v1/shops/shop/skus/sku-blue/shares/none", host, "", "", 404, proto.ReasonNotFound},
		{"an id that is none", "PUT /v1/shops/shop/skus/sku-blue/shares/a%00b", host, "", "", 404, proto.ReasonNotFound},
		{"its own", "PUT /v1/shops/shop/skus/sku-blue/shares/shop", host, "", "", 422, proto.ReasonInvalidArgument},
		{"viewer", "DELETE /v1/shops/shop/skus/sku-blue/shares/other", viewer, "", "", 403, proto.ReasonForbidden},
		{"another's shop", "GET /v1/shops/shop/orders", stranger, "", "", 403, proto.ReasonForbidden},
		{"too long a page", "GET /v1/shops/shop/orders?limit=51", host, "", "", 422, proto.ReasonInvalidArgument},

		{"unsigned", "POST /v1/webhooks/payments/sandbox", "", "", `{}`, 401, proto.ReasonSignInRequired},
		{"no WebSocket", "GET /v1/rooms/room/ws", viewer, "", "", 400, proto.ReasonMalformedFrame},

		{"unknown address", "GET /v1/nothing", viewer, "", "", 404, proto.ReasonNotFound},
		{"bare root", "GET /v1/", viewer, "", "", 404, proto.ReasonNotFound},
		{"wrong method", "DELETE /v1/orders", viewer, "", "", 405, proto.ReasonInvalidArgument},
	}
}

func TestBadRequestsAreRefused(t *testing.T) {
	f := newFront(t)
	before := f.do("GET", "/v1/products/mug", "", "").body
	known := http.NewServeMux()
	untried := map[string]bool{socketPattern: true, noticePattern: true}
	for _, e := range apiEndpoints(f.parts) {
		untried[e.pattern] = true
	}
	for pattern := range untried {
		known.Handle(pattern, http.NotFoundHandler())
	}
	for _, b := range bad(f) {
		t.Run(b.request+" "+b.name, func(t *testing.T) {
			f := &front{TB: t, url: f.url}
			method, path, _ := strings.Cut(b.request, " ")
			r, err := http.NewRequest(method, path, nil)
			f.must(err)
			_, pattern := known.Handler(r)
			delete(untried, pattern)
			var headers []string
			if b.key != "" {
				headers = append(headers, key(b.key))
			}
			f.do(method, path, b.token, b.body, headers...).want(b.status, b.reason)
		})
	}
	delete(untried, "GET /v1/gifts") // takes nothing that could be wrong
	for pattern := range untried {
		t.Errorf("no bad request was sent to %s", pattern)
	}
	if after := f.do("GET", "/v1/products/mug", "", "").body; string(after) != string(before) {
		t.Errorf("the product was\n%s\nand is\n%s", before, after)
	}
	var page proto.OrderPage
	f.do("GET", "/v1/orders", f.viewer(), "").into(&page)
	if len(page.Orders) != 0 {
		t.Errorf("bad requests made orders: %v", page.Orders)
	}
}

func TestMoneyAndStockNeedAKey(t *testing.T) {
	f := newFront(t)
	keyed := 0
	for _, e := range apiEndpoints(f.parts) {
		if !e.keyed {
			continue
		}
		keyed++
		method, path, _ := strings.Cut(e.pattern, " ")
		f.do(method, strings.NewReplacer("{order}", "none", "{lot}", "none", "{tip}", "none").Replace(path), f.operator(), `{"beans":1}`).want(http.StatusUnprocessableEntity, proto.ReasonInvalidArgument)
	}
	if keyed != 11 {
		t.Errorf("%d endpoints need a key: top-ups, refunds of lots, reversals, settlements, and what makes, pays, cancels, receives, reprices, ships and refunds orders must", keyed)
	}
}

func TestExpiredTokens(t *testing.T) {
	f := newFront(t)
	old, err := session.MintToken(f.key, session.Claims{Subject: "vi"}.Until(time.Now().Add(-time.Minute)))
	f.must(err)
	f.do("GET", "/v1/wallet", old, "").want(http.StatusUnauthorized, proto.ReasonTokenExpired)
	f.do("GET", "/v1/wallet?access_token="+f.viewer(), "", "").want(http.StatusOK, "")
}

func TestForgedNotices(t *testing.T) {
	f := newFront(t)
	const path = "/v1/webhooks/payments/sandbox"
	const body = `{"type":"payment.succeeded","payment_id":"top_none","amount":1,"currency":"CNY","event_id":"e1","paid_at_ms":1}`
	send := func(secret, body string, at time.Time) answer {
		h := http.Header{}
		f.must(cart.Sign(secret, h, "n1", at, []byte(body)))
		var headers []string
		for name := range h {
			headers = append(headers, name+": "+h.Get(name))
		}
		return f.do("POST", path, "", body, headers...)
	}
	const other = "whsec_b3RoZXIgb3RoZXIgb3RoZXIgb3RoZXI="
	send(other, body, time.Now()).want(http.StatusUnauthorized, proto.ReasonSignInRequired)
	send(noticeSecret, body, time.Now().Add(-time.Hour)).want(http.StatusUnauthorized, proto.ReasonSignInRequired)
	send(noticeSecret, `{}`, time.Now()).want(http.StatusUnprocessableEntity, proto.ReasonInvalidArgument)
	send(noticeSecret, body, time.Now()).want(http.StatusNotFound, proto.ReasonNotFound)
	send(noticeSecret, strings.Replace(body, "top_none", "odd_none", 1), time.Now()).want(http.StatusNotFound, proto.ReasonNotFound)
	// A payment that is not there yet is remembered; the provider need not send it again.
	send(noticeSecret, strings.Replace(body, "top_none", "pay_none", 1), time.Now()).want(http.StatusNoContent, "")
	send(noticeSecret, strings.Replace(body, "payment.succeeded", "payment.declined", 1), time.Now()).want(http.StatusNoContent, "")

	f.parts.webhookSecret = ""
	send(noticeSecret, body, time.Now()).want(http.StatusNotFound, proto.ReasonNotFound)
}

func TestUnderpaidTopUpCreditsNothing(t *testing.T) {
	f := newFront(t)
	var top struct{ ID string }
	f.do("POST", "/v1/topups", f.viewer(), `{"beans":70}`, key("t1")).want(http.StatusCreated, "").into(&top)
	body := `{"type":"payment.succeeded","payment_id":"` + top.ID + `","amount":1,"currency":"CNY","event_id":"e1","paid_at_ms":1}`
	h := http.Header{}
	f.must(cart.Sign(noticeSecret, h, "n1", time.Now(), []byte(body)))
	var headers []string
	for name := range h {
		headers = append(headers, name+": "+h.Get(name))
	}
	f.do("POST", "/v1/webhooks/payments/sandbox", "", body, headers...).want(http.StatusNoContent, "")
	var balance proto.WalletBalance
	f.do("GET", "/v1/wallet", f.viewer(), "").into(&balance)
	if balance.Balance != 0 {
		t.Errorf("a top-up paid with another amount credited %d beans", balance.Balance)
	}
}

func TestPagesOfOtherSites(t *testing.T) {
	f := newFront(t)
	const ours, theirs = "Origin: https://shop.example", "Origin: https://evil.example"
	a := f.do("GET", "/v1/gifts", "", "", ours).want(http.StatusOK, "")
	if got := a.header.Get("Access-Control-Allow-Origin"); got != "https://shop.example" {
		t.Errorf("a page of an allowed origin is allowed as %q", got)
	}
	a = f.do("OPTIONS", "/v1/orders", "", "", ours, "Access-Control-Request-Method: POST", "Access-Control-Request-Headers: idempotency-key").
		want(http.StatusNoContent, "")
	if !strings.Contains(a.header.Get("Access-Control-Allow-Headers"), idempotencyKey) || !strings.Contains(a.header.Get("Access-Control-Allow-Methods"), "POST") {
		t.Errorf("a preflight is answered with %v", a.header)
	}
	a = f.do("OPTIONS", "/v1/orders", "", "", theirs, "Access-Control-Request-Method: POST").want(http.StatusForbidden, proto.ReasonForbidden)
	if a.header.Get("Access-Control-Allow-Origin") != "" {
		t.Error("a page of any origin is allowed")
	}
	f.do("GET", "/v1/gifts", "", "", theirs).want(http.StatusForbidden, proto.ReasonForbidden)
	f.do("GET", "/v1/gifts", "", "", "Origin: "+f.url).want(http.StatusOK, "")
	if vary := a.header.Values("Vary"); !slices.Contains(vary, "Origin") {
		t.Errorf("answers vary by %v", vary)
	}
}

func TestWrongMethodTellsTheRightOnes(t *testing.T) {
	f := newFront(t)
	if allow := f.do("DELETE", "/v1/rooms/room", f.host(), "").want(http.StatusMethodNotAllowed, proto.ReasonInvalidArgument).header.Get("Allow"); allow != "GET, HEAD, PATCH" {
		t.Errorf("a room allows %s", allow)
	}
}

func TestRequestsAreLoggedWithoutTokens(t *testing.T) {
	f := newFront(t)
	token := f.viewer()
	f.do("GET", "/v1/wallet?access_token="+token, "", "")
	f.do("GET", "/v1/rooms/room/ws?access_token="+token, "", "")
	for deadline := time.Now().Add(5 * time.Second); strings.Count(f.log.String(), "url=/v1/wallet")+strings.Count(f.log.String(), "url=/v1/rooms/room/ws") < 2; {
		if time.Now().After(deadline) {
			t.Fatalf("the log holds\n%s", f.log)
		}
	}
	if strings.Contains(f.log.String(), token) {
		t.Error("the log holds a token")
	}
}

func TestPagesAreServedBesideTheAPI(t *testing.T) {
	f := newFront(t)
	f.do("GET", "/rooms/room", "", "").want(http.StatusOK, "")
	f.do("GET", "/host/room", "", "").want(http.StatusOK, "")
	f.do("GET", "/", "", "").want(http.StatusFound, "")
	f.do("GET", "/static/livecart.js", "", "").want(http.StatusOK, "")
}
