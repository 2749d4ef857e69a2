package loadtest

import (
	"context"
	"math/rand/v2"
	"time"

	"golang.org/x/sync/errgroup"
)

// jitter spreads d over half to one and a half of it.
func jitter(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return d/2 + rand.N(d)
}

// pause waits for d or the end of ctx.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// until waits until ok holds, looking often, and reports whether it did within most and before the
// end of ctx.
func until(ctx context.Context, most time.Duration, ok func() bool) bool {
	for deadline := time.Now().Add(most); ; pause(ctx, 20*time.Millisecond) {
		if ok() {
			return true
		}
		if ctx.Err() != nil || time.Now().After(deadline) {
			return false
		}
	}
}

// each calls fn for every item, at most n at a time, and waits for all; the first error ends the rest.
func each[T any](ctx context.Context, n int, items []T, fn func(context.Context, T) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(n)
	for _, item := range items {
		group.Go(func() error {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return fn(ctx, item)
		})
	}
	return group.Wait()
}
