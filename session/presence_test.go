package session

import (
	"context"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/redis/go-redis/v9"

	"livecart/proto"
	"livecart/session/stack/stacktest"
	"livecart/session/store"
)

// presence returns a gateway's presence that the test drives by hand: tick and save.
func (w *world) presence(rdb redis.UniversalClient, change ...func(*PresenceConfig)) *Presence {
	w.t.Helper()
	cfg := PresenceConfig{Redis: rdb, Pool: w.pool}
	for _, c := range change {
		c(&cfg)
	}
	p, err := NewPresence(cfg)
	w.must(err)
	return p
}

func viewer(i any) Viewer {
	return Viewer{ID: fmt.Sprint("viewer-", i), Role: proto.Role_ROLE_VIEWER}
}

// like counts likes without waiting for a flush: the next tick writes them.
func (p *Presence) like(n int64) {
	p.rooms.with(p.run, "demo", func(r *presentRoom) { r.own.likes += n; r.settled = false })
}

func (p *Presence) demo(t *testing.T) *proto.RoomStats {
	t.Helper()
	stats := p.Stats("demo")
	if stats == nil {
		t.Fatal("no figures")
	}
	return stats
}

func tick(t *testing.T, all ...*Presence) {
	t.Helper()
	for _, p := range all {
		p.tick(t.Context())
	}
}

func TestCountsAreSumsOverGateways(t *testing.T) {
	w := newWorld(t)
	rdb := w.redis(w.rdb)
	a, b := w.presence(rdb), w.presence(rdb)
	a.Join("demo", viewer(1))
	a.Join("demo", viewer(1)) // a second page of the same viewer
	a.Join("demo", viewer(2))
	b.Join("demo", viewer(1))
	b.Join("demo", Viewer{ID: "anon:device", Anonymous: true})
	b.Join("other", viewer(9))
	a.like(3)
	b.like(4)
	tick(t, a, b, a)
	want := &proto.RoomStats{Online: 5, Peak: 5, Visits: 5, Unique: 3, Likes: 7}
	for _, p := range []*Presence{a, b} {
		if got := p.demo(t); !proto.Equal(got, want) {
			t.Errorf("figures are %v, want %v", got, want)
		}
	}
	a.Leave("demo", viewer(1))
	a.Leave("demo", viewer(2))
	a.Leave("demo", viewer(77)) // never joined
	tick(t, a, b)
	want.Online = 3
	if got := b.demo(t); !proto.Equal(got, want) {
		t.Errorf("after leaving: %v, want %v", got, want)
	}
	a.Leave("demo", viewer(1))
	if a.Stats("demo") != nil {
		t.Error("figures of a room without viewers here")
	}
	tick(t, a, b)
	if got := b.demo(t).Online; got != 2 {
		t.Errorf("%d online after a gateway's last viewer left", got)
	}
	got, err := a.Read(t.Context(), "demo")
	if want.Online = 2; err != nil || !proto.Equal(got, want) {
		t.Errorf("read %v, %v; want %v", got, err, want)
	}
	if got, err := a.Read(t.Context(), "nowhere"); err != nil || !proto.Equal(got, &proto.RoomStats{}) {
		t.Errorf("a room that is not: %v, %v", got, err)
	}
}

func TestManyViewersAtOnce(t *testing.T) {
	w := newWorld(t)
	p := w.presence(w.redis(w.rdb))
	const n = 2*maxIDs + 500
	for i := range n {
		p.Join("demo", viewer(i))
	}
	tick(t, p)
	got := p.demo(t)
	if got.Online != n || got.Visits != n || math.Abs(float64(got.Unique-n)) > n*0.03 || got.UniqueLowerBound {
		t.Errorf("figures of %d viewers are %v", n, got)
	}
}

