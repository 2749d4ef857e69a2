package chat

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"livecart/proto"
	"livecart/session/bus"
	"livecart/session/stack/stacktest"
	"livecart/session/store"
)

func TestPostIsHeardAndKept(t *testing.T) {
	w := newWorld(t)
	c := w.gateway(nil)
	m := w.post(c, viewer, " hello\u202e ")
	if m.Text != "hello" || m.User.Name != "Vera" || !store.ValidID(m.Id) || !strings.HasPrefix(m.Id, "msg_") || time.Since(time.UnixMilli(m.TimeMs)).Abs() > time.Minute {
		t.Errorf("posted %v", m)
	}
	if ev := w.event(); ev.Seq != 0 || ev.TimeMs != m.TimeMs || !proto.Equal(ev.GetChatMessage(), m) {
		t.Errorf("heard %v", ev)
	}
	second := w.post(c, other, "hi")
	recent, err := c.Recent(t.Context(), roomID)
	w.ok(err)
	if len(recent) != 2 || !proto.Equal(recent[0], m) || !proto.Equal(recent[1], second) {
		t.Errorf("recent are %v", recent)
	}
	if m.Id >= second.Id {
		t.Errorf("ids %s, %s do not sort by time", m.Id, second.Id)
	}
}

func TestPostRefusesBadInput(t *testing.T) {
	w := newWorld(t)
	c := w.gateway(nil)
	for _, test := range []struct {
		name            string
		room            string
		by              *proto.User
		requestID, text string
		want            *proto.Problem
	}{
		{"nobody", roomID, nil, "", "hello", ErrSignInRequired},
		{"no id", roomID, &proto.User{Name: "x"}, "", "hello", ErrSignInRequired},
		{"empty", roomID, viewer, "", " \u200b", ErrEmpty},
		{"501 code points", roomID, viewer, "", strings.Repeat("x", 501), ErrTooLong},
		{"unknown room", "nowhere", viewer, "r", "hello", store.ErrNoRoom},
		{"no room id", "a.b*", viewer, "", "hello", store.ErrNoRoom},
		{"request id of 65", roomID, viewer, strings.Repeat("é", 65), "hello", proto.Refuse(proto.ReasonInvalidArgument, "")},
	} {
		t.Run(test.name, func(t *testing.T) {
			if _, err := c.Post(t.Context(), test.room, test.by, test.requestID, test.text); !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
		})
	}
	w.silent()
	_, err := c.Post(t.Context(), roomID, viewer, strings.Repeat("é", 64), strings.Repeat("x", 500))
	w.ok(err)
}

func TestPostFollowsTheRoomsPhase(t *testing.T) {
	w := newWorld(t)
	c := w.gateway(nil)
	for i, test := range []struct {
		phase string
		want  *proto.Problem
	}{{"scheduled", ErrNotLive}, {"live", nil}, {"paused", nil}, {"live", nil}, {"ended", ErrNotLive}} {
		w.phase(test.phase)
		if test.want == nil {
			// At once: a refusal is never by what was true before.
			w.post(c, viewer, fmt.Sprint("hello ", i))
			continue
		}
		w.eventually("comments are refused in a room that is "+test.phase, func() bool {
			_, err := c.Post(t.Context(), roomID, host, "", "anyone?")
			return errors.Is(err, test.want)
		})
	}
}

func TestGatewaysShareTheLimit(t *testing.T) {
	w := newWorld(t)
	gateways := []*Chat{w.gateway(nil), w.gateway(nil)}
	var wg sync.WaitGroup
	results := make(chan error, 60)
	for i := range 60 {
		wg.Go(func() {
			_, err := gateways[i%2].Post(t.Context(), roomID, viewer, fmt.Sprint("r", i), fmt.Sprint("comment ", i))
			results <- err
		})
	}
	wg.Wait()
	close(results)
	said := 0
	for err := range results {
		if err == nil {
			said++
			continue
		}
		if p := w.is(err, ErrRateLimited); p.RetryAfter <= 0 || p.RetryAfter > 30*time.Second {
			t.Errorf("retry after %v", p.RetryAfter)
		}
	}
	if said != 20 {
		t.Errorf("%d comments of one user were said, want 20", said)
	}
	for range 20 {
		w.event()
	}
	w.silent()
	w.post(gateways[0], other, "I may")
}

