package session

import (
	"context"
	"flag"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"pgregory.net/rapid"

	"livecart/proto"
)

func TestSequencePutsEventsInOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 40).Draw(t, "n")
		arrivals := rapid.SliceOfN(rapid.Int64Range(1, int64(n)), 0, 100).Draw(t, "arrivals")
		s := sequence{}
		var out []int64
		got := make(map[int64]bool)
		now := time.Unix(1000, 0)
		for _, seq := range arrivals {
			got[seq] = true
			for _, ev := range s.take(&proto.Event{Seq: seq}, now) {
				out = append(out, ev.Seq)
			}
		}
		want := int64(0)
		for got[want+1] {
			want++
		}
		if fmt.Sprint(out) != rangeOf(1, want) || s.last != want {
			t.Fatalf("out came %v, the last is %d, want up to %d", out, s.last, want)
		}
		beyond := 0
		for seq := range got {
			if seq > want {
				beyond++
			}
		}
		if _, waiting := s.due(); waiting != (beyond > 0) || len(s.held) != beyond {
			t.Fatalf("%d held, want %d", len(s.held), beyond)
		}
	})
}

func TestTipSetForgetsOnlyTheOldest(t *testing.T) {
	var s idSet
	for n := range idMemory + 1 {
		if !s.add(fmt.Sprint(n)) {
			t.Fatalf("tip %d is taken for known", n)
		}
	}
	if s.add("1", "2") {
		t.Error("known tips are taken for new")
	}
	if !s.add("0") {
		t.Error("the oldest tip is remembered beyond the bound")
	}
	if len(s.known) != idMemory || len(s.ring) != idMemory {
		t.Errorf("%d and %d remembered", len(s.known), len(s.ring))
	}
}

func TestLostHintHealsFromPostgres(t *testing.T) {
	w := newWorld(t)
	g := w.gateway()
	c := g.dial(t, dial{})
	c.welcome()
	t.Run("by the next one", func(t *testing.T) {
		w.state("demo", false)
		w.state("demo", true)
		c.event("chat_settings", func(ev *proto.Event) bool { return ev.Seq == 2 })
	})
	t.Run("at the tail", func(t *testing.T) {
		w.state("demo", false)
		c.event("chat_settings", func(ev *proto.Event) bool { return ev.Seq == 3 })
	})
	t.Run("many at once", func(t *testing.T) {
		for range 5 {
			w.state("demo", false)
		}
		c.event("chat_settings", func(ev *proto.Event) bool { return ev.Seq == 8 })
	})
	if got := fmt.Sprint(c.numbers()); got != rangeOf(1, 8) {
		t.Errorf("numbers %v", got)
	}
}

func TestEventsOutOfOrderAndTwiceComeOnceAndInOrder(t *testing.T) {
	w := newWorld(t)
	g := w.gateway()
	c := g.dial(t, dial{})
	c.welcome()
	var events []*proto.Event
	for range 6 {
		events = append(events, w.state("demo", false))
	}
	w.publish("demo", events[2], events[0], events[2], events[1], events[1])
	w.publish("demo", events[5], events[4], events[3])
	c.event("chat_settings", func(ev *proto.Event) bool { return ev.Seq == 6 })
	// Anything delivered twice would stand before this one.
	w.state("demo", true)
	c.event("chat_settings", func(ev *proto.Event) bool { return ev.Seq == 7 })
	if got := fmt.Sprint(c.numbers()); got != rangeOf(1, 7) {
		t.Errorf("numbers %v", got)
	}
}

func TestTipAnnouncedTwiceIsShownOnce(t *testing.T) {
	w := newWorld(t)
	g := w.gateway()
	c := g.dial(t, dial{})
	c.welcome()
	w.publish("demo", gift("vera", "c", "t1", 1, 1, 3), gift("vera", "c", "t1", 1, 1, 3), gift("vera", "c", "t2", 2, 3, 3))
	w.publish("demo", gift("vera", "c", "t2", 2, 3, 3), gift("vera", "c", "t3", 4, 7, 3))
	var delta int64
	c.until("the last tip", func(frames []*proto.ServerFrame) bool {
		delta = 0
		last := false
		for _, f := range frames {
			for _, ev := range f.Events {
				delta += ev.GetGiftSent().GetDelta()
				last = last || ev.GetGiftSent().GetComboCount() == 7
			}
		}
		return last
	})
	if delta != 7 {
		t.Errorf("gifts add up to %d, want 7", delta)
	}
}

