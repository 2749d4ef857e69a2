package session

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"livecart/session/stack/stacktest"
	"livecart/session/store"
)

func (w *world) redis(url string) redis.UniversalClient {
	w.t.Helper()
	if !strings.Contains(url, stacktest.Patience) {
		url += stacktest.Patience
	}
	rdb, err := store.OpenRedis(w.t.Context(), url)
	w.must(err)
	w.t.Cleanup(func() { rdb.Close() })
	return rdb
}

func (w *world) watch(rdb redis.UniversalClient, change func(*HostWatchConfig)) *HostWatch {
	w.t.Helper()
	cfg := HostWatchConfig{Pool: w.pool, Redis: rdb, Rooms: w.rooms()}
	if change != nil {
		change(&cfg)
	}
	h, err := NewHostWatch(cfg)
	w.must(err)
	return h
}

// phase returns "phase" or "phase/cause".
func (w *world) phase(roomID string) string {
	w.t.Helper()
	var phase, cause string
	w.must(w.pool.QueryRow(w.t.Context(), `SELECT phase, cause FROM room WHERE id = $1`, roomID).Scan(&phase, &cause))
	if cause != "" {
		phase += "/" + cause
	}
	return phase
}

func TestHostWatch(t *testing.T) {
	const here, gone = true, false
	type step struct {
		at   time.Duration
		host bool
		want string
	}
	for i, test := range []struct {
		name   string
		change func(*HostWatchConfig)
		steps  []step
	}{
		{"pauses after a minute, ends after ten", nil, []step{
			{0, here, "live"}, {time.Hour, gone, "live"}, {time.Hour + 59*time.Second, gone, "live"},
			{time.Hour + 60*time.Second, gone, "paused/host_gone"}, {time.Hour + 599*time.Second, gone, "paused/host_gone"},
			{time.Hour + 600*time.Second, gone, "ended/host_gone"}, {2 * time.Hour, here, "ended/host_gone"},
		}},
		{"resumes what it paused", nil, []step{
			{0, gone, "live"}, {time.Minute, gone, "paused/host_gone"}, {2 * time.Minute, here, "live/host_back"},
			{3 * time.Minute, gone, "live/host_back"}, {4*time.Minute - time.Second, gone, "live/host_back"},
			{4 * time.Minute, gone, "paused/host_gone"},
		}},
		{"a host that comes back in time starts the clock anew", nil, []step{
			{0, gone, "live"}, {59 * time.Second, here, "live"}, {60 * time.Second, gone, "live"},
			{119 * time.Second, gone, "live"}, {120 * time.Second, gone, "paused/host_gone"},
		}},
		{"never ends", func(c *HostWatchConfig) { c.EndAfter = -1 }, []step{
			{0, gone, "live"}, {time.Minute, gone, "paused/host_gone"}, {100 * time.Hour, gone, "paused/host_gone"},
		}},
		{"other durations", func(c *HostWatchConfig) { c.PauseAfter, c.EndAfter = time.Second, 3*time.Second }, []step{
			{0, gone, "live"}, {time.Second, gone, "paused/host_gone"}, {3 * time.Second, gone, "ended/host_gone"},
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			rdb := w.redis(w.rdb)
			h := w.watch(rdb, test.change)
			start := time.Now()
			for _, s := range test.steps {
				if s.host == here {
					w.must(rdb.Set(t.Context(), hostKey("demo"), 1, time.Minute).Err())
				} else {
					w.must(rdb.Del(t.Context(), hostKey("demo")).Err())
				}
				w.must(h.look(t.Context(), start.Add(s.at)))
				if got := w.phase("demo"); got != s.want {
					t.Fatalf("test %d at %v: room is %s, want %s", i, s.at, got, s.want)
				}
			}
		})
	}
}

