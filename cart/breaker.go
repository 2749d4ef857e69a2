package cart

import (
	"sync"
	"time"
)

const (
	// breakAfter is how long the ledger may stay silent before new attempts are turned away.
	breakAfter = 2 * time.Second
	// probeEvery is the pause between two envelopes while the breaker is open.
	probeEvery = time.Second
)

// breaker watches whether the ledger answers this gateway. It opens when an envelope was asked and
// no answer came to any for 2 s; then it lets one envelope a second through; any answer closes it.
// It decides nothing and keeps nothing: what was reserved stays reserved.
type breaker struct {
	mu sync.Mutex
	// When the oldest envelope without an answer was first asked, zero when none is.
	silentSince time.Time
	asking      int
	probedAt    time.Time
	// Closed and replaced with each answer, for those who wait for the breaker to close.
	answer chan struct{}
}

func newBreaker() *breaker { return &breaker{answer: make(chan struct{})} }

// open reports whether new attempts should be turned away.
func (b *breaker) open() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.isOpen()
}

func (b *breaker) isOpen() bool {
	return !b.silentSince.IsZero() && time.Since(b.silentSince) >= breakAfter
}

// pass waits until an envelope may be asked, and counts it as asked; follow it by answered or
// silent. It returns false when stop ended the wait.
func (b *breaker) pass(stop <-chan struct{}) bool {
	for {
		b.mu.Lock()
		wait := probeEvery - time.Since(b.probedAt)
		if !b.isOpen() || wait <= 0 {
			b.probedAt = time.Now()
			b.asking++
			if b.silentSince.IsZero() {
				b.silentSince = time.Now()
			}
			b.mu.Unlock()
			return true
		}
		answer := b.answer
		b.mu.Unlock()
		timer := time.NewTimer(wait)
		select {
		case <-stop:
			timer.Stop()
			return false
		case <-answer:
			timer.Stop()
		case <-timer.C:
		}
	}
}

// answered says that the ledger answered an envelope.
func (b *breaker) answered() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asking--
	b.silentSince = time.Time{}
	if b.asking > 0 {
		// The others have waited longer, but the ledger is there.
		b.silentSince = time.Now()
	}
	close(b.answer)
	b.answer = make(chan struct{})
}

// silent says that an envelope got no answer.
func (b *breaker) silent() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asking--
}