func TestTheViewersOfADeadGatewayVanish(t *testing.T) {
	w := newWorld(t)
	rdb := w.redis(w.rdb)
	a, b := w.presence(rdb), w.presence(rdb)
	a.Join("demo", viewer(1))
	b.Join("demo", viewer(2))
	b.like(5)
	tick(t, a, b, a)
	if got := a.demo(t).Online; got != 2 {
		t.Fatalf("%d online", got)
	}
	// b never reports again.
	a.cfg.StaleAfter = 100 * time.Millisecond
	eventually(t, "the dead gateway's viewer vanishes", func() bool {
		tick(t, a)
		return a.demo(t).Online == 1
	})
	want := &proto.RoomStats{Online: 1, Peak: 2, Visits: 2, Unique: 2, Likes: 5}
	if got := a.demo(t); !proto.Equal(got, want) {
		t.Errorf("figures are %v, want %v", got, want)
	}
	if n := rdb.HLen(t.Context(), counterKeys("demo")[2]).Val(); n != 1 {
		t.Errorf("%d gateways are noted online", n)
	}
}

func TestRedisThatLostItsDataIsFilledAgain(t *testing.T) {
	w := newWorld(t)
	rdb := w.redis(w.rdb)
	a, b, dead := w.presence(rdb), w.presence(rdb), w.presence(rdb)
	dead.Join("demo", viewer("gone"))
	dead.like(100)
	a.Join("demo", viewer(1))
	b.Join("demo", viewer(2))
	a.like(10)
	b.like(1)
	tick(t, dead, a, b)
	dead.Leave("demo", viewer("gone"))
	tick(t, dead, a)
	a.save(t.Context()) // also what the dead one counted
	before := a.demo(t)
	if want := (&proto.RoomStats{Online: 2, Peak: 3, Visits: 3, Unique: 3, Likes: 111}); !proto.Equal(before, want) {
		t.Fatalf("figures are %v, want %v", before, want)
	}
	for round := range 2 {
		w.must(rdb.FlushDB(t.Context()).Err())
		a.like(1000) // not in Redis nor in Postgres when it is lost
		tick(t, a)
		if got := a.demo(t); got.Likes < before.Likes || got.Visits < before.Visits || got.Peak < before.Peak {
			t.Errorf("round %d: figures fell from %v to %v", round, before, got)
		}
		tick(t, b, a, b)
		want := &proto.RoomStats{Online: 2, Peak: 3, Visits: 3, Unique: 3, UniqueLowerBound: true, Likes: before.Likes + 1000}
		for _, p := range []*Presence{a, b} {
			if got := p.demo(t); !proto.Equal(got, want) {
				t.Fatalf("round %d: figures are %v, want %v", round, got, want)
			}
		}
		before = want
	}
	// Viewers who are still here were counted again: nobody new came with them.
	if n := rdb.PFCount(t.Context(), counterKeys("demo")[3]).Val(); n != 2 {
		t.Errorf("%d viewers are counted again, want 2", n)
	}
}

func TestRedisThatLostItsLastWritesIsFilledAgain(t *testing.T) {
	w := newWorld(t)
	rdb := w.redis(w.rdb)
	p := w.presence(rdb)
	keys := counterKeys("demo")
	p.Join("demo", viewer(1))
	p.Join("demo", viewer(2))
	p.like(5)
	tick(t, p)
	// As after a fail-over to a server that lagged behind: the room is known, figures are older.
	part := p.rooms.find("demo").part
	w.must(rdb.HSet(t.Context(), keys[0], part, 2).Err())
	w.must(rdb.HSet(t.Context(), keys[1], part, 1).Err())
	w.must(rdb.Del(t.Context(), keys[3]).Err())
	tick(t, p, p)
	want := &proto.RoomStats{Online: 2, Peak: 2, Visits: 2, Unique: 2, UniqueLowerBound: true, Likes: 5}
	if got := p.demo(t); !proto.Equal(got, want) {
		t.Errorf("figures are %v, want %v", got, want)
	}
	if n := rdb.PFCount(t.Context(), keys[3]).Val(); n != 2 {
		t.Errorf("%d viewers are counted again", n)
	}
}

