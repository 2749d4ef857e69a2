package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"livecart/proto"
)

func TestWelcomeComesFirstInBothFormats(t *testing.T) {
	w := newWorld(t)
	w.state("demo", false)
	g := w.gateway()
	for _, f := range []proto.Format{proto.Binary, proto.JSON} {
		t.Run(f.String(), func(t *testing.T) {
			from := time.Now().Add(-welcomeAge).UnixMilli()
			c := g.dial(t, dial{format: f, token: w.token("vera", "viewer", 0)})
			c.until("a frame", func(frames []*proto.ServerFrame) bool { return len(frames) > 0 })
			first := c.received()[0].Events[0]
			welcome := first.GetSessionWelcome()
			if welcome == nil {
				t.Fatalf("first event is %v", first)
			}
			if welcome.Seq != 1 || welcome.Room.GetId() != "demo" || welcome.Resumed {
				t.Errorf("welcome = %v", welcome)
			}
			if at := welcome.ServerTimeMs; at < from || at > time.Now().UnixMilli() {
				t.Errorf("server time is %d, asked a second after %d", at, from)
			}
		})
	}
}

func TestGatewayThatDoesNotRunYetSaysSo(t *testing.T) {
	w := newWorld(t)
	running := w.gateway()
	g, err := NewGateway(running.cfg)
	w.must(err)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, err := g.Welcome(ctx, "demo"); !errors.Is(err, ErrDraining) {
		t.Errorf("a snapshot: %v", err)
	}
	answer := httptest.NewRecorder()
	g.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/v1/rooms/demo/ws", nil))
	if answer.Code != http.StatusServiceUnavailable {
		t.Errorf("a handshake: %d", answer.Code)
	}
}

func TestGatewayRunsOnce(t *testing.T) {
	w := newWorld(t)
	g := w.gateway()
	if err := g.Run(t.Context()); err == nil {
		t.Error("it runs twice")
	}
	g.dial(t, dial{}).welcome()
}

func TestHandshakeIsRefused(t *testing.T) {
	w := newWorld(t)
	w.room("members", false)
	g := w.gateway()
	viewer := w.token("vera", "viewer", 0)
	elsewhere, err := MintToken(w.key, Claims{Subject: "vera", Rooms: RoomList{"other"}}.Until(time.Now().Add(time.Hour)))
	w.must(err)
	for _, tc := range []struct {
		name     string
		dial     dial
		protocol string
		origin   string
		status   int
		reason   proto.Reason
	}{
		{"no token where one is needed", dial{room: "members"}, "livecart.v1.json", "", 401, proto.ReasonSignInRequired},
		{"junk token", dial{token: "junk"}, "livecart.v1.json", "", 401, proto.ReasonSignInRequired},
		{"expired token", dial{token: w.token("vera", "viewer", -time.Minute)}, "livecart.v1.json", "", 401, proto.ReasonTokenExpired},
		{"token of another room", dial{token: elsewhere}, "livecart.v1.json", "", 403, proto.ReasonForbidden},
		{"no such room", dial{room: "nowhere", token: viewer}, "livecart.v1.json", "", 404, proto.ReasonRoomNotFound},
		{"bad room id", dial{room: "a.b", token: viewer}, "livecart.v1.json", "", 404, proto.ReasonRoomNotFound},
		{"no subprotocol", dial{token: viewer}, "", "", 400, proto.ReasonMalformedFrame},
		{"unknown subprotocol", dial{token: viewer}, "livecart.v9.json", "", 400, proto.ReasonMalformedFrame},
		{"bad after_seq", dial{token: viewer, query: "after_seq=x"}, "livecart.v1.json", "", 400, proto.ReasonMalformedFrame},
		{"negative after_seq", dial{token: viewer, query: "after_seq=-1"}, "livecart.v1.json", "", 400, proto.ReasonMalformedFrame},
		{"foreign page", dial{token: viewer}, "livecart.v1.json", "https://evil.example", 403, proto.ReasonForbidden},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d := websocket.Dialer{HandshakeTimeout: patience}
			if tc.protocol != "" {
				d.Subprotocols = []string{tc.protocol}
			}
			header := http.Header{}
			if tc.origin != "" {
				header.Set("Origin", tc.origin)
			}
			ws, resp, err := d.Dial(tc.dial.url(g.url), header)
			if err == nil {
				ws.Close()
				t.Fatal("connected")
			}
			if resp == nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(resp.Body)
			if resp.StatusCode != tc.status || !strings.Contains(string(body), fmt.Sprintf(`"reason":%q`, tc.reason)) {
				t.Errorf("status %d, body %s", resp.StatusCode, body)
			}
		})
	}
	t.Run("plain HTTP", func(t *testing.T) {
		resp, err := http.Get(g.url + "/v1/rooms/demo/ws")
		w.must(err)
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusBadRequest {
			t.Errorf("status %d", resp.StatusCode)
		}
	})
}

