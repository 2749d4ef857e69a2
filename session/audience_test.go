package session

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"livecart/proto"
)

func TestResumeSendsWhatWasMissedOrTheWholeSnapshot(t *testing.T) {
	w := newWorld(t)
	for range MaxResume + 5 {
		w.state("demo", false)
	}
	head := int64(MaxResume + 5)
	g := w.gateway()
	for _, tc := range []struct {
		name    string
		after   int64
		resumed bool
	}{
		{"nothing missed", head, true},
		{"one missed", head - 1, true},
		{"500 missed", head - MaxResume, true},
		{"501 missed", head - MaxResume - 1, false},
		{"from the start", 0, false},
		{"of another numbering", head + 1, false},
	} {
		check := func(t *testing.T, c *client, welcome *proto.SessionWelcome, in *proto.ServerFrame) {
			t.Helper()
			if welcome.Seq != head || welcome.Resumed != tc.resumed || (welcome.Room == nil) != tc.resumed {
				t.Errorf("welcome = %v", welcome)
			}
			var seqs []int64
			for _, ev := range in.Events {
				if ev.Seq > 0 {
					seqs = append(seqs, ev.Seq)
				}
			}
			want := rangeOf(tc.after+1, head)
			if !tc.resumed {
				want = "[]"
			}
			if got := fmt.Sprint(seqs); got != want {
				t.Errorf("numbers %s, want %s", got, want)
			}
		}
		t.Run(tc.name+" by after_seq", func(t *testing.T) {
			c := g.dial(t, dial{query: fmt.Sprint("after_seq=", tc.after)})
			check(t, c, c.welcome(), c.received()[0])
		})
		t.Run(tc.name+" by session_resume", func(t *testing.T) {
			c := g.dial(t, dial{})
			c.welcome()
			c.send(&proto.Command{RequestId: "r", Command: &proto.Command_SessionResume{SessionResume: &proto.SessionResume{AfterSeq: tc.after}}})
			welcome := c.reply("r").GetOk().GetSessionWelcome()
			at := slices.IndexFunc(c.received(), func(f *proto.ServerFrame) bool { return len(f.Replies) > 0 })
			check(t, c, welcome, c.received()[at])
		})
	}
}

func TestResumeBeyondThePrunedEventsGetsTheWholeSnapshot(t *testing.T) {
	w := newWorld(t)
	for range 10 {
		w.state("demo", false)
	}
	_, err := w.pool.Exec(t.Context(), `DELETE FROM room_event WHERE seq <= 6`)
	w.must(err)
	g := w.gateway()
	if c := g.dial(t, dial{query: "after_seq=6"}); !c.welcome().Resumed {
		t.Error("what is still kept is not resumed")
	}
	if c := g.dial(t, dial{query: "after_seq=5"}); c.welcome().Resumed {
		t.Error("pruned events are taken for none")
	}
}

func TestResumeOnTheOtherGateway(t *testing.T) {
	w := newWorld(t)
	one, two := w.gateway(), w.gateway()
	a := one.dial(t, dial{})
	a.welcome()
	w.state("demo", true)
	a.event("chat_settings", func(ev *proto.Event) bool { return ev.Seq == 1 })
	a.close()
	for range 3 {
		w.state("demo", true)
	}
	b := two.dial(t, dial{query: "after_seq=1"})
	w.state("demo", true)
	b.event("chat_settings", func(ev *proto.Event) bool { return ev.Seq == 5 })
	if !b.welcome().Resumed {
		t.Error("not resumed")
	}
	if got := fmt.Sprint(b.numbers()); got != rangeOf(2, 5) {
		t.Errorf("numbers %v", got)
	}
}

// Viewers who enter while events pour in get a snapshot and exactly what follows it.
func TestJoinDuringAStormMissesNothing(t *testing.T) {
	w := newWorld(t)
	g := w.gateway()
	const events = 150
	stop := make(chan struct{})
	go func() {
		defer close(stop)
		for n := range events {
			w.state("demo", n%3 > 0) // every third hint is lost
		}
	}()
	var clients []*client
	for n := range 20 {
		c := g.dial(t, dial{format: proto.Format(n % 2)})
		clients = append(clients, c)
		c.welcome()
	}
	<-stop
	for _, c := range clients {
		from := c.welcome().Seq
		if from < events {
			c.event("chat_settings", func(ev *proto.Event) bool { return ev.Seq == events })
		}
		if got := fmt.Sprint(c.numbers()); got != rangeOf(from+1, events) {
			t.Errorf("after a welcome of %d came %s", from, got)
		}
	}
}

