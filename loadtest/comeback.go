package loadtest

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// Pauses between attempts to come back, after the first one.
const (
	firstRetry = 500 * time.Millisecond
	mostRetry  = 8 * time.Second
	// comePatience is how long somebody tries.
	comePatience = time.Minute
)

// retries says when those who lost their connection try again: the same seed gives the same pauses.
type retries struct {
	within time.Duration
	seed   uint64
}

// pause returns how long viewer i waits before attempt number try, from 1: first up to within, then for times
// that double. Without within nobody waits for the first and all wait equally long for the others.
func (r retries) pause(i uint32, try int) time.Duration {
	rng := rand.New(rand.NewPCG(r.seed, uint64(i)<<32|uint64(try)))
	if try == 1 {
		return time.Duration(rng.Float64() * float64(r.within))
	}
	bound := min(firstRetry<<min(try-2, 10), mostRetry)
	if r.within == 0 {
		return bound
	}
	return bound/4 + time.Duration(rng.Float64()*0.75*float64(bound))
}

// comebacks bring regulars back who lost their connection.
type comebacks struct {
	retries
	ctx    context.Context // ends with close
	cancel context.CancelFunc

	mu     sync.Mutex
	closed bool
	all    sync.WaitGroup
	trying int

	// Connections lost, and people who did not come back.
	lost, failed complaints
}

func newComebacks(ctx context.Context, r retries) *comebacks {
	c := &comebacks{retries: r}
	c.ctx, c.cancel = context.WithCancel(ctx)
	return c
}

// adopt has a person come back who has not joined yet.
func (c *comebacks) adopt(i int, p *person) {
	p.onLost = func(lost error) {
		c.lost.add("%s: %v", p.id, lost)
		c.mu.Lock()
		defer c.mu.Unlock()
		if !c.closed {
			c.trying++
			c.all.Go(func() { c.bring(uint32(i), p) }) // ends with close, which waits for it
		}
	}
}

// away returns how many are about to come back.
func (c *comebacks) away() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.trying
}

func (c *comebacks) bring(i uint32, p *person) {
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.trying--
	}()
	begin := time.Now()
	for try := 1; ; try++ {
		pause(c.ctx, c.pause(i, try))
		if c.ctx.Err() != nil {
			c.failed.add("%s had not come back when the run ended", p.id)
			return
		}
		err := p.comeBack(c.ctx)
		if err == nil {
			return
		}
		if time.Since(begin) > comePatience {
			c.failed.add("%s: %v", p.id, err)
			return
		}
	}
}

// close ends what is under way and waits for it.
func (c *comebacks) close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.cancel()
	c.all.Wait()
}
