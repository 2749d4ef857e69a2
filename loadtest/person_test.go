package loadtest

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"livecart/proto"
)

// someone joins g and does not wait long.
func someone(t *testing.T, g *gateway) *person {
	t.Helper()
	p := newPerson(g.target(), "ann", "a token", proto.Binary, NewMeter(time.Now()))
	p.patience, p.askPause = 20*time.Second, time.Millisecond
	if err := p.join(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.leave)
	return p
}

// asked keeps the request_ids that a gateway was sent.
type asked struct {
	mu  sync.Mutex
	ids []string
}

// add returns how many came before.
func (a *asked) add(cmd *proto.Command) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ids = append(a.ids, cmd.RequestId)
	return len(a.ids) - 1
}

func TestAskUntilThereIsAnOutcome(t *testing.T) {
	tests := []struct {
		name       string
		answers    []func(*socket, *proto.Command)
		reason     proto.Reason // of the outcome
		reconnects int
	}{
		{name: "at once", answers: []func(*socket, *proto.Command){nil}},
		{name: "refused for good", answers: []func(*socket, *proto.Command){no(proto.ReasonSoldOut)}, reason: proto.ReasonSoldOut},
		{name: "later", answers: []func(*socket, *proto.Command){
			no(proto.ReasonTryAgain), no(proto.ReasonPending), no(proto.ReasonBusy), no(proto.ReasonRateLimited),
			no(proto.ReasonSalePaused), no(proto.ReasonNotStarted), no(proto.ReasonInternal), nil,
		}},
		{name: "after two cuts", answers: []func(*socket, *proto.Command){hangUp, hangUp, nil}, reconnects: 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got asked
			g := serve(t, func(g *gateway) {
				g.answer = func(c *socket, cmd *proto.Command) {
					if answer := tt.answers[got.add(cmd)]; answer != nil {
						answer(c, cmd)
						return
					}
					c.ok(cmd, nil)
				}
			})
			p := someone(t, g)
			reply, err := p.ask(t.Context(), ping())
			if err != nil || proto.Reason(reply.GetError().GetReason()) != tt.reason {
				t.Fatalf("%v, %v", reply, err)
			}
			if ids := slices.Compact(got.ids); len(got.ids) != len(tt.answers) || len(ids) != 1 || ids[0] == "" {
				t.Errorf("request_ids %q, want one id %d times", got.ids, len(tt.answers))
			}
			if p.reconnects != tt.reconnects || p.stayed() != (tt.reconnects == 0) {
				t.Errorf("%d reconnects, stayed %v", p.reconnects, p.stayed())
			}
			if l := p.meter.Latencies(); len(l) != 2 || l[1].Name != "reply.ping" || l[1].Count != 1 {
				t.Errorf("latencies: %+v", l)
			}
		})
	}
}

func no(reason proto.Reason) func(*socket, *proto.Command) {
	return func(c *socket, cmd *proto.Command) { c.no(cmd, reason) }
}

func hangUp(c *socket, _ *proto.Command) { c.Conn.Close() }

func TestAskGivesUp(t *testing.T) {
	var banned atomic.Bool
	forbidden := func(w http.ResponseWriter, _ *http.Request) bool {
		if !banned.Load() {
			return false
		}
		w.WriteHeader(http.StatusForbidden)
		w.Write([]byte(`{"reason":"banned","detail":"you are banned"}`))
		return true
	}
	tests := []struct {
		name   string
		answer func(g *gateway) func(*socket, *proto.Command)
		want   string
	}{
		{"never an outcome", func(*gateway) func(*socket, *proto.Command) { return no(proto.ReasonPending) }, "the reply is pending"},
		{"always cut", func(*gateway) func(*socket, *proto.Command) { return hangUp }, ErrCut.Error()},
		{"not let in again", func(g *gateway) func(*socket, *proto.Command) {
			g.refuse = forbidden
			return func(c *socket, cmd *proto.Command) {
				banned.Store(true)
				hangUp(c, cmd)
			}
		}, "403 Forbidden: banned: you are banned"},
		{"long wait", func(*gateway) func(*socket, *proto.Command) {
			return func(c *socket, cmd *proto.Command) {
				wire := proto.Wire(proto.Refuse(proto.ReasonRateLimited, "no").After(time.Hour))
				c.send(&proto.ServerFrame{Replies: []*proto.Reply{{RequestId: cmd.RequestId, Result: &proto.Reply_Error{Error: wire}}}})
			}
		}, "the reply is rate_limited"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := serve(t, func(g *gateway) { g.answer = tt.answer(g) })
			p := someone(t, g)
			p.patience = 50 * time.Millisecond
			begin := time.Now()
			reply, err := p.ask(t.Context(), ping())
			if err == nil || !strings.Contains(err.Error(), "ping has no outcome after 50ms: ") || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, %v", reply, err)
			}
			if d := time.Since(begin); d < p.patience || d > 15*time.Second {
				t.Errorf("gave up after %v", d)
			}
		})
	}
}

func TestAskIsInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var got asked
	g := serve(t, func(g *gateway) {
		g.answer = func(_ *socket, cmd *proto.Command) {
			got.add(cmd)
			cancel()
		}
	})
	p := someone(t, g)
	for range 2 { // the second time nothing is sent any more
		if _, err := p.ask(ctx, ping()); !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
	}
	p.leave()
	if len(got.ids) != 1 {
		t.Errorf("%d commands were sent", len(got.ids))
	}
}

// Many who ask over one connection that is lost must come back once.
func TestManyAskOverALostConnection(t *testing.T) {
	const n = 20
	var first sync.Once
	g := serve(t, func(g *gateway) {
		g.answer = func(c *socket, cmd *proto.Command) {
			cut := false
			first.Do(func() { cut = true })
			if cut {
				hangUp(c, cmd)
				return
			}
			c.ok(cmd, nil)
		}
	})
	p := someone(t, g)
	err := each(t.Context(), n, make([]int, n), func(ctx context.Context, _ int) error {
		_, err := p.ask(ctx, ping())
		return err
	})
	if err != nil {
		t.Error(err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if p.reconnects != 1 || g.joins != 2 {
		t.Errorf("%d reconnects, %d connections", p.reconnects, g.joins)
	}
}

func tokensOf(t *testing.T, target Target, n int) []viewerToken {
	t.Helper()
	tokens, err := target.viewerTokens("run", n, part{})
	if err != nil {
		t.Fatal(err)
	}
	return tokens
}

func TestPeopleTakeTurnsOverGateways(t *testing.T) {
	a, b := serve(t, nil), serve(t, nil)
	target := Target{Gateways: []string{a.url, b.url}, Room: "demo", JWTKeyFile: keyFile(t, testKey)}
	c, err := gather(t.Context(), target, tokensOf(t, target, 8), nil, NewMeter(time.Now()), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.leave()
	pairs := map[string]int{}
	for _, p := range c.people {
		pairs[p.viewer.cfg.URL+p.format.String()]++
	}
	if len(pairs) != 4 {
		t.Errorf("%v, want each gateway with each format", pairs)
	}
	p := c.people[0]
	if err := p.refresh(t.Context()); err != nil || !strings.HasPrefix(p.viewer.cfg.URL, "ws"+strings.TrimPrefix(b.url, "http")) {
		t.Errorf("came back at %s: %v", p.viewer.cfg.URL, err)
	}
}

func TestGatherFailsAsAWhole(t *testing.T) {
	var joins asked
	g := serve(t, func(g *gateway) {
		g.refuse = func(w http.ResponseWriter, _ *http.Request) bool {
			if joins.add(&proto.Command{}) != 3 {
				return false
			}
			http.Error(w, "full", http.StatusServiceUnavailable)
			return true
		}
	})
	target := g.target()
	target.JWTKeyFile = keyFile(t, testKey)
	if _, err := gather(t.Context(), target, tokensOf(t, target, 8), nil, NewMeter(time.Now()), nil); err == nil || !strings.Contains(err.Error(), "503") {
		t.Errorf("%v", err)
	}
	if !until(t.Context(), 10*time.Second, func() bool {
		g.mu.Lock()
		defer g.mu.Unlock()
		return len(g.open) == 0
	}) {
		t.Error("a viewer stayed behind")
	}
}