func TestManyJoinsReadTheRoomOnce(t *testing.T) {
	w := newWorld(t)
	reads := 0
	g := w.gateway(func(cfg *GatewayConfig) {
		cfg.Snapshots = append(cfg.Snapshots, func(_ context.Context, _ pgx.Tx, _ string, w *proto.SessionWelcome) error {
			reads++
			w.ShelfTotal = 42
			return nil
		})
	})
	for range 30 {
		if c := g.dial(t, dial{}); c.welcome().ShelfTotal != 42 {
			t.Fatal("the snapshot is not filled")
		}
	}
	welcome, err := g.Welcome(t.Context(), "demo")
	w.must(err)
	if reads != 1 || welcome.ShelfTotal != 42 {
		t.Errorf("the room was read %d times", reads)
	}
}

func TestRoomThatCannotBeReadIsTriedAgainLater(t *testing.T) {
	w := newWorld(t)
	fail := atomic.Bool{}
	fail.Store(true)
	g := w.gateway(func(cfg *GatewayConfig) {
		cfg.Snapshots = append(cfg.Snapshots, func(context.Context, pgx.Tx, string, *proto.SessionWelcome) error {
			if fail.Load() {
				return io.ErrUnexpectedEOF
			}
			return nil
		})
	})
	if _, err := g.Welcome(t.Context(), "demo"); err == nil {
		t.Fatal("no error")
	}
	fail.Store(false)
	eventually(t, "the room opens", func() bool {
		_, err := g.Welcome(t.Context(), "demo")
		return err == nil
	})
}

func TestRoomClosesAfterItsLastViewer(t *testing.T) {
	w := newWorld(t)
	g := w.gateway(func(cfg *GatewayConfig) { cfg.Linger = 50 * time.Millisecond })
	c := g.dial(t, dial{})
	c.welcome()
	open := func() bool { return g.hub.find("demo") != nil }
	if !open() {
		t.Fatal("the room is not open")
	}
	c.close()
	eventually(t, "the room closes", func() bool { return !open() })
	g.dial(t, dial{}).welcome()
}

func TestBanClosesTheUsersConnectionsInTheRoomAlone(t *testing.T) {
	w := newWorld(t)
	w.room("other", true)
	g := w.gateway()
	bad, good := w.token("bad", "viewer", 0), w.token("good", "viewer", 0)
	here, elsewhere, neighbour := g.dial(t, dial{token: bad}), g.dial(t, dial{token: bad, room: "other"}), g.dial(t, dial{token: good})
	for _, c := range []*client{here, elsewhere, neighbour} {
		c.event("session_self", nil)
	}
	sanction := func(kind proto.SanctionKind, lifted bool) {
		w.numbered("demo", &proto.Event{Event: &proto.Event_UserSanctioned{UserSanctioned: &proto.UserSanctioned{
			User: &proto.User{Id: "bad"}, Kind: kind, Lifted: lifted,
		}}}, true)
	}
	sanction(proto.SanctionKind_SANCTION_KIND_MUTE, false)
	sanction(proto.SanctionKind_SANCTION_KIND_BAN, true)
	here.event("user_sanctioned", func(ev *proto.Event) bool { return ev.Seq == 2 })
	sanction(proto.SanctionKind_SANCTION_KIND_BAN, false)
	if code, text := here.closed(); code != CloseForbidden || text != "banned" {
		t.Errorf("closed with %d %s", code, text)
	}
	if got := fmt.Sprint(here.numbers()); got != rangeOf(1, 3) {
		t.Errorf("the ban itself is not shown: %s", got)
	}
	for _, c := range []*client{elsewhere, neighbour} {
		c.send(ping("alive"))
		c.reply("alive")
	}
}