func TestHostWatchLeavesWhatAPersonDid(t *testing.T) {
	w := newWorld(t)
	rdb := w.redis(w.rdb)
	h := w.watch(rdb, nil)
	rooms := w.rooms()
	start := time.Now()
	look := func(at time.Duration, want string) {
		t.Helper()
		w.must(h.look(t.Context(), start.Add(at)))
		if got := w.phase("demo"); got != want {
			t.Fatalf("at %v: room is %s, want %s", at, got, want)
		}
	}
	// A pause by the host stays when the host's page comes and goes.
	_, err := rooms.Pause(t.Context(), "demo", host)
	w.must(err)
	look(0, "paused")
	w.must(rdb.Set(t.Context(), hostKey("demo"), 1, time.Minute).Err())
	look(time.Second, "paused")
	w.must(rdb.Del(t.Context(), hostKey("demo")).Err())
	look(2*time.Second, "paused")
	look(2*time.Minute, "paused")
	// A room that a person resumes has a full minute.
	_, err = rooms.Resume(t.Context(), "demo", host)
	w.must(err)
	look(3*time.Minute, "live")
	look(4*time.Minute-time.Second, "live")
	look(4*time.Minute, "paused/host_gone")
}

func TestHostWatchDecidesNothingWithoutRedis(t *testing.T) {
	w := newWorld(t)
	server := stacktest.PrivateRedis(t)
	h := w.watch(w.redis(server.URL), nil)
	start := time.Now()
	w.must(h.look(t.Context(), start))
	server.Kill()
	for i := range 3 {
		if err := h.look(t.Context(), start.Add(time.Duration(i+1)*time.Hour)); err == nil {
			t.Fatal("looked without Redis")
		}
	}
	server.Start()
	// The clock starts again with Redis, which may have lost who is here.
	w.must(h.look(t.Context(), start.Add(5*time.Hour)))
	w.must(h.look(t.Context(), start.Add(5*time.Hour+59*time.Second)))
	if got := w.phase("demo"); got != "live" {
		t.Fatalf("room is %s", got)
	}
	w.must(h.look(t.Context(), start.Add(5*time.Hour+time.Minute)))
	if got := w.phase("demo"); got != "paused/host_gone" {
		t.Fatalf("room is %s", got)
	}
}

func TestManyWatchesMoveARoomOnce(t *testing.T) {
	w := newWorld(t)
	rdb := w.redis(w.rdb)
	start := time.Now()
	done := make(chan error)
	for range 4 {
		h := w.watch(rdb, nil)
		w.must(h.look(t.Context(), start))
		go func() { done <- h.look(t.Context(), start.Add(time.Minute)) }()
	}
	for range 4 {
		w.must(<-done)
	}
	if events := w.events("demo"); len(events) != 1 || events[0].GetRoomState().GetCause() != "host_gone" {
		t.Errorf("events are %v", events)
	}
}

func TestASwitchedOffWatchDoesNothing(t *testing.T) {
	w := newWorld(t)
	h := w.watch(w.redis(w.rdb), func(c *HostWatchConfig) { c.PauseAfter, c.Every = -1, time.Millisecond })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	w.must(h.Run(ctx))
	if got := w.phase("demo"); got != "live" || h.rooms != nil {
		t.Errorf("room is %s, watched are %v", got, h.rooms)
	}
}

func TestHostWatchRuns(t *testing.T) {
	w := newWorld(t)
	h := w.watch(w.redis(w.rdb), func(c *HostWatchConfig) { c.PauseAfter, c.Every = 30*time.Millisecond, 5*time.Millisecond })
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- h.Run(ctx) }()
	eventually(t, "the room is paused", func() bool { return w.phase("demo") == "paused/host_gone" })
	cancel()
	w.must(<-ended)
}

func TestAWatchFinishesEndsEvenWhenSwitchedOff(t *testing.T) {
	w := newWorld(t)
	if _, err := w.pool.Exec(t.Context(), `UPDATE room SET phase = 'ended', ended_at = now() WHERE id = 'demo'`); err != nil {
		t.Fatal(err)
	}
	finished := make(chan string, 1)
	h := w.watch(w.redis(w.rdb), func(c *HostWatchConfig) {
		c.PauseAfter, c.finishEvery = -1, time.Millisecond
		c.Rooms = w.rooms(func(_ context.Context, roomID string) error {
			finished <- roomID
			return nil
		})
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- h.Run(ctx) }()
	select {
	case id := <-finished:
		if id != "demo" {
			t.Errorf("finished %s", id)
		}
	case <-time.After(patience):
		t.Error("the end of the room was not finished")
	}
	cancel()
	w.must(<-ended)
}
