package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"livecart/cart"
	"livecart/cart/sandbox"
	"livecart/chat"
	"livecart/gift"
	"livecart/proto"
	"livecart/session"
	"livecart/session/bus"
	"livecart/session/stack/stacktest"
	"livecart/session/store"
)

// A secret that notices are signed with, and one that tokens are.
const (
	noticeSecret = "whsec_bGl2ZWNhcnQgbGl2ZWNhcnQgbGl2ZWNhcnQ="
	tokenSecret  = "a secret for tests, of more than 32 bytes"
)

// front is the HTTP side of one gateway on real servers, with a shop "shop" that has the product
// "mug", and a live room "room" whose host is "hana", open to all; room "club" is scheduled and for
// token holders only.
type front struct {
	testing.TB
	url   string
	parts *parts
	bank  *httptest.Server // the payment provider
	log   *lockedBuffer
	key   session.SigningKey
	gifts gift.Config
}

// lockedBuffer takes a log from many goroutines.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func newFront(t testing.TB) *front {
	t.Helper()
	f := &front{TB: t, log: new(lockedBuffer)}
	server := httptest.NewUnstartedServer(nil)
	f.url = "http://" + server.Listener.Addr().String()
	f.wire(f.url)
	server.Config.Handler = httpRoutes(f.parts)
	server.Start()
	t.Cleanup(server.Close)
	f.stock()
	return f
}