func TestEveryCommentIsDeliveredOrCounted(t *testing.T) {
	w := newWorld(t)
	g := w.gateway(func(cfg *GatewayConfig) { cfg.ChatPerViewer = 20 })
	var clients []*client
	for n := range 6 {
		c := g.dial(t, dial{format: proto.Format(n % 2)})
		c.welcome()
		clients = append(clients, c)
	}
	const comments = 300
	for n := range comments {
		role := proto.Role_ROLE_VIEWER
		if n%50 == 0 {
			role = proto.Role_ROLE_HOST
		}
		w.publish("demo", comment("vera", role, fmt.Sprint(n)))
		if n%20 == 0 {
			w.flush()
		}
	}
	var first []string
	for i, c := range clients {
		var got []string
		hosts, sampled := 0, 0
		c.until("all comments", func(frames []*proto.ServerFrame) bool {
			got, hosts, sampled = nil, 0, 0
			for _, f := range frames {
				got = append(got, texts(f.Events)...)
				sampled += int(f.Sampled)
				if f.Skipped > 0 {
					t.Errorf("%d skipped", f.Skipped)
				}
				for _, ev := range f.Events {
					if ev.GetChatMessage().GetUser().GetRole() == proto.Role_ROLE_HOST {
						hosts++
					}
				}
			}
			return len(got)+sampled >= comments
		})
		if len(got)+sampled != comments {
			t.Errorf("%d delivered and %d left out of %d", len(got), sampled, comments)
		}
		if sampled == 0 || len(got) < 20 {
			t.Errorf("%d delivered, %d left out: nothing was sampled", len(got), sampled)
		}
		if i == 0 {
			first = got
		} else if !slices.Equal(got, first) {
			t.Error("viewers of one room see different samples")
		}
	}
	// With 0 a second, all.
	all := w.gateway()
	c := all.dial(t, dial{})
	c.welcome()
	for n := range 100 {
		w.publish("demo", comment("vera", proto.Role_ROLE_VIEWER, fmt.Sprint(n)))
	}
	c.until("100 comments", func(frames []*proto.ServerFrame) bool {
		n := 0
		for _, f := range frames {
			n += len(texts(f.Events))
			if f.Sampled > 0 {
				t.Fatal("sampled without a limit")
			}
		}
		return n == 100
	})
}

func TestBusyRoomIsFlushedByItsTickAndAnIdleOneAtOnce(t *testing.T) {
	m, err := newMetrics(nil)
	if err != nil {
		t.Fatal(err)
	}
	s := &shard{wake: make(chan struct{}, 1)} // keeps what it is handed
	a := newAudience(newHub(&GatewayConfig{RoomTick: 300 * time.Millisecond}, m, []*shard{s}), "demo")
	a.setSnapshot(newSnapshot(new(proto.SessionWelcome)))
	a.admit(&Conn{shard: s}, func() {})
	begun, sent := time.Unix(1000, 0), 0
	for _, step := range []struct {
		name   string
		at     time.Duration
		ev     *proto.Event
		frames int           // sent by then
		due    time.Duration // when the rest is; 0 for none
	}{
		{"the first finds the room idle", 0, comment("vera", 1, "0"), 1, 0},
		{"the next waits", time.Millisecond, comment("vera", 1, "1"), 1, 300 * time.Millisecond},
		{"others join it", 200 * time.Millisecond, comment("vera", 1, "2"), 1, 300 * time.Millisecond},
		{"a moment before the tick", 299 * time.Millisecond, nil, 1, 300 * time.Millisecond},
		{"the tick", 300 * time.Millisecond, nil, 2, 0},
		{"busy again", 310 * time.Millisecond, comment("vera", 1, "3"), 2, 600 * time.Millisecond},
		{"a numbered event takes it along", 320 * time.Millisecond, pin(1), 3, 0},
		{"a big gift as well", 330 * time.Millisecond, gift("vera", "", "t", 1, 1, bigTier), 4, 0},
		{"idle once more", 630 * time.Millisecond, comment("vera", 1, "4"), 5, 0},
	} {
		now := begun.Add(step.at)
		if step.ev != nil {
			a.accept(step.ev, now)
		}
		due, waiting := a.settle(now)
		for _, p := range s.takePosts() {
			p.flush.walking.Add(-1)
			sent++
		}
		if sent != step.frames || waiting != (step.due > 0) || waiting && !due.Equal(begun.Add(step.due)) {
			t.Fatalf("%s: %d frames, waiting %v until %v", step.name, sent, waiting, due.Sub(begun))
		}
	}
}

