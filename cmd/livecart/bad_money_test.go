package main

import (
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/jackc/pgx/v5"

	"livecart/proto"
	"livecart/session"
)

// tables are the rows of every table of the database, each as their number and a sum of all that they say.
func (f *front) tables() map[string]string {
	f.Helper()
	rows, err := f.parts.pool.Query(f.Context(), `SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' AND table_type = 'BASE TABLE'`)
	f.must(err)
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	f.must(err)
	if !slices.Contains(names, "wallet") || !slices.Contains(names, "orders") {
		f.Fatalf("the tables are %v", names)
	}
	found := map[string]string{}
	for _, name := range names {
		var said string
		f.must(f.parts.pool.QueryRow(f.Context(), `SELECT count(*) || ' rows, ' || coalesce(md5(string_agg(t::text, E'\n' ORDER BY t::text)), '') FROM `+name+` t`).Scan(&said))
		found[name] = said
	}
	return found
}

// unchanged fails for every table that says something else than before.
func (f *front) unchanged(before map[string]string) {
	f.Helper()
	for name, said := range f.tables() {
		if said != before[name] {
			f.Errorf("table %s: %s, was %s", name, said, before[name])
		}
	}
}

// purse has viewer "vi" buy 70 beans and send two roses of 10 each, and returns the lot and the tip.
func (f *front) purse() (lot, tip string) {
	f.Helper()
	f.tips()
	f.do("PUT", "/v1/gifts/rose", f.operator(), `{"names":{"en":"Rose"},"beans":10,"tier":1}`).want(http.StatusOK, "")
	f.do("PUT", "/v1/shops/shop/fees", f.operator(), `{"sale_ppm":20000,"tip_ppm":300000}`).want(http.StatusOK, "")
	var top struct{ URL string }
	f.do("POST", "/v1/topups", f.viewer(), `{"beans":70}`, key("purse")).want(http.StatusCreated, "").into(&top)
	f.pay(top.URL)
	sent, _, err := f.parts.gifts.Send(f.Context(), "room", &proto.User{Id: "vi"}, "purse", &proto.GiftSend{GiftId: "rose", Count: 2})
	f.must(err)
	// The announcement of the tip is noted a moment later.
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		var n int
		f.must(f.parts.pool.QueryRow(f.Context(), `SELECT count(*) FROM tip_unannounced`).Scan(&n))
		if n == 0 {
			break
		}
		if time.Now().After(deadline) {
			f.Fatal("the tip is not announced")
		}
	}
	return f.lots(f.viewer(), "/v1/lots")[0]["id"].(string), sent.TipIds[0]
}

