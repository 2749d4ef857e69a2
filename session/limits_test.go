package session

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"golang.org/x/time/rate"

	"livecart/proto"
)

func TestPaceAllowsBurstThenRateAndMeasuresExcess(t *testing.T) {
	now := time.Unix(1000, 0)
	p := newPace(20, 40)
	for n := range 40 {
		if _, _, ok := p.take(now); !ok {
			t.Fatalf("command %d of the burst is refused", n+1)
		}
	}
	wait, excess, ok := p.take(now)
	if ok || wait != 50*time.Millisecond || excess != 0 {
		t.Fatalf("the 41st: ok %v, wait %v, excess %v", ok, wait, excess)
	}
	if _, _, ok := p.take(now.Add(wait)); !ok {
		t.Error("refused after the wait it was told")
	}
	// Two commands for each one allowed, for ten seconds: the excess is measured from its start.
	var longest time.Duration
	for at := 100 * time.Millisecond; at <= 10*time.Second; at += 25 * time.Millisecond {
		_, excess, ok = p.take(now.Add(at))
		if !ok && excess != at {
			t.Fatalf("after %v the excess is %v", at, excess)
		}
		longest = max(longest, excess)
	}
	if longest < DefaultExcessTimeout-50*time.Millisecond {
		t.Errorf("ten seconds of excess measure %v", longest)
	}
	// A calm while ends it.
	later := now.Add(20 * time.Second)
	for range 40 {
		p.take(later)
	}
	if _, excess, ok := p.take(later); ok || excess != 0 {
		t.Errorf("after a calm while: ok %v, excess %v", ok, excess)
	}
}