func TestRoomWaitsForShardsThatAreBehind(t *testing.T) {
	m, err := newMetrics(nil)
	if err != nil {
		t.Fatal(err)
	}
	s := &shard{wake: make(chan struct{}, 1), gw: &Gateway{metrics: m}}
	a := newAudience(newHub(&GatewayConfig{RoomTick: time.Millisecond}, m, []*shard{s}), "demo")
	a.setSnapshot(newSnapshot(new(proto.SessionWelcome)))
	a.admit(&Conn{shard: s, sock: new(takesAll)}, func() {})
	now := time.Unix(1000, 0)
	flushed := func(ev *proto.Event) int {
		now = now.Add(time.Second)
		if ev != nil {
			a.accept(ev, now)
		}
		if due, waiting := a.settle(now); waiting {
			t.Fatalf("looks again by the clock, at %v", due)
		}
		return len(s.posts.waiting)
	}
	if n := flushed(comment("vera", 1, "first")); n != 1 {
		t.Fatalf("%d flushes of an idle room", n)
	}
	// Nobody has written the first one: not even what is urgent goes ahead.
	if n := flushed(comment("vera", 1, "second")); n != 1 {
		t.Errorf("%d flushes while the first is being written", n)
	}
	if n := flushed(pin(1)); n != 1 {
		t.Errorf("%d flushes while the first is being written", n)
	}
	s.walkAll()
	select {
	case <-a.poke:
	default:
		t.Error("the room is not told that it is written")
	}
	if n := flushed(nil); n != 1 || len(s.posts.waiting[0].flush.of(0, 1).events) != 2 {
		t.Errorf("%d flushes once it is written", n)
	}
}

// The last comment of a newcomer's welcome says what it need not be sent; everything after that is
// delivered or counted, wherever in a tick it came in.
func TestLateViewersAreDeliveredOrCountedEveryCommentSinceTheirWelcome(t *testing.T) {
	w := newWorld(t)
	g := w.gateway(func(cfg *GatewayConfig) { cfg.ChatPerViewer, cfg.RoomTick = 20, 20*time.Millisecond })
	g.dial(t, dial{}).welcome()
	const comments = 1200
	published := make(chan struct{})
	go func() {
		defer close(published)
		for n := range comments {
			w.publish("demo", comment("vera", proto.Role_ROLE_VIEWER, fmt.Sprint(n)))
			if n%10 == 0 {
				w.flush()
			}
		}
	}()
	var late []*client
	for n := range 25 {
		c := g.dial(t, dial{format: proto.Format(n % 2)})
		c.welcome()
		late = append(late, c)
	}
	<-published
	sampledAny := false
	for _, c := range late {
		known := 0
		if shown := c.welcome().Comments; len(shown) > 0 {
			last, err := strconv.Atoi(shown[len(shown)-1].Text)
			w.must(err)
			known = last + 1
		}
		count := func(frames []*proto.ServerFrame) (n int) {
			for _, f := range frames {
				n += len(texts(f.Events)) + int(f.Sampled) + int(f.Skipped)
				sampledAny = sampledAny || f.Sampled > 0
			}
			return n
		}
		c.until("all comments", func(frames []*proto.ServerFrame) bool { return known+count(frames) >= comments })
		if n := count(c.received()); known+n != comments {
			t.Errorf("%d known from the welcome and %d delivered or counted of %d", known, n, comments)
		}
	}
	if !sampledAny {
		t.Error("nothing was sampled")
	}
}

func TestRoomTickGrowsWithTheRoom(t *testing.T) {
	for _, tc := range []struct {
		fixed   time.Duration
		viewers int
		want    time.Duration
	}{
		{0, 1, 50 * time.Millisecond},
		{0, 999, 50 * time.Millisecond},
		{0, 1000, 100 * time.Millisecond},
		{0, 5000, 100 * time.Millisecond},
		{0, 5001, 250 * time.Millisecond},
		{time.Second, 5001, time.Second},
	} {
		if got := roomTick(tc.fixed, tc.viewers); got != tc.want {
			t.Errorf("%d viewers: %v, want %v", tc.viewers, got, tc.want)
		}
	}
}

func TestJoinersAreShownSampledAndCounted(t *testing.T) {
	w := newWorld(t)
	one, two := w.gateway(), w.gateway()
	watcher := two.dial(t, dial{})
	watcher.welcome()
	const joiners = 12
	begun := time.Now()
	for n := range joiners {
		one.dial(t, dial{token: w.token(fmt.Sprint("user", n), "viewer", 0)}).welcome()
	}
	events, count := 0, int32(0)
	watcher.until("all joiners", func(frames []*proto.ServerFrame) bool {
		events, count = 0, 0
		for _, f := range frames {
			for _, ev := range f.Events {
				if j := ev.GetMemberJoin(); j != nil {
					events++
					count += j.Count
				}
			}
		}
		return count >= joiners
	})
	// At most one at once, and one more each time that they are shown.
	if most := 2 + int(time.Since(begun)/joinsShown); count != joiners || events > most {
		t.Errorf("%d joiners in %d events", count, events)
	}
}

