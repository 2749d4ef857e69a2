package chat

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"livecart/proto"
	"livecart/session/store"
)

const (
	mute = proto.SanctionKind_SANCTION_KIND_MUTE
	ban  = proto.SanctionKind_SANCTION_KIND_BAN
)

func TestDelete(t *testing.T) {
	w := newWorld(t)
	c := w.gateway(nil)
	m, kept := w.post(c, viewer, "bad"), w.post(c, viewer, "good")
	w.event()
	w.event()
	w.ok(c.Pin(t.Context(), roomID, moderator, m.Id))
	if ev := w.event(); ev.Seq != 1 || !proto.Equal(ev.GetChatPinned().GetMessage(), m) || ev.GetChatPinned().By.Id != moderator.Id {
		t.Errorf("heard %v", ev)
	}
	w.ok(c.Delete(t.Context(), roomID, moderator, m.Id))
	if ev := w.event(); ev.Seq != 2 || ev.GetChatDeleted().GetMessageId() != m.Id || ev.GetChatDeleted().By.Id != moderator.Id {
		t.Errorf("heard %v", ev)
	}
	if ev := w.event(); ev.Seq != 3 || ev.GetChatPinned() == nil || ev.GetChatPinned().Message != nil {
		t.Errorf("heard %v, want that nothing is pinned", ev)
	}
	w.ok(c.Delete(t.Context(), roomID, host, m.Id))
	w.is(c.Pin(t.Context(), roomID, moderator, m.Id), ErrNotFound)
	w.is(c.Delete(t.Context(), roomID, moderator, "msg_unknown"), ErrNotFound)
	w.is(c.Delete(t.Context(), roomID, moderator, "msg\x00"), ErrNotFound)
	w.is(c.Delete(t.Context(), roomID, moderator, store.NewID("msg")), ErrNotFound)
	w.is(c.Delete(t.Context(), "another", moderator, kept.Id), ErrNotFound)
	w.is(c.Delete(t.Context(), roomID, viewer, kept.Id), ErrForbidden)
	w.is(c.Delete(t.Context(), roomID, bot, kept.Id), ErrForbidden)
	w.silent()

	if n := w.count(`SELECT count(*) FROM chat_deletion WHERE author_id = $1 AND body = 'bad' AND by_id = $2`, viewer.Id, moderator.Id); n != 1 {
		t.Errorf("%d records of the deletion, want 1", n)
	}
	welcome := w.snapshot(c)
	if welcome.Pinned != nil || len(welcome.Comments) != 1 || welcome.Comments[0].Id != kept.Id {
		t.Errorf("welcome %v", welcome)
	}
	events, err := store.EventsAfter(t.Context(), w.pool, roomID, 0, 10)
	w.ok(err)
	if len(events) != 3 {
		t.Errorf("%d numbered events, want 3", len(events))
	}
}

// In a busy room moderators act on comments that newer ones have pushed out of the list.
func TestDeleteOfPushedOutComments(t *testing.T) {
	w := newWorld(t)
	c := w.gateway(func(cfg *Config) { cfg.Kept = 5 })
	first := w.post(c, host, "first")
	for i := range 4 {
		w.post(c, host, fmt.Sprint(i))
	}
	invented := func(age time.Duration) string {
		id := make([]byte, 16)
		for i, ms := 5, time.Now().Add(-age).UnixMilli(); i >= 0; i, ms = i-1, ms>>8 {
			id[i] = byte(ms)
		}
		return "msg_" + hex.EncodeToString(id)
	}
	w.post(c, host, "fifth")
	recent, err := c.Recent(t.Context(), roomID)
	w.ok(err)
	if len(recent) != 5 || recent[0].Text != "0" {
		t.Fatalf("recent %v", recent)
	}
	w.ok(c.Delete(t.Context(), roomID, moderator, first.Id))
	w.is(c.Pin(t.Context(), roomID, moderator, first.Id), ErrNotFound)
	w.ok(c.Delete(t.Context(), roomID, moderator, invented(pastAge-time.Minute)))
	w.is(c.Delete(t.Context(), roomID, moderator, invented(pastAge+time.Minute)), ErrNotFound)
	w.is(c.Delete(t.Context(), roomID, moderator, invented(-time.Second)), ErrNotFound)
}