func TestGatewayConfig(t *testing.T) {
	w := newWorld(t)
	good := w.gateway().cfg
	for name, spoil := range map[string]func(*GatewayConfig){
		"no pool":           func(c *GatewayConfig) { c.Pool = nil },
		"no presence":       func(c *GatewayConfig) { c.Presence = nil },
		"a route of ours":   func(c *GatewayConfig) { c.Routes = map[string]Route{"ping": {}} },
		"bad origin":        func(c *GatewayConfig) { c.AllowedOrigins = []string{"https://shop.example/page"} },
		"negative comments": func(c *GatewayConfig) { c.ChatPerViewer = -1 },
		"negative interval": func(c *GatewayConfig) { c.PingInterval = -time.Second },
	} {
		cfg := good
		spoil(&cfg)
		if _, err := NewGateway(cfg); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	var c GatewayConfig
	c.setDefaults()
	if c.MaxConns != 100_000 || c.MaxHandshakes != 1024 || c.ConnsPerUser != 8 || c.CommandRate != 20 || c.CommandBurst != 40 ||
		c.ExcessTimeout != 10*time.Second || c.BuyRate != 5 || c.MaxInFlight != 32 || c.QueueBytes != 256<<10 ||
		c.PingInterval != 25*time.Second || c.IdleTimeout != time.Minute || c.DrainTimeout != 30*time.Second || c.ChatPerViewer != 0 {
		t.Errorf("the defaults are not the documented ones: %+v", c)
	}
}

func TestExcessIsAnsweredThenClosed(t *testing.T) {
	w := newWorld(t)
	g := w.gateway(func(cfg *GatewayConfig) {
		// Few enough for one frame, and none comes back while it is read.
		cfg.CommandRate, cfg.CommandBurst, cfg.ExcessTimeout = 1, 20, 300*time.Millisecond
	})
	c := g.dial(t, dial{})
	var pings []*proto.Command
	for n := range 21 {
		pings = append(pings, ping(fmt.Sprint(n)))
	}
	c.send(pings...)
	r := c.reply("20")
	if r.GetError().GetReason() != string(proto.ReasonRateLimited) || r.GetError().GetRetryAfterMs() <= 0 {
		t.Errorf("the 21st command gets %v", r)
	}
	if c.reply("19").GetOk() == nil {
		t.Error("the 20th is refused")
	}
	stop := make(chan struct{})
	go func() {
		defer close(stop)
		for n := 0; ; n++ {
			select {
			case <-c.done:
				return
			case <-time.After(2 * time.Millisecond):
				c.send(ping("more"))
			}
		}
	}()
	if code, text := c.closed(); code != CloseRateLimited || text != "rate_limited" {
		t.Errorf("closed with %d %s", code, text)
	}
	<-stop
}

// Ping frames and junk meet the limit of commands; there are no pongs beyond it.
func TestExcessOfWhateverIsClosed(t *testing.T) {
	floods := map[string][]byte{
		"ping frames": clientFrame(final|pingOpcode, "x"),
		"pong frames": clientFrame(final|pongOpcode, "x"),
		"malformed":   clientFrame(final|textFrame, "x"),
		"empty":       clientFrame(final|textFrame, "{}"),
	}
	bothWays(t, func(t *testing.T, w *world) {
		g := w.gateway(func(cfg *GatewayConfig) {
			cfg.CommandRate, cfg.CommandBurst, cfg.ExcessTimeout = 1, 20, 300*time.Millisecond
		})
		for name, frame := range floods {
			t.Run(name, func(t *testing.T) {
				c := g.raw(t)
				pongs, begun := 0, time.Now()
				c.ws.SetPongHandler(func(string) error {
					pongs++
					return nil
				})
				stop, stopped := make(chan struct{}), make(chan struct{})
				go func() {
					defer close(stopped)
					for {
						select {
						case <-stop:
							return
						case <-time.After(2 * time.Millisecond):
							c.write(frame)
						}
					}
				}()
				if code := c.code(); code != CloseRateLimited {
					t.Errorf("closed with %d", code)
				}
				close(stop)
				<-stopped
				if most := 21 + time.Since(begun).Seconds(); float64(pongs) > most || name == "ping frames" && pongs < 20 {
					t.Errorf("%d pongs, at most %.0f should come", pongs, most)
				}
			})
		}
	})
}

func TestNinthConnectionReplacesTheOldest(t *testing.T) {
	w := newWorld(t)
	g := w.gateway()
	token := w.token("vera", "viewer", 0)
	var conns []*client
	for range DefaultConnsPerUser {
		c := g.dial(t, dial{token: token})
		c.event("session_self", nil)
		conns = append(conns, c)
	}
	conns[0].send(ping("still here"))
	conns[0].reply("still here")
	ninth := g.dial(t, dial{token: token})
	ninth.event("session_self", nil)
	if code, text := conns[0].closed(); code != CloseReplaced || text != "replaced" {
		t.Errorf("closed with %d %s", code, text)
	}
	conns[1].send(ping("alive"))
	conns[1].reply("alive")
}

func TestFlashBuysOfAUserAreLimitedOverAllConnections(t *testing.T) {
	w := newWorld(t)
	g := w.gateway(func(cfg *GatewayConfig) {
		cfg.Routes["flash_buy"] = Route{Handle: func(context.Context, Call) (*proto.Ok, error) { return nil, nil }}
	})
	token := w.token("vera", "viewer", 0)
	a, b := g.dial(t, dial{token: token}), g.dial(t, dial{token: token})
	a.event("session_self", nil)
	b.event("session_self", nil)
	buy := func(id string) *proto.Command {
		return &proto.Command{RequestId: id, Command: &proto.Command_FlashBuy{FlashBuy: &proto.FlashBuy{SaleId: "s", Quantity: 1}}}
	}
	begun := time.Now()
	a.send(buy("a1"), buy("a2"), buy("a3"))
	a.reply("a3")
	var more []*proto.Command
	for n := range 20 {
		more = append(more, buy(fmt.Sprint("b", n)))
	}
	b.send(more...)
	bought := 3
	for n := range more {
		switch e := b.reply(fmt.Sprint("b", n)).GetError(); {
		case e == nil:
			bought++
		case e.Reason != string(proto.ReasonRateLimited) || e.RetryAfterMs <= 0 || e.RetryAfterMs > 200:
			t.Errorf("attempt b%d gets %v", n, e)
		}
	}
	// Five at once, and five more in each second that this took.
	if most := 5 + 5*time.Since(begun).Seconds(); bought < 5 || float64(bought) > most {
		t.Errorf("%d attempts went through, at most %.1f should", bought, most)
	}
}

func TestBuyLimitOutlivesItsConnections(t *testing.T) {
	r := newRoster(8, 5)
	c := &Conn{userID: "vera"}
	r.add(c)
	for range 5 {
		r.mayBuy("vera", time.Now())
	}
	r.remove(c)
	r.forget(time.Now())
	r.add(c)
	if _, ok := r.mayBuy("vera", time.Now()); ok {
		t.Error("a new connection resets the limit")
	}
	r.remove(c)
	r.forget(time.Now().Add(2 * time.Second))
	if len(r.users) != 0 {
		t.Error("a user is remembered for ever")
	}
}

func TestOneCommandMoreThanMayRunIsBusy(t *testing.T) {
	w := newWorld(t)
	release := make(chan struct{})
	g := w.gateway(func(cfg *GatewayConfig) {
		hold := func(ctx context.Context, _ Call) (*proto.Ok, error) { return nil, wait(ctx, release) }
		cfg.Routes["wallet_get"] = Route{Handle: hold}
		cfg.Routes["chat_send"] = Route{Handle: hold, Ordered: true}
	})
	c := g.dial(t, dial{token: w.token("vera", "viewer", 0)})
	const pairs = DefaultMaxInFlight / 2
	for n := range pairs {
		c.send(&proto.Command{RequestId: fmt.Sprint("w", n), Command: &proto.Command_WalletGet{WalletGet: new(proto.WalletGet)}})
		c.send(chatSend(fmt.Sprint("c", n), "x"))
	}
	c.send(chatSend("one more", "x"))
	if reason := c.reason("one more"); reason != proto.ReasonBusy {
		t.Errorf("one more than %d gets %q", DefaultMaxInFlight, reason)
	}
	close(release)
	for n := range pairs {
		if reason := c.reason(fmt.Sprint("w", n)) + c.reason(fmt.Sprint("c", n)); reason != "" {
			t.Errorf("pair %d: %s", n, reason)
		}
	}
}

func TestGatewayIsFullAtItsLimit(t *testing.T) {
	w := newWorld(t)
	g := w.gateway(func(cfg *GatewayConfig) { cfg.MaxConns = 2 })
	first := g.dial(t, dial{})
	g.dial(t, dial{})
	try := func() (*websocket.Conn, *http.Response) {
		d := websocket.Dialer{Subprotocols: []string{proto.JSON.String()}}
		ws, resp, _ := d.Dial(dial{}.url(g.url), nil)
		return ws, resp
	}
	ws, resp := try()
	if ws != nil || resp == nil || resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
		t.Fatalf("the third connection gets %v", resp)
	}
	first.close()
	eventually(t, "a place is free again", func() bool {
		ws, _ := try()
		if ws != nil {
			ws.Close()
		}
		return ws != nil
	})
}

