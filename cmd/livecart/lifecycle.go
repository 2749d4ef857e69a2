package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// component is something that works until its context ends.
type component struct {
	name string
	run  func(ctx context.Context) error
}

// stage is a set of components that may stop together.
type stage []component

// runStages runs every component of every stage and returns when all have ended. When ctx ends or
// any component returns, the stages are stopped one after another, the last first, each waited for
// before the one below it: what serves clients goes before what it stands on. Errors are joined;
// a component's word that its context ended is none.
func runStages(ctx context.Context, stages ...stage) error {
	ctx, stopAll := context.WithCancel(ctx)
	defer stopAll()
	var (
		mu   sync.Mutex
		errs []error
	)
	stops := make([]func(), len(stages))
	for i, s := range stages {
		stageCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
		var wg sync.WaitGroup
		for _, c := range s {
			wg.Go(func() {
				defer stopAll()
				if err := c.run(stageCtx); err != nil && !errors.Is(err, context.Canceled) {
					mu.Lock()
					errs = append(errs, fmt.Errorf("%s: %w", c.name, err))
					mu.Unlock()
				}
			})
		}
		stops[i] = func() {
			cancel()
			wg.Wait()
		}
	}
	<-ctx.Done()
	for i := len(stops) - 1; i >= 0; i-- {
		stops[i]()
	}
	return errors.Join(errs...)
}
