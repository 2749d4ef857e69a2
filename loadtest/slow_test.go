package loadtest

import (
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"livecart/proto"
)

// A slow reader takes the time that its rate says; the one beside it does not wait for it.
func TestSwarmReadsSlowly(t *testing.T) {
	eachSwarm(t, SwarmConfig{Viewers: 2}, func(t *testing.T, s *seen) {
		const frames, bytes, rate = 20, 1000, 20_000
		g := serve(t, func(g *gateway) {
			g.joined = func(c *socket) {
				c.welcome(&proto.SessionWelcome{})
				for range frames {
					c.events(chatEvent(strings.Repeat("x", bytes)))
				}
			}
		})
		slow := g.config()
		slow.ReadRate = rate
		begin := time.Now()
		s.mustJoin(0, slow)
		s.mustJoin(1, g.config())
		all := func(i int) func() bool { return func() bool { return len(s.events[i]) == 1+frames } }
		s.await("everything at the fast one", all(1))
		s.mu.Lock()
		got := len(s.events[0])
		s.mu.Unlock()
		if early := time.Since(begin) < time.Second/2; early && got == 1+frames {
			t.Error("the slow one had everything at once")
		}
		s.await("everything at the slow one", all(0))
		// The first bytes come with the handshake, and nobody rests after the last ones.
		if took := time.Since(begin); took < (frames-7)*bytes*time.Second/rate {
			t.Errorf("%d bytes took %v", frames*bytes, took)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if n := len(s.ends[0]); n > 0 {
			t.Errorf("%d connections ended: %v", n, s.ends[0])
		}
	})
}

// Both that a slow viewer is left behind and that it is cut off are told and no failure; its deliveries do
// not count for the others.
func TestPlayWithSlowReaders(t *testing.T) {
	t.Parallel()
	cut := func(r *room) {
		r.onCommand = func(cmd *proto.Command) bool {
			r.mu.Lock()
			defer r.mu.Unlock()
			if cmd.GetChatSend() == nil {
				return false
			}
			for c, user := range r.sockets {
				if number := user[strings.LastIndex(user, "-")+1:]; !strings.Contains(user, "regular") && len(number) > 1 && strings.ContainsAny(number[len(number)-1:], "02468") {
					c.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(4008, "slow_consumer"), time.Now().Add(time.Second))
				}
			}
			return false
		}
	}
	for _, tt := range []struct {
		name   string
		change func(*room)
		part   float64
		passes bool
	}{{"patient server", nil, 0.5, true}, {"server that cuts off slow ones", cut, 0.5, true}, {"server that cuts off others", cut, 0, false}} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, target := openRoom(t, tt.change)
			p := evening(t, target)
			p.Plan.Slow = Slow{tt.part, 1_000_000}
			result, err := p.Run(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if result.Passed != tt.passes {
				t.Errorf("%s: %+v, %v", result.Verdict(), result.Checks, result.Invalid)
			}
			slow := int64(0)
			for _, l := range result.Latency {
				if l.Name == "delivery.slow" {
					slow = l.Count
				}
			}
			if (slow > 0) != (tt.part > 0) {
				t.Errorf("%d deliveries at slow readers", slow)
			}
			if lost := result.Counts["slow.lost"]; (lost > 0) != (tt.change != nil && tt.part > 0) || lost > result.Counts["closed.4008"] {
				t.Errorf("%d slow readers were lost, closed with 4008: %d", lost, result.Counts["closed.4008"])
			}
		})
	}
}

func TestSlowPart(t *testing.T) {
	n := 0
	for i := range uint32(1000) {
		if rate := (Slow{0.05, 10_000}).reads(i); rate == 10_000 {
			n++
		} else if rate != 0 {
			t.Fatalf("viewer %d reads %d bytes a second", i, rate)
		}
	}
	if n != 50 && n != 49 { // number 0 is no viewer who comes and goes
		t.Errorf("%d of 1000 read slowly", n)
	}
}