// wire builds the parts by hand and runs what must run.
func (f *front) wire(baseURL string) {
	f.Helper()
	pool, err := store.OpenPostgres(f.Context(), stacktest.Postgres(f, store.Migrate))
	f.must(err)
	f.Cleanup(pool.Close)
	rdb, err := store.OpenRedis(f.Context(), stacktest.Redis(f))
	f.must(err)
	f.Cleanup(func() { rdb.Close() })
	b, err := bus.Connect(f.Context(), bus.Config{URL: stacktest.NATS(f)})
	f.must(err)
	f.Cleanup(b.Close)

	p := &parts{pool: pool, webhookSecret: noticeSecret, log: slog.New(slog.NewTextHandler(f.log, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	f.parts = p
	file := filepath.Join(f.TempDir(), "jwt.key")
	f.must(os.WriteFile(file, []byte(tokenSecret), 0o600))
	f.key, err = session.LoadSigningKey(file)
	f.must(err)
	p.tickets, err = session.NewTickets(session.TicketConfig{KeyFile: file})
	f.must(err)
	p.origins, err = session.ParseOrigins([]string{"https://shop.example"})
	f.must(err)
	f.bank = httptest.NewUnstartedServer(nil)
	bankURL := "http://" + f.bank.Listener.Addr().String()
	peer, err := sandbox.New(sandbox.Config{BaseURL: bankURL, NotifyURL: baseURL + "/v1/webhooks/payments/sandbox", Secret: noticeSecret})
	f.must(err)
	f.bank.Config.Handler = peer
	f.bank.Start()
	f.Cleanup(f.bank.Close)
	provider, err := sandbox.NewClient(bankURL, noticeSecret)
	f.must(err)
	p.cart, err = cart.New(cart.Config{Pool: pool, Redis: rdb, Bus: b, Provider: provider})
	f.must(err)
	f.gifts = gift.Config{Pool: pool, Bus: b, Provider: topUpProvider{provider}}
	p.gifts, err = gift.New(f.gifts)
	f.must(err)
	p.chat, err = chat.New(chat.Config{Pool: pool, Redis: rdb, Bus: b})
	f.must(err)
	p.rooms, err = session.NewRooms(session.RoomsConfig{Pool: pool, Bus: b})
	f.must(err)
	p.presence, err = session.NewPresence(session.PresenceConfig{Pool: pool, Redis: rdb})
	f.must(err)
	p.gateway, err = session.NewGateway(session.GatewayConfig{
		Pool: pool, Bus: b, Tickets: p.tickets, Rooms: p.rooms, Presence: p.presence, Routes: commandRoutes(p),
		Snapshots: []func(context.Context, pgx.Tx, string, *proto.SessionWelcome) error{p.chat.Snapshot, p.cart.Snapshot},
	})
	f.must(err)

	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup // all end by ctx
	for _, run := range []func(context.Context) error{p.chat.Run, p.cart.Run, p.gateway.Run} {
		running.Go(func() {
			if err := run(ctx); err != nil && ctx.Err() == nil {
				f.Errorf("a part ended: %v", err)
			}
		})
	}
	f.Cleanup(func() {
		stop()
		running.Wait()
	})
}

// stock makes the shop, the product and the rooms.
func (f *front) stock() {
	f.Helper()
	operator := f.operator()
	f.do("PUT", "/v1/shops/shop", operator, `{"name":"Hana's","currency":"CNY"}`).want(http.StatusOK, "")
	f.do("PUT", "/v1/shops/shop/products/mug", operator, `{"title":"Mug","on_sale":true,
		"listings":[{"id":"mug-blue","sku_id":"sku-blue","name":"Blue","price":"4900"},{"id":"mug-red","sku_id":"sku-red","price":5000}],
		"stock":{"sku-blue":7,"sku-red":"1"}}`).want(http.StatusOK, "")
	f.do("POST", "/v1/rooms", operator, `{"id":"room","title":"Mugs tonight","shop_id":"shop","anonymous":true,"host":{"id":"hana","name":"Hana"}}`).
		want(http.StatusCreated, "")
	f.do("POST", "/v1/rooms", operator, `{"id":"club","title":"Club","host":{"id":"hana","name":"Hana"}}`).want(http.StatusCreated, "")
	f.do("PUT", "/v1/rooms/room/shelf/mug", operator, `{"position":1}`).want(http.StatusNoContent, "")
	f.do("POST", "/v1/rooms/room/start", operator, "").want(http.StatusOK, "")
}

func (f *front) must(err error) {
	f.Helper()
	if err != nil {
		f.Fatal(err)
	}
}

func (f *front) token(c session.Claims) string {
	f.Helper()
	token, err := session.MintToken(f.key, c.Until(time.Now().Add(time.Hour)))
	f.must(err)
	return token
}

func (f *front) operator() string {
	return f.token(session.Claims{Subject: "ops", Role: "operator"})
}

func (f *front) host() string {
	return f.token(session.Claims{Subject: "hana", Name: "Hana", Role: "host", Rooms: session.RoomList{"room", "next"}, Shop: "shop"})
}

func (f *front) moderator() string {
	return f.token(session.Claims{Subject: "mo", Role: "moderator", Rooms: session.RoomList{"room"}})
}

func (f *front) viewer() string {
	return f.token(session.Claims{Subject: "vi", Name: "Vi", Rooms: session.RoomList{session.AllRooms}, Source: "feed"})
}

// stranger's token opens another room.
func (f *front) stranger() string {
	return f.token(session.Claims{Subject: "st", Role: "host", Rooms: session.RoomList{"elsewhere"}, Shop: "other"})
}

// answer is what a request got.
type answer struct {
	front  *front
	what   string
	status int
	header http.Header
	body   []byte
}

// do sends a request. Headers come as "Name: value".
func (f *front) do(method, path, token, body string, headers ...string) answer {
	f.Helper()
	req, err := http.NewRequestWithContext(f.Context(), method, f.url+path, strings.NewReader(body))
	f.must(err)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	f.must(err)
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	f.must(err)
	return answer{front: f, what: method + " " + path, status: resp.StatusCode, header: resp.Header, body: data}
}

// want checks the status and, for a refusal, the reason and that it is Problem Details.
func (a answer) want(status int, reason proto.Reason) answer {
	a.front.Helper()
	if a.status != status {
		a.front.Fatalf("%s: status %d, want %d: %s", a.what, a.status, status, a.body)
	}
	if reason == "" {
		return a
	}
	if got := a.header.Get("Content-Type"); got != "application/problem+json" {
		a.front.Errorf("%s: refused with %s", a.what, got)
	}
	var p struct {
		Status int
		Reason proto.Reason
		Title  string
	}
	a.front.must(json.Unmarshal(a.body, &p))
	if p.Reason != reason || p.Status != status || p.Title == "" {
		a.front.Errorf("%s: refused with %s, want %s", a.what, a.body, reason)
	}
	return a
}

// into reads the answer into a wire message or a Go value.
func (a answer) into(v any) {
	a.front.Helper()
	if m, ok := v.(proto.Message); ok {
		a.front.must(proto.Decode(proto.JSON, a.body, m))
		return
	}
	if err := json.Unmarshal(a.body, v); err != nil {
		a.front.Fatalf("%s: %v in %s", a.what, err, a.body)
	}
}

func key(k string) string { return idempotencyKey + ": " + k }

func TestAnEveningOverHTTP(t *testing.T) {
	f := newFront(t)
	viewer := f.viewer()

	var welcome proto.SessionWelcome
	f.do("GET", "/v1/rooms/room", "", "").want(http.StatusOK, "").into(&welcome)
	if welcome.Room.GetPhase() != proto.RoomPhase_ROOM_PHASE_LIVE || len(welcome.Shelf) != 1 || welcome.Shelf[0].ProductId != "mug" {
		t.Errorf("the snapshot says %v", &welcome)
	}
	var comment proto.ChatMessage
	f.do("POST", "/v1/rooms/room/comments", viewer, `{"text":"is blue left?"}`).want(http.StatusCreated, "").into(&comment)
	if comment.Text != "is blue left?" || comment.User.GetName() != "Vi" || comment.Id == "" {
		t.Errorf("the comment is %v", &comment)
	}

	var order proto.Order
	body := `{"room":"room","items":[{"listing_id":"mug-blue","quantity":2}]}`
	made := f.do("POST", "/v1/orders", viewer, body, key("o1")).want(http.StatusCreated, "")
	made.into(&order)
	if order.Amount != 9800 || order.RoomId != "room" || made.header.Get("Location") != "/v1/orders/"+order.Id {
		t.Errorf("the order is %v at %s", &order, made.header.Get("Location"))
	}
	var again proto.Order
	f.do("POST", "/v1/orders", viewer, body, key("o1")).want(http.StatusCreated, "").into(&again)
	if again.Id != order.Id {
		t.Errorf("the same key made order %s and then %s", order.Id, again.Id)
	}
	f.do("PUT", "/v1/orders/"+order.Id+"/address", viewer, `{"name":"Vi Lee","phone":"555-0199","country":"CN","city":"Jinan","street":"1 Spring"}`).
		want(http.StatusOK, "")

	var payment proto.Payment
	f.do("POST", "/v1/orders/"+order.Id+"/pay", viewer, "", key("p1")).want(http.StatusOK, "").into(&payment)
	f.pay(payment.Url)
	f.do("GET", "/v1/orders/"+order.Id, viewer, "").want(http.StatusOK, "").into(&order)
	if order.State != proto.OrderState_ORDER_STATE_PAID {
		t.Errorf("the paid order is %v", order.State)
	}
	var page proto.OrderPage
	f.do("GET", "/v1/orders?limit=1", viewer, "").want(http.StatusOK, "").into(&page)
	if len(page.Orders) != 1 || page.Orders[0].Id != order.Id || page.NextCursor != "" {
		t.Errorf("own orders are %v", &page)
	}
	f.roomOrders(f.host(), "1 Spring")
	f.roomOrders(f.moderator(), "***")

	f.do("POST", "/v1/rooms/room/end", f.host(), "").want(http.StatusOK, "")
	// Chat hears of it a moment later.
	for deadline := time.Now().Add(5 * time.Second); ; {
		a := f.do("POST", "/v1/rooms/room/comments", f.moderator(), `{"text":"bye"}`)
		if a.status != http.StatusCreated || time.Now().After(deadline) {
			a.want(http.StatusConflict, proto.ReasonRoomNotLive)
			break
		}
	}
}

// pay plays the payer.
func (f *front) pay(address string) {
	f.Helper()
	path, ok := strings.CutPrefix(address, f.bank.URL)
	if !ok {
		f.Fatalf("the pay page is at %s, not at %s", address, f.bank.URL)
	}
	(&front{TB: f.TB, url: f.bank.URL}).do("POST", path, "", "", "Accept: application/json").want(http.StatusOK, "")
}

// roomOrders checks what somebody sees of the street in the room's one order.
func (f *front) roomOrders(token, street string) {
	f.Helper()
	var page proto.OrderPage
	f.do("GET", "/v1/rooms/room/orders", token, "").want(http.StatusOK, "").into(&page)
	if len(page.Orders) != 1 || page.Orders[0].ShipTo.GetStreet() != street {
		f.Errorf("the room's orders are %v, want the street %s", &page, street)
	}
}

func TestTopUpOverHTTP(t *testing.T) {
	f := newFront(t)
	var top map[string]any
	f.do("POST", "/v1/topups", f.viewer(), `{"beans":70}`, key("t1")).want(http.StatusCreated, "").into(&top)
	if top["beans"] != 70.0 || top["amount"] != 1000.0 || top["currency"] != "CNY" || top["state"] != "awaiting_payment" || top["expires_at_ms"].(float64) < 1e12 {
		t.Errorf("the top-up is %v", top)
	}
	f.pay(top["url"].(string))
	var again map[string]any
	f.do("POST", "/v1/topups", f.viewer(), `{"beans":70}`, key("t1")).want(http.StatusCreated, "").into(&again)
	if again["id"] != top["id"] || again["state"] != "paid" {
		t.Errorf("the same key got %v", again)
	}
	var balance proto.WalletBalance
	f.do("GET", "/v1/wallet", f.viewer(), "").want(http.StatusOK, "").into(&balance)
	if balance.Balance != 70 {
		t.Errorf("the balance is %v", &balance)
	}
	f.do("POST", "/v1/topups", f.viewer(), `{"beans":71}`, key("t1")).want(http.StatusConflict, proto.ReasonIdempotencyConflict)
}

func TestCataloguesOverHTTP(t *testing.T) {
	f := newFront(t)
	f.do("PUT", "/v1/gifts/rose", f.operator(), `{"names":{"en":"Rose"},"beans":"1","tier":1}`).want(http.StatusOK, "")
	var gifts struct {
		Gifts []struct{ ID, Beans string }
	}
	f.do("GET", "/v1/gifts", "", "").want(http.StatusOK, "").into(&gifts)
	if len(gifts.Gifts) != 1 || gifts.Gifts[0].ID != "rose" || gifts.Gifts[0].Beans != "1" {
		t.Errorf("the catalogue is %v", gifts)
	}
	var ranking struct{ Entries []any }
	f.do("GET", "/v1/rooms/room/ranking", "", "").want(http.StatusOK, "").into(&ranking)
	if ranking.Entries == nil || len(ranking.Entries) != 0 {
		t.Errorf("a room without gifts ranks %v", ranking.Entries)
	}
	var rooms struct{ Rooms []struct{ ID string } }
	f.do("GET", "/v1/rooms", "", "").want(http.StatusOK, "").into(&rooms)
	if len(rooms.Rooms) != 1 || rooms.Rooms[0].ID != "room" {
		t.Errorf("without a token these rooms are seen: %v", rooms)
	}
	f.do("GET", "/v1/rooms", f.viewer(), "").want(http.StatusOK, "").into(&rooms)
	if len(rooms.Rooms) != 2 {
		t.Errorf("with a token for all these rooms are seen: %v", rooms)
	}

	for _, path := range []string{"/v1/rooms/room", "/v1/rooms/room/shelf", "/v1/rooms/room/ranking", "/v1/products/mug", "/v1/shops/shop", "/v1/gifts"} {
		tag := f.do("GET", path, "", "").want(http.StatusOK, "").header.Get("ETag")
		if tag == "" {
			t.Errorf("%s has no ETag", path)
		}
		f.do("GET", path, "", "", "If-None-Match: "+tag).want(http.StatusNotModified, "")
	}
	before := f.do("GET", "/v1/rooms/room", "", "").header.Get("ETag")
	f.do("PATCH", "/v1/rooms/room", f.host(), `{"title":"Mugs, all night"}`).want(http.StatusOK, "")
	for deadline := time.Now().Add(5 * time.Second); f.do("GET", "/v1/rooms/room", "", "").header.Get("ETag") == before; {
		if time.Now().After(deadline) {
			t.Fatal("a changed room keeps its ETag")
		}
	}
}

func TestShelfPages(t *testing.T) {
	f := newFront(t)
	for _, id := range []string{"bowl", "plate"} {
		f.do("PUT", "/v1/shops/shop/products/"+id, f.host(), `{"title":"`+id+`","on_sale":true,"listings":[{"id":"`+id+`","sku_id":"`+id+`","price":100}],"stock":{"`+id+`":1}}`).
			want(http.StatusOK, "")
		f.do("PUT", "/v1/rooms/room/shelf/"+id, f.host(), `{"position":"0"}`).want(http.StatusNoContent, "")
	}
	var page struct {
		Shelf []struct {
			ProductID string `json:"product_id"`
		}
		Total      int
		NextCursor string `json:"next_cursor"`
	}
	var seen []string
	for path := "/v1/rooms/room/shelf?limit=2"; ; {
		f.do("GET", path, "", "").want(http.StatusOK, "").into(&page)
		for _, e := range page.Shelf {
			seen = append(seen, e.ProductID)
		}
		if page.Total != 3 {
			t.Errorf("the shelf has %d products", page.Total)
		}
		if page.NextCursor == "" {
			break
		}
		path = "/v1/rooms/room/shelf?limit=2&cursor=" + page.NextCursor
	}
	if got := strings.Join(seen, " "); got != "mug bowl plate" {
		t.Errorf("the pages hold %s", got)
	}
	f.do("DELETE", "/v1/rooms/room/shelf/bowl", f.host(), "").want(http.StatusNoContent, "")
	f.do("GET", "/v1/rooms/room/shelf", "", "").into(&page)
	if len(page.Shelf) != 2 {
		t.Errorf("after one was taken off the shelf holds %v", page.Shelf)
	}
}
