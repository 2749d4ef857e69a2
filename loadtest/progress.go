package loadtest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Progress is how far a run is. Viewers are those who are there; the others count from the begin.
type Progress struct {
	Phase                              string
	Viewers, Comments, Likes, Gifts    int64
	Attempts, Ordered, Paid, Reconnect int64
}

// enter begins a phase.
func (r *smokeRun) enter(phase string) {
	r.phase.Store(phase)
	select {
	case r.entered <- struct{}{}:
	default:
	}
}

// reportProgress tells with each phase and several times a second how far the run is, until stop is called.
func (r *smokeRun) reportProgress(ctx context.Context) (stop func()) {
	if r.Progress == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() { // ends with stop, which waits for it
		defer close(done)
		for ctx.Err() == nil {
			r.Progress(r.progress())
			select {
			case <-ctx.Done():
			case <-r.entered:
			case <-time.After(250 * time.Millisecond):
			}
		}
	}()
	return func() {
		cancel()
		<-done
	}
}

func (r *smokeRun) progress() Progress {
	p := Progress{Viewers: int64(r.meter.now("viewers")), Likes: r.likes.Load(), Attempts: r.attemptsN.Load(), Paid: r.paid.Load()}
	p.Phase, _ = r.phase.Load().(string)
	r.mu.Lock()
	defer r.mu.Unlock()
	p.Comments, p.Gifts = int64(len(r.comments)), int64(len(r.tips))
	for _, a := range r.attempts {
		if a.orderID != "" {
			p.Ordered++
		}
	}
	return p
}

// figures counts what was done.
func (r *smokeRun) figures() []Figure {
	reconnects, frames := 0, 0
	closes := map[int]int{}
	for _, p := range r.crowd.people {
		p.mu.Lock()
		reconnects += p.reconnects
		p.mu.Unlock()
		p.history.mu.Lock()
		frames += p.history.frames
		for code, n := range p.history.closes {
			closes[code] += n
		}
		p.history.mu.Unlock()
	}
	out := []Figure{
		{"comments", int64(len(r.comments))}, {"likes", r.likes.Load()}, {"gifts", int64(len(r.tips))},
		{"attempts", int64(len(r.attempts))}, {"paid", r.paid.Load()}, {"reconnects", int64(reconnects)}, {"frames", int64(frames)},
	}
	for _, code := range slices.Sorted(maps.Keys(closes)) {
		out = append(out, Figure{fmt.Sprintf("closed with %d", code), int64(closes[code])})
	}
	return out
}