// Whatever is wrong with what moves beans has its reason, and leaves every table as it was.
func TestBadMoneyOverHTTPRecordsNothing(t *testing.T) {
	f := newFront(t)
	lot, tip := f.purse()
	operator, host, viewer, stranger := f.operator(), f.host(), f.viewer(), f.stranger()
	refund, reversal := "POST /v1/lots/"+lot+"/refund", "POST /v1/tips/"+tip+"/reversal"
	const topUp, settle, fees, put = "POST /v1/topups", "POST /v1/settlements", "PUT /v1/shops/shop/fees", "PUT /v1/gifts/rose"

	var tries []refusal
	add := func(request, token, key, body string, status int, reason proto.Reason) {
		tries = append(tries, refusal{fmt.Sprintf("%.40s key %.20q", body, key), request, token, key, body, status, reason})
	}
	for _, n := range []int64{0, -1, math.MinInt64, math.MaxInt64} {
		beans := fmt.Sprintf(`{"beans":%d}`, n)
		add(topUp, viewer, "k", beans, 422, proto.ReasonInvalidQuantity)
		if n < math.MaxInt64 {
			add(refund, operator, "k", beans, 422, proto.ReasonInvalidQuantity)
		}
		add(put, operator, "", fmt.Sprintf(`{"names":{"en":"Rose"},"tier":1,"beans":%d}`, n), 422, proto.ReasonInvalidArgument)
		if n != 0 {
			add(fees, operator, "", fmt.Sprintf(`{"sale_ppm":%d,"tip_ppm":0}`, n), 422, proto.ReasonInvalidArgument)
			add(fees, operator, "", fmt.Sprintf(`{"sale_ppm":0,"tip_ppm":%d}`, n), 422, proto.ReasonInvalidArgument)
		}
	}
	for _, since := range []int64{0, -1, math.MinInt64, math.MaxInt64} {
		add(fees, operator, "", fmt.Sprintf(`{"sale_ppm":0,"tip_ppm":0,"since_ms":%d}`, since), 422, proto.ReasonInvalidArgument)
	}
	for _, until := range []int64{-1, math.MinInt64, math.MaxInt64, time.Now().Add(time.Hour).UnixMilli()} {
		add(settle, operator, "k", fmt.Sprintf(`{"host_id":"hana","until_ms":%d}`, until), 422, proto.ReasonInvalidArgument)
	}
	add(settle, operator, "k", `{"host_id":"hana","until_ms":1}`, 409, proto.ReasonNothingToSettle)
	for _, odd := range []string{"9223372036854775808", "-9223372036854775809", "1e30", "1.5", `"1.5"`, `"seven"`, `""`, "true", "[7]", "{}"} {
		add(topUp, viewer, "k", `{"beans":`+odd+`}`, 400, proto.ReasonMalformedFrame)
		add(refund, operator, "k", `{"beans":`+odd+`}`, 400, proto.ReasonMalformedFrame)
		add(put, operator, "", `{"names":{"en":"Rose"},"tier":1,"beans":`+odd+`}`, 400, proto.ReasonMalformedFrame)
		add(fees, operator, "", `{"sale_ppm":`+odd+`,"tip_ppm":0}`, 400, proto.ReasonMalformedFrame)
		add(settle, operator, "k", `{"host_id":"hana","until_ms":`+odd+`}`, 400, proto.ReasonMalformedFrame)
	}
	for _, k := range []string{"", strings.Repeat("k", proto.MaxRequestID+1), "\xff\xfe"} {
		add(topUp, viewer, k, `{"beans":7}`, 422, proto.ReasonInvalidArgument)
		add(refund, operator, k, `{"beans":7}`, 422, proto.ReasonInvalidArgument)
		add(reversal, operator, k, `{"reason":"a child's"}`, 422, proto.ReasonInvalidArgument)
		add(settle, operator, k, `{"host_id":"hana"}`, 422, proto.ReasonInvalidArgument)
	}
	for _, reason := range []string{"", `a\u0000b`, strings.Repeat("x", 1000)} {
		add(reversal, operator, "k", `{"reason":"`+reason+`"}`, 422, proto.ReasonInvalidArgument)
	}
	for _, id := range []string{"", `a\u0000b`, strings.Repeat("x", 1000)} {
		add(settle, operator, "k", `{"host_id":"`+id+`"}`, 422, proto.ReasonInvalidArgument)
	}
	add(refund, operator, "k", `{"beans":51}`, 409, proto.ReasonRefundExceedsPaid)
	add(refund, operator, "k", `{"beans":9223372036854775807}`, 409, proto.ReasonRefundExceedsPaid)
	add(settle, operator, "k", `{"host_id":"nobody"}`, 409, proto.ReasonNothingToSettle)
	for _, foreign := range []string{"none", tip, "a%00b", "%FF%FE", strings.Repeat("x", 300)} {
		add("POST /v1/lots/"+foreign+"/refund", operator, "k", `{"beans":1}`, 404, proto.ReasonNotFound)
	}
	for _, foreign := range []string{"none", lot, "a%00b", "%FF%FE", strings.Repeat("x", 300)} {
		add("POST /v1/tips/"+foreign+"/reversal", operator, "k", `{"reason":"x"}`, 404, proto.ReasonNotFound)
	}
	for _, token := range []string{viewer, host, stranger} {
		add(refund, token, "k", `{"beans":1}`, 403, proto.ReasonForbidden)
		add(reversal, token, "k", `{"reason":"x"}`, 403, proto.ReasonForbidden)
		add(settle, token, "k", `{"host_id":"hana"}`, 403, proto.ReasonForbidden)
		add(fees, token, "", `{"sale_ppm":0,"tip_ppm":0}`, 403, proto.ReasonForbidden)
		add(put, token, "", `{"names":{"en":"Rose"},"beans":1,"tier":1}`, 403, proto.ReasonForbidden)
	}

	before := f.tables()
	for _, b := range tries {
		t.Run(b.request+" "+b.name, func(t *testing.T) {
			method, path, _ := strings.Cut(b.request, " ")
			var headers []string
			if b.key != "" {
				headers = append(headers, key(b.key))
			}
			(&front{TB: t, url: f.url}).do(method, path, b.token, b.body, headers...).want(b.status, b.reason)
		})
	}
	f.unchanged(before)
}

