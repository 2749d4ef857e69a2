package chat

import (
	"fmt"
	"strings"
	"testing"

	"livecart/proto"
)

func texts(messages []*proto.ChatMessage) (found []string) {
	for _, m := range messages {
		found = append(found, m.Text)
	}
	return found
}

func TestRecentHoldsTheLast30(t *testing.T) {
	w := newWorld(t)
	c := w.gateway(nil)
	var all []*proto.ChatMessage
	for i := range 100 {
		all = append(all, w.post(c, host, fmt.Sprint(i)))
	}
	check := func(first, last string) {
		t.Helper()
		recent, err := c.Recent(t.Context(), roomID)
		w.ok(err)
		if got := texts(recent); len(got) != RecentComments || got[0] != first || got[len(got)-1] != last {
			t.Errorf("recent %q, want 30 from %s to %s", got, first, last)
		}
		if got, want := texts(w.snapshot(c).Comments), texts(recent); strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("welcome %q, want %q", got, want)
		}
	}
	check("70", "99")
	for _, m := range all[45:95] { // most of what is usually read
		w.ok(c.Delete(t.Context(), roomID, moderator, m.Id))
	}
	check("20", "99")
}

func TestKept200(t *testing.T) {
	w := newWorld(t)
	c := w.gateway(nil)
	first := w.post(c, host, "first")
	for i := range 199 {
		w.post(c, host, fmt.Sprint(i))
	}
	w.ok(c.Pin(t.Context(), roomID, host, first.Id))
	w.post(c, host, "one more")
	w.is(c.Pin(t.Context(), roomID, moderator, first.Id), ErrNotFound)
	if n, err := w.redis.LLen(t.Context(), commentsKey(roomID)).Result(); err != nil || n != 200 {
		t.Errorf("%d kept, %v, want 200", n, err)
	}
	if ttl, err := w.redis.TTL(t.Context(), commentsKey(roomID)).Result(); err != nil || ttl <= 0 || ttl > historyAge {
		t.Errorf("kept for %v, %v", ttl, err)
	}
}

func TestWelcomeBoundsItsComments(t *testing.T) {
	w := newWorld(t)
	c := w.gateway(nil)
	for range 30 {
		w.post(c, host, strings.Repeat("价", 500)) // 1.5 kB
	}
	recent, err := c.Recent(t.Context(), roomID)
	w.ok(err)
	welcome := w.snapshot(c)
	if n := len(welcome.Comments); len(recent) != 30 || n != 5 || !proto.Equal(welcome.Comments[n-1], recent[29]) {
		t.Errorf("%d recent, %d in the welcome", len(recent), n)
	}
	if size := proto.Size(welcome); size > 9<<10 {
		t.Errorf("%d bytes", size)
	}
}

func TestSnapshotOfAnUntouchedRoom(t *testing.T) {
	w := newWorld(t)
	welcome := w.snapshot(w.gateway(nil))
	if !proto.Equal(welcome, &proto.SessionWelcome{ChatSettings: &proto.ChatSettings{}}) {
		t.Errorf("welcome %v", welcome)
	}
}