func TestHandshakesAreLimited(t *testing.T) {
	w := newWorld(t)
	g := w.gateway(func(cfg *GatewayConfig) { cfg.MaxHandshakes = 1 })
	g.handshakes.Add(1)
	d := websocket.Dialer{Subprotocols: []string{proto.JSON.String()}}
	_, resp, err := d.Dial(dial{}.url(g.url), nil)
	if err == nil || resp == nil || resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
		t.Fatalf("a handshake beyond the limit gets %v", resp)
	}
	g.handshakes.Add(-1)
	g.dial(t, dial{}).welcome()
	eventually(t, "no handshake is left over", func() bool { return g.handshakes.Load() == 0 })
}

func TestJoinsASecondAreLimitedAndSentAwayForDifferentTimes(t *testing.T) {
	w := newWorld(t)
	g := w.gateway(func(cfg *GatewayConfig) { cfg.JoinRate = 1 })
	g.joins.SetLimit(0) // what is left of the second is the burst
	g.dial(t, dial{}).welcome()
	d := websocket.Dialer{Subprotocols: []string{proto.JSON.String()}}
	waits := make(map[string]bool)
	for range 30 {
		ws, resp, err := d.Dial(dial{}.url(g.url), nil)
		if err == nil {
			ws.Close()
			t.Fatal("one more joins")
		}
		wait, err := strconv.Atoi(resp.Header.Get("Retry-After"))
		if resp.StatusCode != http.StatusServiceUnavailable || err != nil || wait < 1 || wait > 5 {
			t.Fatalf("status %d, Retry-After %q", resp.StatusCode, resp.Header.Get("Retry-After"))
		}
		waits[resp.Header.Get("Retry-After")] = true
	}
	if len(waits) < 3 {
		t.Errorf("all are sent away for the same time: %v", waits)
	}
	g.joins.SetLimit(rate.Inf)
	g.dial(t, dial{}).welcome()
}