// The same over the socket, in JSON as no client of ours would write it. What cannot be read refuses the
// frame with an empty request_id.
func TestBadMoneyOverTheSocketRecordsNothing(t *testing.T) {
	f := newFront(t)
	f.purse()
	sale, err := f.parts.cart.StartSale(t.Context(), "room", &proto.User{Id: "hana", Role: proto.Role_ROLE_HOST}, "sale", &proto.FlashStart{
		ListingId: "mug-blue", Price: 100, Quantity: 3, DurationMs: time.Minute.Milliseconds(),
	})
	f.must(err)

	type try struct {
		command string
		want    proto.Reason
	}
	var tries []try
	for _, n := range []string{"0", "-1", "100", "2147483647", "-2147483648", `"-1"`, "1e3", "null"} {
		tries = append(tries,
			try{`"flash_buy":{"sale_id":"` + sale.Id + `","quantity":` + n + `}`, proto.ReasonInvalidQuantity},
			try{`"order_create":{"items":[{"listing_id":"mug-blue","quantity":` + n + `}]}`, proto.ReasonInvalidQuantity})
	}
	for _, n := range []string{"0", "-1", "1000", "2147483647", "-2147483648", `"-1"`, "1e3", "null"} {
		tries = append(tries, try{`"gift_send":{"gift_id":"rose","count":` + n + `}`, proto.ReasonInvalidQuantity})
	}
	for _, n := range []string{"2147483648", "-2147483649", "9223372036854775808", "1e30", "1.5", `"1.5"`, `"seven"`, `""`, "true", "[1]", "{}"} {
		tries = append(tries,
			try{`"flash_buy":{"sale_id":"` + sale.Id + `","quantity":` + n + `}`, proto.ReasonMalformedFrame},
			try{`"order_create":{"items":[{"listing_id":"mug-blue","quantity":` + n + `}]}`, proto.ReasonMalformedFrame},
			try{`"gift_send":{"gift_id":"rose","count":` + n + `}`, proto.ReasonMalformedFrame})
	}
	for _, n := range []string{"9223372036854775808", "-9223372036854775809", "0.5", `"ten"`} {
		tries = append(tries, try{`"gift_send":{"gift_id":"rose","count":1,"confirmed_beans":` + n + `}`, proto.ReasonMalformedFrame})
	}
	for _, id := range []string{"none", "", `a\u0000b`, "a.b.>", "}{", strings.Repeat("x", 300)} {
		tries = append(tries,
			try{`"flash_buy":{"sale_id":"` + id + `","quantity":1}`, proto.ReasonSaleNotFound},
			try{`"order_create":{"items":[{"listing_id":"` + id + `","quantity":1}]}`, proto.ReasonNotFound})
		if id != "none" { // an unknown gift is an outcome, which is kept under its key
			tries = append(tries, try{`"gift_send":{"gift_id":"` + id + `","count":1}`, proto.ReasonUnknownGift})
		}
	}
	tries = append(tries,
		try{`"gift_send":{"gift_id":"rose","count":1,"confirmed_beans":-1}`, proto.ReasonInvalidArgument},
		try{`"gift_send":{"gift_id":"rose","count":1,"combo_id":"a b"}`, proto.ReasonInvalidArgument},
		try{`"order_create":{"items":[]}`, proto.ReasonInvalidArgument},
		try{`"order_create":{"items":"mug-blue"}`, proto.ReasonMalformedFrame},
		try{`"flash_buy":7`, proto.ReasonMalformedFrame})

	before := f.tables()
	for i, b := range tries {
		t.Run(b.command[:min(len(b.command), 90)], func(t *testing.T) {
			// Each viewer says one thing: limits of what one may send are not what is tried here.
			reply := f.say(t, fmt.Sprintf("v%d", i), "k", b.command)
			if got := proto.Reason(reply.GetError().GetReason()); got != b.want || reply.GetError().GetMessage() == "" {
				t.Errorf("answered %v, want %s", reply, b.want)
			}
		})
	}
	for _, k := range []string{"", strings.Repeat("k", proto.MaxRequestID+1), `a\u0000b`} {
		reply := f.say(t, "vk", k, `"gift_send":{"gift_id":"rose","count":1}`)
		if reply.GetError() == nil {
			t.Errorf("key %q: answered %v", k, reply)
		}
	}
	f.unchanged(before)
}

// say has a viewer give one command over a socket of their own, and returns the reply.
func (f *front) say(t *testing.T, viewer, requestID, command string) *proto.Reply {
	t.Helper()
	dialer := websocket.Dialer{Subprotocols: []string{proto.JSON.String()}, HandshakeTimeout: 10 * time.Second}
	token := f.token(session.Claims{Subject: viewer, Rooms: session.RoomList{session.AllRooms}})
	conn, _, err := dialer.Dial("ws"+strings.TrimPrefix(f.url, "http")+"/v1/rooms/room/ws", http.Header{"Authorization": {"Bearer " + token}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	text := `{"commands":[{"request_id":"` + requestID + `",` + command + `}]}`
	if err := conn.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
		t.Fatal(err)
	}
	conn.SetReadDeadline(time.Now().Add(15 * time.Second))
	for {
		_, data, err := conn.ReadMessage()
		if err != nil {
			t.Fatalf("no reply to %s: %v", command, err)
		}
		frame := new(proto.ServerFrame)
		if err := proto.Decode(proto.JSON, data, frame); err != nil {
			t.Fatal(err)
		}
		for _, reply := range frame.Replies {
			if reply.GetOk().GetSessionWelcome() == nil {
				return reply
			}
		}
	}
}
