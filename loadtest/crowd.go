package loadtest

import (
	"context"
	"crypto/rand"
	"fmt"

	"golang.org/x/sync/errgroup"

	"livecart/proto"
)

// joining is how many handshakes of a crowd are under way at once.
const joining = 32

// crowd is the people of one run, each with a user of its own.
type crowd struct {
	people []*person
	times  *latencies
}

// gather makes n people and joins them, taking turns over gateways and formats.
func gather(ctx context.Context, t Target, n int) (*crowd, error) {
	c := &crowd{times: newLatencies()}
	run := rand.Text()[:8]
	for i := range n {
		token, id, err := t.viewerToken(run, i)
		if err != nil {
			return nil, err
		}
		// Turns over formats go at half the pace of turns over gateways, so that every pair occurs.
		format := proto.Format(i / len(t.Gateways) % proto.Formats)
		c.people = append(c.people, &person{target: t, number: i, id: id, token: token, format: format, times: c.times, history: newHistory()})
	}
	err := each(ctx, joining, c.people, func(ctx context.Context, p *person) error { return p.join(ctx) })
	if err != nil {
		c.leave()
		return nil, fmt.Errorf("join: %w", err)
	}
	return c, nil
}

// leave ends every connection and waits for its goroutine.
func (c *crowd) leave() {
	for _, p := range c.people {
		if p.viewer != nil {
			p.viewer.Close()
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
