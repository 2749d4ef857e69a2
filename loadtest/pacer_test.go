package loadtest

import (
	"context"
	"errors"
	"iter"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// every yields n likes, one each gap.
func every(gap time.Duration, n int) iter.Seq[Arrival] {
	return func(yield func(Arrival) bool) {
		for i := range n {
			if !yield(Arrival{At: time.Duration(i) * gap, Kind: KindLike}) {
				return
			}
		}
	}
}

func TestPacerHandsOutOnTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now().Add(time.Second)
		m := NewMeter(begin)
		var at []time.Duration
		err := NewPacer(begin, m).Run(t.Context(), every(300*time.Millisecond, 4), func(_ Arrival, due time.Time) {
			if !time.Now().Equal(due) {
				t.Errorf("due at %v, handed out at %v", due, time.Now())
			}
			at = append(at, time.Since(begin))
		})
		if want := []time.Duration{0, 300 * time.Millisecond, 600 * time.Millisecond, 900 * time.Millisecond}; err != nil || !slices.Equal(at, want) {
			t.Errorf("at %v: %v", at, err)
		}
		if n := m.Total("offered.like"); n != 4 {
			t.Errorf("%d offered", n)
		}
		if err := punctual(m, 0); err != nil {
			t.Error(err)
		}
	})
}

// What one arrival holds up is owed by those after it: none is left out, and each says how late it is.
func TestPacerCatchesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		m := NewMeter(begin)
		var late []time.Duration
		NewPacer(begin, m).Run(t.Context(), every(10*time.Millisecond, 6), func(a Arrival, due time.Time) {
			late = append(late, time.Since(due))
			if a.At == 10*time.Millisecond {
				time.Sleep(35 * time.Millisecond)
			}
		})
		want := []time.Duration{0, 0, 25 * time.Millisecond, 15 * time.Millisecond, 5 * time.Millisecond, 0}
		if !slices.Equal(late, want) {
			t.Errorf("late by %v", late)
		}
	})
}

func TestLateRunIsInvalid(t *testing.T) {
	for _, tt := range []struct {
		name        string
		late, limit time.Duration
		valid       bool
	}{
		{"at the default limit", 50 * time.Millisecond, 0, true},
		{"above the default limit", 51 * time.Millisecond, 0, false},
		{"at a limit given", 200 * time.Millisecond, 200 * time.Millisecond, true},
		{"above a limit given", 201 * time.Millisecond, 200 * time.Millisecond, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := NewMeter(time.Now())
				// One a second, with the generator held up before each of the last two of a hundred.
				NewPacer(time.Now(), m).Run(t.Context(), every(time.Second, 100), func(a Arrival, _ time.Time) {
					if a.At == 96*time.Second || a.At == 97*time.Second {
						time.Sleep(time.Second + tt.late)
					}
				})
				err := punctual(m, tt.limit)
				if (err == nil) != tt.valid || err != nil && !strings.Contains(err.Error(), "could not keep up") {
					t.Errorf("%+v: %v", m.Latencies(), err)
				}
			})
		})
	}
}

func TestPacerStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(1500*time.Millisecond, cancel)
		begin, n := time.Now(), 0
		err := NewPacer(begin, NewMeter(begin)).Run(ctx, every(time.Second, 10), func(Arrival, time.Time) { n++ })
		if !errors.Is(err, context.Canceled) || n != 2 || time.Since(begin) != 1500*time.Millisecond {
			t.Errorf("%d handed out in %v: %v", n, time.Since(begin), err)
		}
	})
}