func TestTokenExpiryIsAnnouncedAndClosesUnlessRefreshed(t *testing.T) {
	var cfg GatewayConfig
	cfg.setDefaults()
	m, err := newMetrics(nil)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	expires := now.Add(10 * time.Minute)
	c := newConn(&Gateway{cfg: cfg, metrics: m}, nil, new(shard), Viewer{ID: "vera", ExpiresAt: expires}, proto.Binary, now)
	sweep := func(at time.Time) work {
		c.lastRead.Store(at.UnixNano())
		c.pingAt = at.Add(time.Hour)
		c.sweep(at)
		return c.queue.next()
	}
	if w := sweep(expires.Add(-ExpiryNotice - time.Millisecond)); w != (work{}) {
		t.Errorf("before the notice: %v", w)
	}
	if w := sweep(expires.Add(-ExpiryNotice)); w.own == nil || w.own.Events[0].GetSessionExpiring().GetAtMs() != expires.UnixMilli() {
		t.Errorf("a minute before: %v", w)
	}
	if w := sweep(expires.Add(-time.Millisecond)); w != (work{}) {
		t.Errorf("announced again: %v", w)
	}
	// As session_refresh does.
	c.viewer.Store(&Viewer{ID: "vera", ExpiresAt: expires.Add(time.Hour)})
	if w := sweep(expires); w != (work{}) {
		t.Errorf("refreshed: %v", w)
	}
	if w := sweep(expires.Add(time.Hour - time.Second)); w.own == nil || w.own.Events[0].GetSessionExpiring().GetAtMs() != expires.Add(time.Hour).UnixMilli() {
		t.Errorf("before the second end: %v", w)
	}
	if w := sweep(expires.Add(time.Hour)); w.end == nil || w.end.code != CloseUnauthenticated || w.end.text != "token_expired" {
		t.Errorf("at the second end: %v", w)
	}
}

func TestRefreshReplacesTheToken(t *testing.T) {
	w := newWorld(t)
	g := w.gateway()
	c := g.dial(t, dial{token: w.token("vera", "viewer", 2*time.Hour)})
	c.send(&proto.Command{RequestId: "r", Command: &proto.Command_SessionRefresh{
		SessionRefresh: &proto.SessionRefresh{Token: w.token("vera", "viewer", 9*time.Hour)},
	}})
	if reason := c.reason("r"); reason != "" {
		t.Fatalf("refresh: %s", reason)
	}
	if left := time.Until(g.all()[0].Viewer().ExpiresAt); left < 8*time.Hour {
		t.Errorf("the token ends in %v", left)
	}
}

func TestSilentConnectionIsClosedAndPongsKeepOneOpen(t *testing.T) {
	w := newWorld(t)
	g := w.gateway(func(cfg *GatewayConfig) {
		cfg.PingInterval, cfg.IdleTimeout = 50*time.Millisecond, 1500*time.Millisecond
	})
	silent := g.dial(t, dial{deaf: true}) // answers no ping as it does not read
	silent.ws.SetPingHandler(func(string) error { return nil })
	lively := g.dial(t, dial{})
	lively.welcome()
	eventually(t, "the silent one is ended", func() bool {
		ended := 0
		for _, c := range g.all() {
			if c.over() {
				ended++
			}
		}
		return ended == 1 || len(g.all()) == 1
	})
	silent.listen()
	if code, text := silent.closed(); code != websocket.CloseGoingAway || text != "idle" {
		t.Errorf("closed with %d %s", code, text)
	}
	lively.send(ping("alive"))
	lively.reply("alive")
}

// Each answer to session_resume is made for one viewer, so nobody asks for many.
func TestSessionResumeIsLimited(t *testing.T) {
	one, other := loneConn(t, proto.Binary), loneConn(t, proto.Binary)
	shared := rate.NewLimiter(1, 2)
	one.gw.resumes, other.gw.resumes = shared, shared
	now := time.Unix(1000, 0)
	for _, step := range []struct {
		name string
		c    *Conn
		at   time.Duration
		wait time.Duration // 0: it is answered
	}{
		{"the first", one, 0, 0},
		{"again within a second", one, 400 * time.Millisecond, 600 * time.Millisecond},
		{"another viewer", other, 400 * time.Millisecond, 0},
		{"a second later", one, time.Second, 0},
		{"the other one, when the gateway's are used up", other, 1400 * time.Millisecond, 600 * time.Millisecond},
		{"and when there is one", other, 2 * time.Second, 0},
	} {
		wait, ok := step.c.mayResume(now.Add(step.at))
		if ok != (step.wait == 0) || wait.Round(time.Millisecond) != step.wait {
			t.Errorf("%s: %v, wait %v", step.name, ok, wait)
		}
	}
	one.resumedAt = time.Now()
	one.command("session_resume", &proto.Command{RequestId: "r", Command: &proto.Command_SessionResume{SessionResume: new(proto.SessionResume)}})
	if own := one.queue.next().own; len(own.GetReplies()) != 1 || own.Replies[0].GetError().GetReason() != string(proto.ReasonRateLimited) {
		t.Errorf("answered with %v", own)
	}
}
