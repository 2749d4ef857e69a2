package gift

import (
	"sync"

	"livecart/proto"
	"livecart/session/bus"
)

// envelope is one gateway's request to this worker.
type envelope struct {
	request bus.Request
	tips    []*proto.TipRequest
}

// inbox holds envelopes until the worker takes them, a bounded number of tips.
type inbox struct {
	limit int // tips

	mu      sync.Mutex
	waiting []envelope
	tips    int
	closed  bool
	changed sync.Cond
}

func newInbox(limit int) *inbox {
	b := &inbox{limit: limit}
	b.changed.L = &b.mu
	return b
}

// put adds an envelope and reports false when its tips do not fit.
func (b *inbox) put(e envelope) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed || b.tips+len(e.tips) > b.limit {
		return false
	}
	b.waiting = append(b.waiting, e)
	b.tips += len(e.tips)
	b.changed.Signal()
	return true
}

// take waits for an envelope and returns all that wait, in order, up to most tips; an envelope is
// not cut, so the first may bring more. It returns nothing once the inbox is closed and empty.
func (b *inbox) take(most int) []envelope {
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(b.waiting) == 0 && !b.closed {
		b.changed.Wait()
	}
	n, tips := 0, 0
	for n < len(b.waiting) && (n == 0 || tips+len(b.waiting[n].tips) <= most) {
		tips += len(b.waiting[n].tips)
		n++
	}
	taken := b.waiting[:n:n]
	b.waiting = b.waiting[n:]
	b.tips -= tips
	return taken
}

// close refuses what comes later; what is inside can still be taken.
func (b *inbox) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	b.changed.Broadcast()
}
