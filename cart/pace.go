package cart

import (
	"sync"
	"time"

	"golang.org/x/time/rate"

	"livecart/proto"
)

// ErrRateLimited is for a buyer who asks too often.
var ErrRateLimited = proto.Refuse(proto.ReasonRateLimited, "at most %d attempts a second", buyRate)

const (
	// buyRate is how many flash_buy a user may send to one gateway in a second, and at once.
	buyRate = 5
	// paceSweep is the pause between two looks for users who are silent.
	paceSweep = 10 * time.Second
)

// paces holds each buyer of this gateway to buyRate. Safe for concurrent use.
type paces struct {
	mu      sync.Mutex
	buyers  map[string]*rate.Limiter
	sweptAt time.Time
}

func newPaces() *paces { return &paces{buyers: map[string]*rate.Limiter{}} }

// take returns 0 and counts an attempt, or returns how long to wait before the next one.
func (p *paces) take(buyerID string, now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	limiter := p.buyers[buyerID]
	if limiter == nil {
		limiter = rate.NewLimiter(buyRate, buyRate)
		p.buyers[buyerID] = limiter
	}
	taken := limiter.ReserveN(now, 1)
	wait := taken.DelayFrom(now)
	if wait > 0 {
		taken.CancelAt(now)
	}
	return wait
}

// sweep forgets buyers whose allowance is whole again.
func (p *paces) sweep(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now.Sub(p.sweptAt) < paceSweep {
		return
	}
	p.sweptAt = now
	for id, limiter := range p.buyers {
		if limiter.TokensAt(now) >= buyRate {
			delete(p.buyers, id)
		}
	}
}
