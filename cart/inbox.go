package cart

import (
	"context"
	"sync"

	"livecart/proto"
	"livecart/session/bus"
)

const (
	// inboxSize is how many attempts may wait at one ledger worker; beyond it gateways are told busy.
	inboxSize = 4096
	// maxBatch is how many attempts one transaction decides.
	maxBatch = 200
)

// envelope is a request of one gateway. It is decided and answered as a whole.
type envelope struct {
	request  bus.Request
	attempts []*proto.FlashAttempt
}

// inbox holds envelopes until a worker takes them. Safe for concurrent use.
type inbox struct {
	mu      sync.Mutex
	waiting []envelope
	size    int           // attempts in waiting
	wake    chan struct{} // holds a token while envelopes wait
}

func newInbox() *inbox { return &inbox{wake: make(chan struct{}, 1)} }

// put takes an envelope in, or reports false when there is no room for it.
func (in *inbox) put(e envelope) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.size+len(e.attempts) > inboxSize {
		return false
	}
	in.waiting = append(in.waiting, e)
	in.size += len(e.attempts)
	in.signal()
	return true
}

func (in *inbox) signal() {
	select {
	case in.wake <- struct{}{}:
	default:
	}
}

// take waits for envelopes and returns what is there, up to maxBatch attempts but one envelope at
// least; nil when ctx has ended.
func (in *inbox) take(ctx context.Context) []envelope {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-in.wake:
		}
		if batch := in.next(); len(batch) > 0 {
			return batch
		}
	}
}

func (in *inbox) next() []envelope {
	in.mu.Lock()
	defer in.mu.Unlock()
	n, size := 0, 0
	for n < len(in.waiting) && (n == 0 || size+len(in.waiting[n].attempts) <= maxBatch) {
		size += len(in.waiting[n].attempts)
		n++
	}
	batch := in.waiting[:n:n]
	in.waiting = in.waiting[n:]
	in.size -= size
	if len(in.waiting) > 0 {
		in.signal()
	}
	return batch
}

// rest takes out everything that nobody took.
func (in *inbox) rest() []envelope {
	in.mu.Lock()
	defer in.mu.Unlock()
	rest := in.waiting
	in.waiting, in.size = nil, 0
	return rest
}