func TestPin(t *testing.T) {
	w := newWorld(t)
	c := w.gateway(nil)
	one, two := w.post(c, viewer, "one"), w.post(c, viewer, "two")
	w.event()
	w.event()
	w.ok(c.Pin(t.Context(), roomID, host, one.Id))
	w.ok(c.Pin(t.Context(), roomID, host, one.Id)) // nothing new
	w.ok(c.Pin(t.Context(), roomID, host, two.Id))
	for _, want := range []*proto.ChatMessage{one, two} {
		if ev := w.event(); !proto.Equal(ev.GetChatPinned().GetMessage(), want) {
			t.Errorf("heard %v", ev)
		}
	}
	if welcome := w.snapshot(c); !proto.Equal(welcome.Pinned.GetMessage(), two) || welcome.Pinned.By.Id != host.Id {
		t.Errorf("pinned %v", welcome.Pinned)
	}
	w.ok(c.Delete(t.Context(), roomID, host, one.Id)) // not the pinned one
	w.event()
	if welcome := w.snapshot(c); !proto.Equal(welcome.Pinned.GetMessage(), two) {
		t.Errorf("pinned %v", welcome.Pinned)
	}
	w.is(c.Pin(t.Context(), roomID, host, store.NewID("msg")), ErrNotFound)
	w.is(c.Pin(t.Context(), roomID, viewer, one.Id), ErrForbidden)
	w.ok(c.Pin(t.Context(), roomID, host, ""))
	w.ok(c.Pin(t.Context(), roomID, host, ""))
	if ev := w.event(); ev.GetChatPinned() == nil || ev.GetChatPinned().Message != nil {
		t.Errorf("heard %v", ev)
	}
	w.silent()
}

func TestConfigure(t *testing.T) {
	w := newWorld(t)
	a, b := w.gateway(nil), w.gateway(nil)
	w.post(b, viewer, "hello") // b knows the room
	w.event()
	w.ok(a.Configure(t.Context(), roomID, moderator, &proto.ChatSettings{BlockedTerms: []string{" Spam ", "ｓｐａｍ"}}))
	want := &proto.ChatSettings{BlockedTerms: []string{"Spam"}}
	if ev := w.event(); ev.Seq != 1 || !proto.Equal(ev.GetChatSettings(), want) {
		t.Errorf("heard %v", ev)
	}
	w.ok(a.Configure(t.Context(), roomID, moderator, &proto.ChatSettings{BlockedTerms: []string{"Spam"}})) // nothing new
	if welcome := w.snapshot(a); !proto.Equal(welcome.ChatSettings, want) {
		t.Errorf("settings %v", welcome.ChatSettings)
	}
	w.refused(a, viewer, "buy SPAM", ErrBlockedTerm)
	w.silent()
	n := 0
	w.eventually("the other gateway blocks the term", func() bool {
		n++
		_, err := b.Post(t.Context(), roomID, bot, "", fmt.Sprint("ｓｐａｍ ", n))
		return errors.Is(err, ErrBlockedTerm)
	})
	// Taken away again it is allowed everywhere at once.
	w.ok(a.Configure(t.Context(), roomID, moderator, &proto.ChatSettings{}))
	w.post(b, viewer, "buy SPAM")

	bad := proto.Refuse(proto.ReasonInvalidArgument, "")
	hour := MaxSlowMode.Milliseconds()
	w.ok(a.Configure(t.Context(), roomID, moderator, &proto.ChatSettings{SlowModeMs: hour}))
	w.is(a.Configure(t.Context(), roomID, moderator, &proto.ChatSettings{SlowModeMs: hour + 1}), bad)
	w.is(a.Configure(t.Context(), roomID, moderator, &proto.ChatSettings{SlowModeMs: -1}), bad)
	w.is(a.Configure(t.Context(), roomID, moderator, &proto.ChatSettings{BlockedTerms: []string{""}}), bad)
	w.is(a.Configure(t.Context(), roomID, moderator, nil), bad)
	w.is(a.Configure(t.Context(), roomID, viewer, &proto.ChatSettings{}), ErrForbidden)
	w.is(a.Configure(t.Context(), "nowhere", moderator, &proto.ChatSettings{Closed: true}), store.ErrNoRoom)
	w.is(a.Configure(t.Context(), "no.room", moderator, &proto.ChatSettings{}), store.ErrNoRoom)
}