func TestBadHandshakeIsAnsweredWithAProblem(t *testing.T) {
	w := newWorld(t)
	g := w.gateway()
	for name, spoil := range map[string]func(http.Header){
		"other version": func(h http.Header) { h.Set("Sec-WebSocket-Version", "8") },
		"no version":    func(h http.Header) { h.Del("Sec-WebSocket-Version") },
		"short key":     func(h http.Header) { h.Set("Sec-WebSocket-Key", "AAAA") },
		"no key":        func(h http.Header) { h.Del("Sec-WebSocket-Key") },
	} {
		request, err := http.NewRequest(http.MethodGet, g.url+"/v1/rooms/demo/ws", nil)
		w.must(err)
		request.Header = http.Header{
			"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"},
			"Sec-Websocket-Key": {"AAAAAAAAAAAAAAAAAAAAAA=="}, "Sec-Websocket-Protocol": {proto.JSON.String()},
		}
		spoil(request.Header)
		resp, err := http.DefaultClient.Do(request)
		w.must(err)
		body, err := io.ReadAll(resp.Body)
		w.must(err)
		resp.Body.Close()
		if resp.StatusCode != http.StatusBadRequest || resp.Header.Get("Content-Type") != "application/problem+json" ||
			resp.Header.Get("Sec-WebSocket-Version") != "13" || !strings.Contains(string(body), `"reason":"malformed_frame"`) {
			t.Errorf("%s: status %d, %v, body %s", name, resp.StatusCode, resp.Header, body)
		}
	}
}

func TestSubprotocolsComeInAnyHeaderLine(t *testing.T) {
	w := newWorld(t)
	g := w.gateway()
	d := websocket.Dialer{HandshakeTimeout: patience}
	ws, _, err := d.Dial(dial{}.url(g.url), http.Header{"Sec-Websocket-Protocol": {"chat, superchat", proto.JSON.String()}})
	w.must(err)
	defer ws.Close()
	if ws.Subprotocol() != proto.JSON.String() {
		t.Errorf("speaks %q", ws.Subprotocol())
	}
}

// Who sends before the handshake is answered is cut off, and counted.
func TestBytesBehindTheRequestAreARefusedHandshake(t *testing.T) {
	w := newWorld(t)
	g := w.gateway()
	conn, err := net.Dial("tcp", strings.TrimPrefix(g.url, "http://"))
	w.must(err)
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	_, err = fmt.Fprintf(conn, "GET /v1/rooms/demo/ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: %s\r\n\r\nx", proto.JSON)
	w.must(err)
	if n, err := conn.Read(make([]byte, 1)); n > 0 || err == nil {
		t.Error("it is answered")
	}
	eventually(t, "it is counted", func() bool {
		return testutil.ToFloat64(g.metrics.refused.WithLabelValues(string(proto.ReasonMalformedFrame))) == 1
	})
	eventually(t, "nothing is left of it", func() bool { return g.open.Load() == 0 && g.handshakes.Load() == 0 })
}