func TestResendIsAnsweredWithTheSameComment(t *testing.T) {
	w := newWorld(t)
	a, b := w.gateway(nil), w.gateway(nil)
	first, err := a.Post(t.Context(), roomID, viewer, "r1", "hello")
	w.ok(err)
	w.event()
	again, err := b.Post(t.Context(), roomID, viewer, "r1", " hello ")
	w.ok(err)
	if !proto.Equal(first, again) {
		t.Errorf("got %v, want %v", again, first)
	}
	_, err = b.Post(t.Context(), roomID, viewer, "r1", "something else")
	w.is(err, ErrConflict)

	// Whatever has changed since, the answer stays.
	w.ok(a.Delete(t.Context(), roomID, moderator, first.Id))
	w.ok(a.Sanction(t.Context(), roomID, moderator, &proto.UserSanction{UserId: viewer.Id, Kind: proto.SanctionKind_SANCTION_KIND_MUTE, DurationMs: -1}))
	w.phase("ended")
	w.event()
	w.event()
	again, err = a.Post(t.Context(), roomID, viewer, "r1", "hello")
	w.ok(err)
	if !proto.Equal(first, again) {
		t.Errorf("got %v, want %v", again, first)
	}
	_, err = a.Post(t.Context(), roomID, viewer, "r2", "hello")
	w.is(err, ErrNotLive)
	w.silent()
	if recent, err := a.Recent(t.Context(), roomID); err != nil || len(recent) != 0 {
		t.Errorf("recent %v, %v", recent, err)
	}
}

// A gateway may die after the script counted a comment and before it was said.
func TestResendSaysWhatWasNotSaid(t *testing.T) {
	w := newWorld(t)
	c := w.gateway(nil)
	a, err := c.newAsk(roomID, viewer, "r1", "hello")
	w.ok(err)
	if v := c.feed.limiter.decide(t.Context(), []*ask{a})[0]; v.outcome != outcomeOK {
		t.Fatal(v)
	}
	for range 2 {
		m, err := c.Post(t.Context(), roomID, viewer, "r1", "hello")
		w.ok(err)
		if !proto.Equal(m, a.message) {
			t.Fatalf("got %v, want %v", m, a.message)
		}
	}
	if ev := w.event(); !proto.Equal(ev.GetChatMessage(), a.message) {
		t.Errorf("heard %v", ev)
	}
	w.silent()
}

func TestRolesExemptFromLimits(t *testing.T) {
	w := newWorld(t)
	c := w.gateway(nil)
	w.ok(c.Configure(t.Context(), roomID, host, &proto.ChatSettings{Closed: true, SlowModeMs: 60_000, BlockedTerms: []string{"ＳＰＡＭ"}}))
	for _, by := range []*proto.User{host, moderator, bot, operator} {
		for range 25 {
			w.post(c, by, "same again")
		}
		w.refused(c, by, "no spam", ErrBlockedTerm)
	}
	w.refused(c, viewer, "may I?", ErrClosed)
}

func TestDuplicateAndSlowModeOfTheRoom(t *testing.T) {
	w := newWorld(t)
	c := w.gateway(func(cfg *Config) { cfg.DuplicateWindow = 300 * time.Millisecond })
	w.post(c, viewer, "hello")
	if p := w.refused(c, viewer, "hello", ErrDuplicate); p.RetryAfter <= 0 || p.RetryAfter > 300*time.Millisecond {
		t.Errorf("retry after %v", p.RetryAfter)
	}
	w.eventually("the same may be said again", func() bool {
		_, err := c.Post(t.Context(), roomID, viewer, "", "hello")
		return err == nil
	})
	w.ok(c.Configure(t.Context(), roomID, moderator, &proto.ChatSettings{SlowModeMs: 60_000}))
	w.post(c, viewer, "one")
	if p := w.refused(c, viewer, "two", ErrSlowMode); p.RetryAfter < 50*time.Second || p.RetryAfter > time.Minute {
		t.Errorf("retry after %v", p.RetryAfter)
	}
}

