package session

import (
	"fmt"
	"testing"
	"time"

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
	var s tipSet
	for n := range tipMemory + 1 {
		if !s.add([]string{fmt.Sprint(n)}) {
			t.Fatalf("tip %d is taken for known", n)
		}
	}
	if s.add([]string{"1", "2"}) {
		t.Error("known tips are taken for new")
	}
	if !s.add([]string{"0"}) {
		t.Error("the oldest tip is remembered beyond the bound")
	}
	if len(s.known) != tipMemory || len(s.ring) != tipMemory {
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