func TestCommentsReachBothGatewaysAndFormats(t *testing.T) {
	w := newWorld(t)
	one, two := w.gateway(), w.gateway()
	a := one.dial(t, dial{token: w.token("ada", "viewer", 0), format: proto.JSON})
	b := two.dial(t, dial{token: w.token("bob", "viewer", 0)})
	a.welcome()
	b.welcome()
	a.send(chatSend("r1", "hello"))
	id := a.reply("r1").GetOk().GetChatMessage().GetId()
	if id == "" {
		t.Fatal("the reply has no comment")
	}
	for _, c := range []*client{a, b} {
		c.event("chat_message", func(ev *proto.Event) bool {
			return ev.GetChatMessage().Id == id && ev.GetChatMessage().Text == "hello"
		})
	}
	late := two.dial(t, dial{})
	comments := late.welcome().Comments
	if len(comments) != 1 || comments[0].Id != id {
		t.Errorf("the welcome shows %v", comments)
	}
}

func TestBadInputIsAnsweredAndTheConnectionLives(t *testing.T) {
	w := newWorld(t)
	g := w.gateway(func(cfg *GatewayConfig) {
		refuse := func(context.Context, Call) (*proto.Ok, error) { t.Error("the handler ran"); return nil, nil }
		cfg.Routes["flash_start"] = Route{Handle: refuse, Access: Hosts}
		cfg.Routes["chat_delete"] = Route{Handle: refuse, Access: Moderators}
		cfg.Routes["wallet_get"] = Route{Handle: refuse}
		cfg.Routes["order_list"] = Route{Handle: func(context.Context, Call) (*proto.Ok, error) {
			return nil, errors.New("secret detail")
		}}
	})
	viewer := dial{token: w.token("vera", "viewer", 0), format: proto.JSON}
	guest := dial{format: proto.JSON}
	for _, tc := range []struct {
		name   string
		dial   dial
		raw    string
		id     string
		reason proto.Reason
	}{
		{"not JSON", viewer, `{"commands":[`, "", proto.ReasonMalformedFrame},
		{"wrong type", viewer, `{"commands":[{"request_id":"r","chat_send":7}]}`, "", proto.ReasonMalformedFrame},
		{"33 commands", viewer, `{"commands":[` + strings.Repeat(`{"ping":{}},`, 32) + `{"ping":{}}]}`, "", proto.ReasonMalformedFrame},
		{"long request_id", viewer, `{"commands":[{"request_id":"` + strings.Repeat("x", 65) + `","ping":{}}]}`, "", proto.ReasonMalformedFrame},
		{"unknown command", viewer, `{"commands":[{"request_id":"r","fly_away":{}}]}`, "r", proto.ReasonUnknownCommand},
		{"command without a route", viewer, `{"commands":[{"request_id":"r","room_start":{}}]}`, "r", proto.ReasonUnknownCommand},
		{"no request_id", viewer, `{"commands":[{"wallet_get":{}}]}`, "", proto.ReasonInvalidArgument},
		{"viewer as host", viewer, `{"commands":[{"request_id":"r","flash_start":{}}]}`, "r", proto.ReasonForbidden},
		{"viewer as moderator", viewer, `{"commands":[{"request_id":"r","chat_delete":{}}]}`, "r", proto.ReasonForbidden},
		{"moderator as host", dial{token: w.token("mo", "moderator", 0), format: proto.JSON}, `{"commands":[{"request_id":"r","flash_start":{}}]}`, "r", proto.ReasonForbidden},
		{"guest comments", guest, `{"commands":[{"request_id":"r","chat_send":{"text":"x"}}]}`, "r", proto.ReasonSignInRequired},
		{"guest likes", guest, `{"commands":[{"request_id":"r","like_send":{"count":1}}]}`, "r", proto.ReasonSignInRequired},
		{"guest refreshes", guest, `{"commands":[{"request_id":"r","session_refresh":{"token":"x"}}]}`, "r", proto.ReasonSignInRequired},
		{"no likes", viewer, `{"commands":[{"request_id":"r","like_send":{"count":0}}]}`, "r", proto.ReasonInvalidArgument},
		{"too many likes", viewer, `{"commands":[{"request_id":"r","like_send":{"count":101}}]}`, "r", proto.ReasonInvalidArgument},
		{"negative likes", viewer, `{"commands":[{"request_id":"r","like_send":{"count":-1}}]}`, "r", proto.ReasonInvalidArgument},
		{"inner error", viewer, `{"commands":[{"request_id":"r","order_list":{}}]}`, "r", proto.ReasonInternal},
		{"junk refresh", viewer, `{"commands":[{"request_id":"r","session_refresh":{"token":"x"}}]}`, "r", proto.ReasonSignInRequired},
		{"refresh of another user", viewer, `{"commands":[{"request_id":"r","session_refresh":{"token":"` + w.token("walt", "viewer", 0) + `"}}]}`, "r", proto.ReasonForbidden},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := g.dial(t, tc.dial)
			c.welcome()
			c.raw([]byte(tc.raw))
			r := c.reply(tc.id)
			if got := proto.Reason(r.GetError().GetReason()); got != tc.reason {
				t.Errorf("reason %q, want %q", got, tc.reason)
			}
			if r.GetError().GetCode() != int32(tc.reason.Code()) || strings.Contains(r.GetError().GetMessage(), "secret") {
				t.Errorf("error = %v", r.GetError())
			}
			c.send(ping("alive"))
			if c.reply("alive").GetOk().GetPong() == nil {
				t.Error("the connection does not live on")
			}
		})
	}
}