func TestFiguresAndLikesReachTheViewers(t *testing.T) {
	w := newWorld(t)
	one, two := w.gateway(), w.gateway()
	a, b := one.dial(t, dial{token: w.token("ada", "viewer", 0)}), two.dial(t, dial{})
	a.welcome()
	b.welcome()
	w.state("demo", true)
	b.event("room_stats", func(ev *proto.Event) bool { return ev.GetRoomStats().Online == 2 && ev.GetRoomStats().HeadSeq == 1 })
	a.send(&proto.Command{Command: &proto.Command_LikeSend{LikeSend: &proto.LikeSend{Count: 100}}})
	if got := a.reply("").GetOk().GetLikeTotal(); got.GetTotal() != 100 || got.GetDelta() != 100 {
		t.Errorf("the reply says %v", got)
	}
	b.event("like_total", func(ev *proto.Event) bool { return ev.GetLikeTotal().Total == 100 })
	if late := two.dial(t, dial{}).welcome().Stats; late.GetLikes() != 100 || late.GetHeadSeq() != 1 {
		t.Errorf("a late viewer is told %v", late)
	}
}

func TestLikesOfAnEndedRoomAreRefused(t *testing.T) {
	w := newWorld(t)
	g := w.gateway()
	c := g.dial(t, dial{token: w.token("ada", "viewer", 0)})
	c.welcome()
	like := &proto.Command{RequestId: "before", Command: &proto.Command_LikeSend{LikeSend: &proto.LikeSend{Count: 1}}}
	c.send(like)
	if reason := c.reason("before"); reason != "" {
		t.Fatalf("a live room's like: %s", reason)
	}
	ended := &proto.Room{Id: "demo", Title: "demo", Phase: proto.RoomPhase_ROOM_PHASE_ENDED, Anonymous: true}
	w.numbered("demo", &proto.Event{Event: &proto.Event_RoomState{RoomState: &proto.RoomState{Room: ended}}}, true)
	c.event("room_state", func(ev *proto.Event) bool { return ev.GetRoomState() != nil })
	like.RequestId = "after"
	c.send(like)
	if reason := c.reason("after"); reason != proto.ReasonRoomNotLive {
		t.Errorf("an ended room's like: %q", reason)
	}
}

func TestWhatWasMissedIsEncodedOnceForAllWhoMissedIt(t *testing.T) {
	s, a := loneShard(t, GatewayConfig{})
	a.setSnapshot(newSnapshot(new(proto.SessionWelcome)))
	now := time.Unix(1000, 0)
	for n := range int64(3) {
		a.accept(pin(n+1), now)
		a.settle(now)
		s.walkAll()
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	first := a.resumption(proto.Binary, 1, now)
	if again := a.resumption(proto.Binary, 1, now); again != first {
		t.Error("made anew for the next one")
	}
	for name, other := range map[string]*lateMessage{
		"another number": a.resumption(proto.Binary, 2, now),
		"another format": a.resumption(proto.JSON, 1, now),
		"a second later": a.resumption(proto.Binary, 1, now.Add(welcomeAge)),
	} {
		if other == nil || other == first {
			t.Errorf("%s: %v", name, other)
		}
	}
	if err := first.encode(); err != nil {
		t.Fatal(err)
	}
	if got := readStream(t, first.bytes).frames; len(got) != 1 || len(got[0].Events) != 3 || got[0].Events[2].Seq != 3 {
		t.Errorf("told %v", got)
	}
	a.accept(pin(4), now.Add(time.Second))
	a.settle(now.Add(time.Second))
	if next := a.resumption(proto.Binary, 1, now.Add(time.Second)); next == first || len(next.frame.Events) != 4 {
		t.Error("something happened, and it is not told")
	}
	for n := range int64(2 * maxResumptions) {
		a.resumption(proto.Binary, n%4, now.Add(time.Second))
		a.resumption(proto.JSON, n, now.Add(time.Second))
	}
	if len(a.resumptions) > maxResumptions {
		t.Errorf("%d are remembered", len(a.resumptions))
	}
	if a.resumption(proto.Binary, 5, now) != nil {
		t.Error("a number that the room does not have")
	}
}
