package gift

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"livecart/proto"
	"livecart/session/bus"
)

const (
	// maxWaiting is how many tips may wait in one gateway, beyond which senders are told busy.
	maxWaiting = 4096
	// Pause before an envelope is asked again, with as much jitter: workers that come back are not
	// met by all gateways at once.
	askPause = 50 * time.Millisecond
)

// errLength says that a worker answered another number of tips than it was asked.
var errLength = errors.New("decisions do not match the tips")

// dispatcher carries tips to the ledger: one envelope at a time, which what arrives meanwhile waits
// for. So the first tip goes at once and a burst travels in few envelopes, without a timer.
//
// What got no outcome goes first in the next envelope, under the same keys, until its sender stops
// waiting.
type dispatcher struct {
	ask      func(context.Context, *proto.TipBatch) (*proto.TipDecisions, error)
	timeout  time.Duration // an envelope's
	patience time.Duration // a sender's
	wake     chan struct{} // holds a token while tips wait
	stopped  chan struct{} // closed when run has returned

	mu      sync.Mutex
	waiting []*parcel
}

// parcel is one tip under way. Its fields are guarded by the dispatcher's mutex, except tip, which
// does not change, and decided, which takes one decision.
type parcel struct {
	tip     *proto.TipRequest
	decided chan *proto.TipDecision
	// A worker may have seen it.
	sent bool
	// Its sender waits no longer.
	abandoned bool
}

func newDispatcher(ask func(context.Context, *proto.TipBatch) (*proto.TipDecisions, error), timeout, patience time.Duration) *dispatcher {
	return &dispatcher{
		ask: ask, timeout: timeout, patience: patience,
		wake: make(chan struct{}, 1), stopped: make(chan struct{}),
	}
}

// send returns the ledger's decision. Its errors are ErrBusy, ErrTryAgain when no worker can have
// seen the tip, and ErrPending when one may have.
func (d *dispatcher) send(ctx context.Context, tip *proto.TipRequest) (*proto.TipDecision, error) {
	p := &parcel{tip: tip, decided: make(chan *proto.TipDecision, 1)}
	d.mu.Lock()
	if len(d.waiting) >= maxWaiting {
		d.mu.Unlock()
		return nil, ErrBusy
	}
	d.waiting = append(d.waiting, p)
	d.mu.Unlock()
	d.signal()

	patience := time.NewTimer(d.patience)
	defer patience.Stop()
	select {
	case decision := <-p.decided:
		return decision, nil
	case <-ctx.Done():
	case <-patience.C:
	case <-d.stopped:
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	p.abandoned = true
	select {
	case decision := <-p.decided:
		return decision, nil
	default:
	}
	if p.sent {
		return nil, ErrPending
	}
	return nil, ErrTryAgain
}

func (d *dispatcher) signal() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

func (d *dispatcher) run(ctx context.Context) {
	defer close(d.stopped)
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.wake:
		}
		for ctx.Err() == nil {
			batch, sent := d.take()
			if len(batch) == 0 {
				break
			}
			if d.exchange(ctx, batch, sent) {
				continue
			}
			pause := time.NewTimer(askPause + rand.N(askPause))
			select {
			case <-ctx.Done():
			case <-pause.C:
			}
			pause.Stop()
		}
	}
}

// take removes the next envelope's tips and marks them as sent; sent says which of them were before.
func (d *dispatcher) take() (batch []*parcel, sent []bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := 0
	for _, p := range d.waiting {
		if len(batch) == MaxBatch {
			break
		}
		n++
		if !p.abandoned {
			batch, sent = append(batch, p), append(sent, p.sent)
			p.sent = true
		}
	}
	d.waiting = d.waiting[n:]
	return batch, sent
}

// exchange asks for one envelope, hands the outcomes out and puts the rest back in front. It
// reports whether every tip got its outcome. The envelope's time runs on when ctx ends, so that a
// stop does not leave outcomes open without need.
func (d *dispatcher) exchange(ctx context.Context, batch []*parcel, sent []bool) bool {
	ask, cancel := context.WithTimeout(context.WithoutCancel(ctx), d.timeout)
	defer cancel()
	reply, err := d.ask(ask, &proto.TipBatch{Tips: columns(batch, func(p *parcel) *proto.TipRequest { return p.tip })})
	if err == nil && len(reply.Decisions) != len(batch) {
		err = errLength
	}
	unseen := errors.Is(err, bus.ErrNoResponders) || errors.Is(err, bus.ErrDisconnected)
	d.mu.Lock()
	defer d.mu.Unlock()
	var open []*parcel
	for i, p := range batch {
		if err == nil {
			outcome := reply.Decisions[i].Outcome
			// A worker that is full does not know what became of an earlier envelope.
			if outcome != tryAgain && !(outcome == busy && sent[i]) {
				p.decided <- reply.Decisions[i]
				continue
			}
		}
		if unseen {
			p.sent = sent[i]
		}
		open = append(open, p)
	}
	d.waiting = append(open, d.waiting...)
	return len(open) == 0
}