func TestUnknownFieldsAreIgnored(t *testing.T) {
	w := newWorld(t)
	g := w.gateway()
	c := g.dial(t, dial{format: proto.JSON, token: w.token("vera", "viewer", 0)})
	c.raw([]byte(`{"later":1,"commands":[{"requestId":"r","chatSend":{"text":"hi","colour":"red"},"priority":3}]}`))
	if got := c.reply("r").GetOk().GetChatMessage().GetText(); got != "hi" {
		t.Errorf("text %q", got)
	}
}

func TestFrameOfExactlyTheLimitPassesAndOneByteMoreCloses(t *testing.T) {
	w := newWorld(t)
	g := w.gateway()
	frame := func(size int) []byte {
		const head, tail = `{"commands":[{"request_id":"r","ping":{}}],"pad":"`, `"}`
		return []byte(head + strings.Repeat("x", size-len(head)-len(tail)) + tail)
	}
	c := g.dial(t, dial{format: proto.JSON})
	c.raw(frame(proto.MaxClientFrame))
	if c.reply("r").GetOk().GetPong() == nil {
		t.Error("a frame of the limit is refused")
	}
	c.raw(frame(proto.MaxClientFrame + 1))
	if code, _ := c.closed(); code != websocket.CloseMessageTooBig {
		t.Errorf("close code %d", code)
	}
}

// Much of what these clients send is never read, and closing a socket over unread bytes resets it.
func TestFrameThatIsFarTooLargeIsAlwaysToldWhy(t *testing.T) {
	w := newWorld(t)
	g := w.gateway()
	data := make([]byte, 256<<10)
	var clients []*client
	for range 40 {
		c := g.dial(t, dial{})
		c.welcome()
		clients = append(clients, c)
	}
	for _, c := range clients {
		c.raw(data)
	}
	for _, c := range clients {
		if code, _ := c.closed(); code != websocket.CloseMessageTooBig {
			t.Errorf("close code %d", code)
		}
	}
}

