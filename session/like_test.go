package session

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"livecart/proto"
	"livecart/session/stack/stacktest"
)

func TestLikesAreAnsweredWhenWritten(t *testing.T) {
	w := newWorld(t)
	rdb := w.redis(w.rdb)
	fast := func(c *PresenceConfig) { c.LikeFlush = time.Millisecond }
	both := []*Presence{w.presence(rdb, fast), w.presence(rdb, fast)}
	var stops []func()
	for _, p := range both {
		stops = append(stops, started(t, p))
	}
	var highest atomic.Int64
	var all sync.WaitGroup
	for i := range 40 {
		all.Go(func() {
			for range 5 {
				total, err := both[i%2].Likes(t.Context(), "demo", 3)
				if err != nil {
					t.Error(err)
					return
				}
				for {
					h := highest.Load()
					if total <= h || highest.CompareAndSwap(h, total) {
						break
					}
				}
			}
		})
	}
	all.Wait()
	if n := highest.Load(); n != 600 {
		t.Errorf("the highest total was %d, want 600", n)
	}
	var stored int64
	for _, n := range rdb.HVals(t.Context(), counterKeys("demo")[0]).Val() {
		stored += parseFigure(n)
	}
	if stored != 600 {
		t.Errorf("Redis has %d", stored)
	}
	for _, stop := range stops {
		stop()
	}
	if _, err := both[0].Likes(t.Context(), "demo", 1); reasonOf(err) != proto.ReasonTryAgain {
		t.Errorf("after the end: %v", err)
	}
}

func TestLikesAtTheirEdges(t *testing.T) {
	w := newWorld(t)
	p := w.presence(w.redis(w.rdb))
	started(t, p)
	for _, test := range []struct {
		n    int64
		want proto.Reason
	}{{-1, proto.ReasonInvalidArgument}, {0, proto.ReasonInvalidArgument}, {1, ""}, {MaxLikes, ""}, {MaxLikes + 1, proto.ReasonInvalidArgument}} {
		if _, err := p.Likes(t.Context(), "demo", test.n); reasonOf(err) != test.want {
			t.Errorf("%d likes: %v", test.n, err)
		}
	}
	idle := w.presence(w.redis(w.rdb)) // does not run, so nothing is written
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := idle.Likes(ctx, "demo", 1); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("without a flush: %v", err)
	}
}

func TestLikesGoOnWithoutRedis(t *testing.T) {
	w := newWorld(t)
	server := stacktest.PrivateRedis(t)
	p := w.presence(w.redis(server.URL))
	started(t, p)
	for i := range 3 {
		if i == 1 {
			server.Kill()
		}
		total, err := p.Likes(t.Context(), "demo", 10)
		if err != nil || total != int64(i+1)*10 {
			t.Errorf("like %d: %d, %v", i, total, err)
		}
	}
	server.Start()
	if total, err := p.Likes(t.Context(), "demo", 10); err != nil || total != 40 {
		t.Errorf("after it is back: %d, %v", total, err)
	}
}

// A report that took its figures before likes were flushed, and comes to Redis after them.
func TestLikesFlushedDuringAReportCountOnce(t *testing.T) {
	w := newWorld(t)
	p := w.presence(w.redis(w.rdb))
	p.Join("demo", viewer(1))
	tick(t, p)
	r := p.rooms.find("demo")
	late := p.sendingOf(r)
	p.like(3)
	r.batch = &likeBatch{done: make(chan struct{})}
	batch := r.batch
	p.writeLikes(t.Context(), []*presentRoom{r})
	if <-batch.done; batch.total != 3 {
		t.Fatalf("the flush says %d", batch.total)
	}
	p.send(t.Context(), []*sending{late})
	late.succeeded()
	if got := r.alone().Likes; got != 3 {
		t.Errorf("after the report: %d likes, want 3", got)
	}
	p.like(2)
	if got := r.alone().Likes; got != 5 {
		t.Errorf("with two more: %d likes, want 5", got)
	}
	tick(t, p)
	if got := p.demo(t).Likes; got != 5 {
		t.Errorf("after the next report: %d likes, want 5", got)
	}
}