func TestWithoutRedisAGatewayCountsAlone(t *testing.T) {
	w := newWorld(t)
	server := stacktest.PrivateRedis(t)
	rdb := w.redis(server.URL)
	registry := prometheus.NewRegistry()
	// Another package has the gauge already.
	if _, err := store.Degraded(registry, "nats"); err != nil {
		t.Fatal(err)
	}
	a := w.presence(rdb, func(c *PresenceConfig) { c.Registerer = registry })
	b := w.presence(rdb)
	a.Join("demo", viewer(1))
	b.Join("demo", viewer(2))
	a.like(1)
	b.like(10)
	tick(t, a, b, a)
	degraded := func() float64 { return testutil.ToFloat64(a.degraded) }
	if degraded() != 0 {
		t.Error("degraded with Redis")
	}
	server.Kill()
	a.Join("demo", viewer(3))
	a.like(100)
	tick(t, a, a)
	want := &proto.RoomStats{Online: 2, Peak: 2, Visits: 3, Unique: 2, UniqueLowerBound: true, Likes: 111}
	if got := a.demo(t); !proto.Equal(got, want) || degraded() != 1 {
		t.Errorf("alone: %v, want %v; degraded is %v", got, want, degraded())
	}
	a.save(t.Context())
	// A gateway that starts now begins with what was saved.
	late := w.presence(rdb)
	late.Join("demo", viewer(4))
	tick(t, late)
	if got := late.demo(t); got.Likes != 111 || got.Visits != 4 || got.Online != 1 {
		t.Errorf("a gateway that starts without Redis: %v", got)
	}
	if got, err := b.Read(t.Context(), "demo"); err != nil || got.Likes != 11 {
		t.Errorf("another gateway: %v, %v", got, err)
	}
	server.Start()
	tick(t, a, b, late, a, b, late)
	want = &proto.RoomStats{Online: 4, Peak: 4, Visits: 4, Unique: 4, Likes: 111}
	for _, p := range []*Presence{a, b, late} {
		if got := p.demo(t); !proto.Equal(got, want) {
			t.Errorf("after it is back: %v, want %v", got, want)
		}
	}
	if degraded() != 0 {
		t.Error("still degraded")
	}
	if n, err := testutil.GatherAndCount(registry, "livecart_degraded"); err != nil || n != 2 {
		t.Errorf("%d gauges, %v", n, err)
	}
}

// started runs p until the returned function is called, which waits for its end.
func started(t *testing.T, p *Presence) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return stop
}

func TestViewersAreToldWhatChanged(t *testing.T) {
	w := newWorld(t)
	rdb := w.redis(w.rdb)
	var told []string
	a := w.presence(rdb, func(c *PresenceConfig) {
		c.OnStats = func(roomID string, s *proto.RoomStats) { told = append(told, fmt.Sprint(roomID, " ", s.Online)) }
		c.OnLikes = func(roomID string, l *proto.LikeTotal) { told = append(told, fmt.Sprint("+", l.Delta, "=", l.Total)) }
	})
	b := w.presence(rdb)
	expect := func(want string) {
		t.Helper()
		tick(t, a)
		if got := strings.Join(told, ", "); got != want {
			t.Fatalf("told %q, want %q", got, want)
		}
		told = nil
	}
	b.Join("demo", viewer(2))
	b.like(50)
	tick(t, b)
	expect("") // nobody is here
	a.Join("demo", viewer(1))
	expect("demo 2") // likes from before are no news
	expect("")
	b.like(7)
	tick(t, b)
	expect("demo 2, +7=57")
	a.Leave("demo", viewer(1))
	expect("")
	b.like(1)
	tick(t, b)
	expect("")
	a.Join("demo", viewer(1))
	expect("demo 2")
	r := a.rooms.find("demo")
	r.toldAt = r.toldAt.Add(-statsRepeat)
	expect("demo 2")
}

func TestTheEndOfAGatewayTakesItsViewersOut(t *testing.T) {
	w := newWorld(t)
	rdb := w.redis(w.rdb)
	a, b := w.presence(rdb), w.presence(rdb)
	b.Join("demo", viewer(2))
	a.Join("demo", Viewer{ID: "hanna", Role: proto.Role_ROLE_HOST})
	stop := started(t, a)
	a.like(5)
	stop()
	tick(t, b)
	want := &proto.RoomStats{Online: 1, Peak: 1, Visits: 2, Unique: 2, Likes: 5}
	if got := b.demo(t); !proto.Equal(got, want) {
		t.Errorf("figures are %v, want %v", got, want)
	}
	saved, err := savedCounters(t.Context(), w.pool, []string{"demo"})
	if err != nil || saved["demo"].sums.likes != 5 || len(saved["demo"].parts) != 1 {
		t.Errorf("saved %+v, %v", saved, err)
	}
}

