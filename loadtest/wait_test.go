package loadtest

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestUntil(t *testing.T) {
	tests := []struct {
		name      string
		holdsAt   time.Duration // -1: never
		cancelAt  time.Duration // 0: never
		want      bool
		least, at time.Duration // when it returns
	}{
		{name: "at once", want: true},
		{name: "in time", holdsAt: 90 * time.Millisecond, want: true, least: 90 * time.Millisecond, at: 110 * time.Millisecond},
		{name: "never", holdsAt: -1, least: time.Second, at: 1021 * time.Millisecond},
		{name: "interrupted", holdsAt: -1, cancelAt: 300 * time.Millisecond, least: 300 * time.Millisecond, at: 300 * time.Millisecond},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if tt.cancelAt > 0 {
					time.AfterFunc(tt.cancelAt, cancel)
				}
				begin := time.Now()
				got := until(ctx, time.Second, func() bool { return tt.holdsAt >= 0 && time.Since(begin) >= tt.holdsAt })
				if d := time.Since(begin); got != tt.want || d < tt.least || d > tt.at {
					t.Errorf("%v after %v", got, d)
				}
			})
		})
	}
}

func TestPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		pause(t.Context(), time.Minute)
		if d := time.Since(begin); d != time.Minute {
			t.Errorf("paused for %v", d)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		pause(ctx, time.Minute)
		pause(t.Context(), -time.Second)
		if d := time.Since(begin); d != time.Minute {
			t.Errorf("paused for %v", d)
		}
	})
}

func TestJitter(t *testing.T) {
	for range 1000 {
		if d := jitter(time.Second); d < time.Second/2 || d >= 3*time.Second/2 {
			t.Fatalf("%v", d)
		}
	}
	if d := jitter(0); d != 0 {
		t.Errorf("%v", d)
	}
}

func TestEach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var now, most, done atomic.Int64
		err := each(t.Context(), 3, make([]int, 10), func(context.Context, int) error {
			most.Store(max(most.Load(), now.Add(1)))
			time.Sleep(time.Second) // of the bubble
			now.Add(-1)
			done.Add(1)
			return nil
		})
		if err != nil || done.Load() != 10 || most.Load() != 3 {
			t.Errorf("%d done, %d at once: %v", done.Load(), most.Load(), err)
		}
	})
}

func TestEachStopsAtTheFirstError(t *testing.T) {
	broken := errors.New("broken")
	synctest.Test(t, func(t *testing.T) {
		begun := 0
		err := each(t.Context(), 1, []int{1, 2, 3, 4}, func(_ context.Context, i int) error {
			begun++
			if i == 2 {
				return broken
			}
			return nil
		})
		if !errors.Is(err, broken) || begun != 2 {
			t.Errorf("%d begun: %v", begun, err)
		}
	})
}