var natsAway = flag.Duration("nats-away", 0, "how long TestEverythingHealsAfterNATSWasAway keeps NATS away; a second when 0")

// While NATS is away viewers stay, new ones come, and numbered events come from Postgres. What only NATS
// brings is right after it is back.
func TestEverythingHealsAfterNATSWasAway(t *testing.T) {
	w := newWorld(t)
	pins := atomic.Int64{}
	g := w.gateway(func(cfg *GatewayConfig) {
		cfg.Snapshots = append(cfg.Snapshots, func(_ context.Context, _ pgx.Tx, _ string, w *proto.SessionWelcome) error {
			w.ShelfTotal = int32(pins.Load())
			return nil
		})
		cfg.Selves = append(cfg.Selves, func(_ context.Context, _ pgx.Tx, _ string, selves map[string]*proto.SessionSelf) error {
			for _, self := range selves {
				self.Balance = pins.Load()
			}
			return nil
		})
	})
	var viewers []*client
	for n := range 4 {
		c := g.dial(t, dial{token: w.token(fmt.Sprint("viewer-", n), "viewer", 0), format: proto.Format(n % int(proto.Formats))})
		c.welcome()
		c.event("session_self", nil)
		viewers = append(viewers, c)
	}
	changed := func(announce bool) (seq int64) {
		seq = w.state("demo", announce).Seq
		for _, c := range viewers {
			c.event("chat_settings", func(ev *proto.Event) bool { return ev.Seq == seq })
		}
		return seq
	}
	newest := int64(0)
	w.restartNATS(func() {
		eventually(t, "the gateway notices", func() bool { return !g.bus.Connected() })
		pins.Store(7) // something changes and nobody can tell
		from := time.Now()
		for newest == 0 || time.Since(from) < *natsAway {
			newest = changed(false) // a second
			for _, c := range viewers {
				asked := fmt.Sprint("away-", newest)
				c.send(ping(asked))
				c.reply(asked)
			}
		}
		g.dial(t, dial{}).welcome()
		t.Logf("NATS was away for %v; meanwhile %d events came from Postgres, each to %d viewers", time.Since(from).Round(time.Millisecond), newest, len(viewers))
	})
	back := time.Now()
	for _, c := range viewers {
		c.event("session_self", func(ev *proto.Event) bool { return ev.GetSessionSelf().Balance == 7 })
	}
	eventually(t, "the snapshot is new", func() bool {
		welcome, err := g.Welcome(t.Context(), "demo")
		return err == nil && welcome.ShelfTotal == 7 && welcome.Seq == newest
	})
	t.Logf("all is right %v after NATS was back", time.Since(back).Round(time.Millisecond))
	newest = changed(true)
	w.publish("demo", comment("vera", proto.Role_ROLE_VIEWER, "back"))
	for _, c := range viewers {
		c.event("chat_message", nil)
		if got := fmt.Sprint(c.numbers()); got != rangeOf(1, newest) {
			t.Errorf("numbers %v", got)
		}
	}
}

func TestShelfThatLostAnEntryIsReadAnew(t *testing.T) {
	w := newWorld(t)
	removed := atomic.Bool{}
	g := w.gateway(func(cfg *GatewayConfig) {
		cfg.Snapshots = append(cfg.Snapshots, func(_ context.Context, _ pgx.Tx, _ string, w *proto.SessionWelcome) error {
			for n := range 25 {
				if n > 0 || !removed.Load() {
					w.Shelf = append(w.Shelf, &proto.ShelfEntry{ProductId: fmt.Sprint(n), Position: int32(len(w.Shelf) + 1)})
				}
			}
			w.ShelfTotal = int32(len(w.Shelf))
			return nil
		})
	})
	c := g.dial(t, dial{})
	c.welcome()
	removed.Store(true)
	w.numbered("demo", &proto.Event{Event: &proto.Event_ProductUpdated{ProductUpdated: &proto.ProductUpdated{Product: product("0", 2)}}}, true)
	c.event("product_updated", nil)
	eventually(t, "the twenty-first moves up", func() bool {
		welcome, err := g.Welcome(t.Context(), "demo")
		return err == nil && len(welcome.Shelf) == MaxWelcomeShelf && welcome.Shelf[19].ProductId == "20" && welcome.ShelfTotal == 24
	})
}