func TestAForgottenRoomCountsOn(t *testing.T) {
	w := newWorld(t)
	p := w.presence(w.redis(w.rdb))
	p.Join("demo", viewer(1))
	p.like(5)
	tick(t, p)
	p.rooms.forget(time.Now().Add(time.Hour))
	if p.rooms.find("demo") == nil {
		t.Fatal("a room with a viewer was forgotten")
	}
	p.Leave("demo", viewer(1))
	tick(t, p)
	p.rooms.forget(time.Now().Add(time.Hour))
	if p.rooms.find("demo") == nil {
		t.Fatal("a room was forgotten before it was saved")
	}
	p.save(t.Context())
	tick(t, p)
	p.save(t.Context())
	p.rooms.forget(time.Now().Add(-time.Hour))
	if p.rooms.find("demo") == nil {
		t.Fatal("a room was forgotten too early")
	}
	p.rooms.forget(time.Now().Add(time.Hour))
	if p.rooms.find("demo") != nil {
		t.Fatal("the room was not forgotten")
	}
	p.Join("demo", viewer(2))
	p.like(1)
	tick(t, p)
	want := &proto.RoomStats{Online: 1, Peak: 1, Visits: 2, Unique: 2, Likes: 6}
	if got := p.demo(t); !proto.Equal(got, want) {
		t.Errorf("figures are %v, want %v", got, want)
	}
}

func TestAHostIsSeenOnAnyGateway(t *testing.T) {
	w := newWorld(t)
	rdb := w.redis(w.rdb)
	a, b := w.presence(rdb), w.presence(rdb)
	here := func() bool { return rdb.Exists(t.Context(), hostKey("demo")).Val() == 1 }
	hanna := Viewer{ID: "hanna", Role: proto.Role_ROLE_HOST}
	a.Join("demo", viewer(1))
	a.Join("demo", Viewer{ID: "mo", Role: proto.Role_ROLE_MODERATOR})
	tick(t, a)
	if here() {
		t.Fatal("a viewer is taken for the host")
	}
	a.Join("demo", hanna)
	b.Join("demo", hanna)
	tick(t, a, b)
	if !here() {
		t.Fatal("the host is not seen")
	}
	// What was noted lasts for some reports; from here on only new notes count.
	forget := func() { w.must(rdb.Del(t.Context(), hostKey("demo")).Err()) }
	if ttl := rdb.PTTL(t.Context(), hostKey("demo")).Val(); ttl <= 0 || ttl > 5*time.Second {
		t.Errorf("the host is noted for %v", ttl)
	}
	a.Leave("demo", hanna)
	forget()
	if tick(t, a); here() {
		t.Error("a host that left is noted")
	}
	if tick(t, b); !here() {
		t.Error("a host of another gateway is not seen")
	}
	b.Leave("demo", hanna)
	forget()
	if tick(t, a, b); here() {
		t.Error("a room without a host has one")
	}
}

func TestNewcomersBeyondTheBound(t *testing.T) {
	w := newWorld(t)
	server := stacktest.PrivateRedis(t)
	p := w.presence(w.redis(server.URL))
	server.Kill()
	const n = maxNewcomers + 10
	for i := range n {
		p.Join("demo", viewer(i))
		if i > 0 && i < 11 {
			p.Leave("demo", viewer(i))
		}
	}
	tick(t, p)
	r := p.rooms.find("demo")
	if len(r.newcomers) != 0 || !r.recount {
		t.Fatalf("%d newcomers wait", len(r.newcomers))
	}
	server.Start()
	tick(t, p)
	got := p.demo(t)
	if got.Online != n-10 || !got.UniqueLowerBound || math.Abs(float64(got.Unique-(n-10))) > n*0.03 {
		t.Errorf("figures are %v", got)
	}
}

func TestPresenceConfig(t *testing.T) {
	w := newWorld(t)
	rdb := w.redis(w.rdb)
	for name, cfg := range map[string]PresenceConfig{
		"no redis": {Pool: w.pool}, "no postgres": {Redis: rdb}, "negative": {Redis: rdb, Pool: w.pool, SaveEvery: -1},
	} {
		if _, err := NewPresence(cfg); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}