func TestCommentsFlowWithoutRedis(t *testing.T) {
	server := stacktest.PrivateRedis(t)
	w := newWorldOn(t, server.URL)
	registry := prometheus.NewRegistry()
	c := w.gateway(func(cfg *Config) { cfg.Registerer = registry })
	degraded := func(want int) {
		t.Helper()
		if err := testutil.GatherAndCompare(registry, strings.NewReader(fmt.Sprintf(`
# HELP livecart_degraded Whether a part works with less than it should, 1 or 0.
# TYPE livecart_degraded gauge
livecart_degraded{part="chat_limit"} %d
`, want)), "livecart_degraded"); err != nil {
			t.Error(err)
		}
	}
	degraded(0)
	w.post(c, viewer, "before")
	w.event()
	server.Kill()

	first, err := c.Post(t.Context(), roomID, viewer, "r0", "comment 0")
	w.ok(err)
	degraded(1)
	again, err := c.Post(t.Context(), roomID, viewer, "r0", "comment 0")
	w.ok(err)
	if !proto.Equal(first, again) {
		t.Errorf("got %v, want %v", again, first)
	}
	w.refused(c, viewer, "comment 0", ErrDuplicate)
	for i := 1; i < 20; i++ {
		w.post(c, viewer, fmt.Sprint("comment ", i))
	}
	if p := w.refused(c, viewer, "comment 20", ErrRateLimited); p.RetryAfter <= 0 || p.RetryAfter > 30*time.Second {
		t.Errorf("retry after %v", p.RetryAfter)
	}
	for i := range 20 {
		if text := w.event().GetChatMessage().GetText(); text != fmt.Sprint("comment ", i) {
			t.Errorf("heard %q as number %d", text, i)
		}
	}
	w.silent()
	if welcome := w.snapshot(c); len(welcome.Comments) != 0 || welcome.ChatSettings == nil {
		t.Errorf("welcome %v", welcome)
	}
	w.is(c.Pin(t.Context(), roomID, moderator, first.Id), ErrTryAgain)
	w.ok(c.Delete(t.Context(), roomID, moderator, first.Id))
	w.is(c.Delete(t.Context(), roomID, moderator, "msg_unknown"), ErrNotFound)

	server.Start()
	n := 0
	w.eventually("Redis decides again", func() bool {
		n++
		w.post(c, host, fmt.Sprint("back ", n))
		recent, err := c.Recent(t.Context(), roomID)
		return err == nil && len(recent) > 1
	})
	degraded(0)
}

func TestCommentsFlowWithoutPostgres(t *testing.T) {
	w := newWorld(t)
	c := w.gateway(nil)
	w.post(c, viewer, "before")
	w.exec(`ALTER TABLE room RENAME TO hidden`) // every query of the room fails
	old := time.Now()
	w.eventually("what is known is older than it should be", func() bool { return time.Since(old) > staleAfter+100*time.Millisecond })
	w.post(c, viewer, "after")
	if _, err := c.Post(t.Context(), "elsewhere", viewer, "", "hello"); err == nil {
		t.Error("a comment was taken in a room that nobody knows")
	}
}

func TestPostFailsWhenItCannotBeSaid(t *testing.T) {
	w := newWorld(t)
	broken, err := bus.Connect(t.Context(), bus.Config{URL: stacktest.NATS(t)})
	w.ok(err)
	broken.Close()
	c := w.gateway(func(cfg *Config) { cfg.Bus = broken })
	_, err = c.Post(t.Context(), roomID, viewer, "r1", "hello")
	w.is(err, ErrTryAgain)
	if recent, err := c.Recent(t.Context(), roomID); err != nil || len(recent) != 0 {
		t.Errorf("recent %v, %v: nobody heard it", recent, err)
	}
	m, err := w.gateway(nil).Post(t.Context(), roomID, viewer, "r1", "hello")
	w.ok(err)
	if ev := w.event(); !proto.Equal(ev.GetChatMessage(), m) {
		t.Errorf("heard %v", ev)
	}
}

func TestPostAfterTheEnd(t *testing.T) {
	w := newWorld(t)
	c, err := New(Config{Pool: w.pool, Redis: w.redis, Bus: w.bus})
	w.ok(err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w.ok(c.Run(ctx))
	w.refused(c, viewer, "too late", ErrTryAgain)
	if err := c.Run(ctx); err == nil {
		t.Error("Run ran twice")
	}
}

func TestTooManyWaiting(t *testing.T) {
	w := newWorld(t)
	c, err := New(Config{Pool: w.pool, Redis: w.redis, Bus: w.bus}) // not running: nothing is taken
	w.ok(err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for i := range maxWaiting {
		if _, err := c.feed.ask(ctx, comment("u", roomID, "", "hello")); !errors.Is(err, context.Canceled) {
			t.Fatalf("number %d: %v", i, err)
		}
	}
	w.refused(c, viewer, "one more", ErrBusy)
}

func TestResultsAreCounted(t *testing.T) {
	w := newWorld(t)
	c := w.gateway(nil)
	for range 2 {
		_, err := c.Post(t.Context(), roomID, viewer, "r1", "hello")
		w.ok(err)
	}
	w.refused(c, viewer, "hello", ErrDuplicate)
	for result, want := range map[string]float64{"ok": 1, "same": 1, "duplicate_message": 1} {
		if got := testutil.ToFloat64(c.metrics.comments.WithLabelValues(result)); got != want {
			t.Errorf("%s counted %v times, want %v", result, got, want)
		}
	}
}