func TestMuteAndBan(t *testing.T) {
	w := newWorld(t)
	a, b := w.gateway(nil), w.gateway(nil)
	w.post(a, viewer, "hello")
	w.event()
	w.ok(a.Sanction(t.Context(), roomID, moderator, &proto.UserSanction{UserId: viewer.Id, Kind: mute, DurationMs: 60_000, Note: "spam"}))
	ev := w.event()
	said := ev.GetUserSanctioned()
	if ev.Seq != 1 || said.GetUser().GetName() != "Vera" || said.Kind != mute || said.Lifted || said.By.Id != moderator.Id {
		t.Errorf("heard %v", ev)
	}
	if left := time.Until(time.UnixMilli(said.GetUntilMs())); left < 50*time.Second || left > 61*time.Second {
		t.Errorf("muted for %v", left)
	}
	if p := w.refused(a, viewer, "still here", ErrMuted); p.RetryAfter < 50*time.Second || p.RetryAfter > time.Minute {
		t.Errorf("retry after %v", p.RetryAfter)
	}
	w.refused(b, viewer, "still here", ErrMuted) // new to the room, so it reads
	w.post(a, other, "I am not muted")
	w.event()

	w.ok(b.Sanction(t.Context(), roomID, moderator, &proto.UserSanction{UserId: viewer.Id, Kind: ban, DurationMs: -1}))
	if said := w.event().GetUserSanctioned(); said.GetKind() != ban || said.UntilMs != 0 {
		t.Errorf("heard %v", said)
	}
	if p := w.refused(b, viewer, "now?", ErrBanned); p.RetryAfter != 0 {
		t.Errorf("retry after %v", p.RetryAfter)
	}
	selves := map[string]*proto.SessionSelf{viewer.Id: {}, other.Id: {}}
	w.ok(store.InSnapshot(t.Context(), w.pool, func(tx pgx.Tx) error { return a.Self(t.Context(), tx, roomID, selves) }))
	if s := selves[viewer.Id].Sanctions; len(s) != 2 || s[0].Kind != ban || s[0].UntilMs != 0 || s[1].Kind != mute || s[1].UntilMs != said.UntilMs {
		t.Errorf("own sanctions %v", s)
	}
	if s := selves[other.Id].Sanctions; len(s) != 0 {
		t.Errorf("others' sanctions %v", s)
	}

	for _, kind := range []proto.SanctionKind{ban, mute} {
		w.ok(a.Sanction(t.Context(), roomID, host, &proto.UserSanction{UserId: viewer.Id, Kind: kind}))
		w.ok(a.Sanction(t.Context(), roomID, host, &proto.UserSanction{UserId: viewer.Id, Kind: kind})) // harmless
		if said := w.event().GetUserSanctioned(); !said.GetLifted() || said.Kind != kind {
			t.Errorf("heard %v", said)
		}
	}
	w.silent()
	w.post(b, viewer, "back") // at once, on the other gateway too
}

func TestMuteEndsByItself(t *testing.T) {
	w := newWorld(t)
	c := w.gateway(nil)
	w.ok(c.Sanction(t.Context(), roomID, moderator, &proto.UserSanction{UserId: viewer.Id, Kind: mute, DurationMs: 200}))
	w.refused(c, viewer, "hello", ErrMuted)
	w.eventually("the mute ends", func() bool {
		_, err := c.Post(t.Context(), roomID, viewer, "", "hello")
		return err == nil
	})
	// The gateway reckons the database's clock from its last answer, so it may be a little ahead of it.
	w.eventually("it is no own sanction any more", func() bool {
		selves := map[string]*proto.SessionSelf{viewer.Id: {}}
		w.ok(store.InSnapshot(t.Context(), w.pool, func(tx pgx.Tx) error { return c.Self(t.Context(), tx, roomID, selves) }))
		return len(selves[viewer.Id].Sanctions) == 0
	})
}

func TestSanctionRefusesBadInput(t *testing.T) {
	w := newWorld(t)
	c := w.gateway(nil)
	year := MaxSanction.Milliseconds()
	bad := proto.Refuse(proto.ReasonInvalidArgument, "")
	for _, test := range []struct {
		name string
		by   *proto.User
		s    *proto.UserSanction
		want *proto.Problem
	}{
		{"viewer", viewer, &proto.UserSanction{UserId: "x", Kind: mute, DurationMs: 1}, ErrForbidden},
		{"the host", moderator, &proto.UserSanction{UserId: host.Id, Kind: mute, DurationMs: 1}, ErrForbidden},
		{"oneself", moderator, &proto.UserSanction{UserId: moderator.Id, Kind: mute, DurationMs: 1}, ErrForbidden},
		{"nothing", moderator, nil, bad},
		{"no kind", moderator, &proto.UserSanction{UserId: "x", DurationMs: 1}, bad},
		{"no user", moderator, &proto.UserSanction{Kind: mute, DurationMs: 1}, bad},
		{"user id of 129 bytes", moderator, &proto.UserSanction{UserId: strings.Repeat("x", 129), Kind: mute, DurationMs: 1}, bad},
		{"duration -2", moderator, &proto.UserSanction{UserId: "x", Kind: mute, DurationMs: -2}, bad},
		{"more than a year", moderator, &proto.UserSanction{UserId: "x", Kind: mute, DurationMs: year + 1}, bad},
		{"user id with NUL", moderator, &proto.UserSanction{UserId: "x\x00", Kind: mute, DurationMs: 1}, bad},
		{"note with NUL", moderator, &proto.UserSanction{UserId: "x", Kind: mute, DurationMs: 1, Note: "\x00"}, bad},
		{"note of 501", moderator, &proto.UserSanction{UserId: "x", Kind: mute, DurationMs: 1, Note: strings.Repeat("é", 501)}, bad},
	} {
		t.Run(test.name, func(t *testing.T) {
			if err := c.Sanction(t.Context(), roomID, test.by, test.s); !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
		})
	}
	if n := w.count(`SELECT count(*) FROM chat_sanction`); n != 0 {
		t.Errorf("%d sanctions were recorded", n)
	}
	w.silent()
	w.ok(c.Sanction(t.Context(), roomID, moderator, &proto.UserSanction{UserId: strings.Repeat("x", 128), Kind: mute, DurationMs: year, Note: strings.Repeat("é", 500)}))
}