func TestOrderedCommandsKeepTheirOrderAndOthersDoNotWait(t *testing.T) {
	w := newWorld(t)
	first := make(chan struct{})
	g := w.gateway(func(cfg *GatewayConfig) {
		cfg.Routes["chat_send"] = Route{Ordered: true, Handle: func(ctx context.Context, c Call) (*proto.Ok, error) {
			if c.RequestID == "1" {
				return nil, wait(ctx, first)
			}
			return nil, nil
		}}
		cfg.Routes["wallet_get"] = Route{Handle: func(context.Context, Call) (*proto.Ok, error) { return nil, nil }}
	})
	c := g.dial(t, dial{token: w.token("vera", "viewer", 0)})
	c.send(chatSend("1", "a"), chatSend("2", "b"), &proto.Command{RequestId: "w", Command: &proto.Command_WalletGet{WalletGet: new(proto.WalletGet)}})
	c.reply("w")
	for _, f := range c.received() {
		for _, r := range f.Replies {
			if r.RequestId != "w" {
				t.Errorf("reply %s came while the first was running", r.RequestId)
			}
		}
	}
	close(first)
	c.reply("2")
	var order []string
	for _, f := range c.received() {
		for _, r := range f.Replies {
			order = append(order, r.RequestId)
		}
	}
	if fmt.Sprint(order) != "[w 1 2]" {
		t.Errorf("replies in order %v", order)
	}
}

func TestSelfComesForSignedInViewersAndBannedOnesAreClosed(t *testing.T) {
	w := newWorld(t)
	reads := 0
	g := w.gateway(func(cfg *GatewayConfig) {
		cfg.Selves = append(cfg.Selves, func(_ context.Context, _ pgx.Tx, roomID string, selves map[string]*proto.SessionSelf) error {
			if reads++; reads == 1 {
				return io.ErrUnexpectedEOF // read again
			}
			for id, self := range selves {
				self.Balance = int64(len(id))
				if id == "bad" {
					self.Sanctions = []*proto.Sanction{{Kind: proto.SanctionKind_SANCTION_KIND_BAN}}
				}
			}
			return nil
		})
	})
	c := g.dial(t, dial{token: w.token("vera", "viewer", 0)})
	self := c.event("session_self", nil).GetSessionSelf()
	if self.Balance != 4 || self.User.GetId() != "vera" {
		t.Errorf("self = %v", self)
	}
	bad := g.dial(t, dial{token: w.token("bad", "viewer", 0)})
	if code, text := bad.closed(); code != CloseForbidden || text != "banned" {
		t.Errorf("closed with %d %s", code, text)
	}
}

func TestPrivateEventsReachTheUserOnEveryGatewayAndNobodyElse(t *testing.T) {
	w := newWorld(t)
	w.room("other", true)
	one, two := w.gateway(), w.gateway()
	here := one.dial(t, dial{token: w.token("vera", "viewer", 0)})
	there := two.dial(t, dial{token: w.token("vera", "viewer", 0), room: "other"})
	else_ := two.dial(t, dial{token: w.token("walt", "viewer", 0)})
	for _, c := range []*client{here, there, else_} {
		c.event("session_self", nil) // known to the roster from here on
	}
	balance := func(n int64) *proto.Event {
		return &proto.Event{Event: &proto.Event_WalletBalance{WalletBalance: &proto.WalletBalance{Balance: n}}}
	}
	w.must(w.bus.PublishPrivate(
		&proto.PrivateEvent{UserId: "vera", Event: balance(1)},
		&proto.PrivateEvent{UserId: "vera", RoomId: "other", Event: balance(2)},
		&proto.PrivateEvent{UserId: "walt", Event: balance(3)},
		&proto.PrivateEvent{UserId: "vera", RoomId: "demo", Event: balance(4)},
	))
	balances := func(c *client, last int64) string {
		c.event("wallet_balance", func(ev *proto.Event) bool { return ev.GetWalletBalance().Balance == last })
		var got []int64
		for _, f := range c.received() {
			for _, ev := range f.Events {
				if b := ev.GetWalletBalance(); b != nil {
					got = append(got, b.Balance)
				}
			}
		}
		return fmt.Sprint(got)
	}
	if got := balances(here, 4); got != "[1 4]" {
		t.Errorf("in demo: %s", got)
	}
	if got := balances(there, 2); got != "[1 2]" {
		t.Errorf("in other: %s", got)
	}
	if got := balances(else_, 3); got != "[3]" {
		t.Errorf("another user: %s", got)
	}
}
