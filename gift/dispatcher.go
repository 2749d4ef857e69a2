package gift

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"

	"livecart/proto"
	"livecart/session/bus"
)

const (
	// maxWaiting is how many tips may wait in one gateway, beyond which senders are told busy.
	maxWaiting = 4096
	// maxFlights is how many envelopes may be under way at a time.
	maxFlights = 8
	// stallAfter is how long an envelope has others wait behind it. A worker in good health answers
	// within a tenth of it; one that froze or lost the envelope must not hold up all tips of a gateway.
	stallAfter = 100 * time.Millisecond
)

// errLength says that a worker answered another number of tips than it was asked.
var errLength = errors.New("decisions do not match the tips")

// dispatcher carries tips to the ledger. What arrives while an envelope is under way waits for it, so
// the first tip goes at once and a burst travels in few envelopes; an envelope without an answer for
// stallAfter is waited for no longer. A sender's tips go in the order in which they were sent: while one
// is under way, none goes in another envelope.
//
// What got no outcome goes first in the next envelope, after a pause and under the same keys, until its
// sender stops waiting.
type dispatcher struct {
	ask      func(context.Context, *proto.TipBatch) (*proto.TipDecisions, error)
	timeout  time.Duration // an envelope's
	patience time.Duration // a sender's
	pause    func(tries int) time.Duration
	wake     chan struct{} // holds a token while tips wait
	stopped  chan struct{} // closed when run has returned

	mu      sync.Mutex
	waiting []*parcel
	flights int             // envelopes under way
	riding  map[string]bool // senders of their tips
	// What waiting tips wait for: envelopes under way for less than stallAfter, and pauses.
	holds int
	tries int // envelopes in a row that left tips without an outcome
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
		ask: ask, timeout: timeout, patience: patience, pause: bus.Backoff, riding: map[string]bool{},
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
	var flights sync.WaitGroup
	defer flights.Wait()
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.wake:
		}
		for ctx.Err() == nil {
			f := d.board()
			if f == nil {
				break
			}
			flights.Go(func() { d.fly(ctx, f) }) // ends with the envelope's timeout, and a pause that ctx ends
		}
	}
}

// flight is one envelope under way.
type flight struct {
	batch []*parcel
	sent  []bool // which of them were before
	fresh bool   // others wait behind it; guarded by the dispatcher's mutex
}

// board fills the next envelope, or returns nil where none may go or nobody waits.
func (d *dispatcher) board() *flight {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.holds > 0 || d.flights == maxFlights {
		return nil
	}
	f := &flight{fresh: true}
	senders := map[string]bool{}
	var left []*parcel
	for _, p := range d.waiting {
		sender := senderOf(p.tip)
		switch {
		case p.abandoned:
		case len(f.batch) == MaxBatch || d.riding[sender]:
			left = append(left, p)
		default:
			senders[sender] = true
			f.batch, f.sent = append(f.batch, p), append(f.sent, p.sent)
			p.sent = true
		}
	}
	d.waiting = left
	if len(f.batch) == 0 {
		return nil
	}
	maps.Copy(d.riding, senders)
	d.flights++
	d.holds++
	return f
}

// fly asks for one envelope, hands the outcomes out and has the rest pause in front. The envelope's
// time runs on when ctx ends, so that a stop does not leave outcomes open without need.
func (d *dispatcher) fly(ctx context.Context, f *flight) {
	stalled := time.AfterFunc(stallAfter, func() { d.stall(f) })
	ask, cancel := context.WithTimeout(context.WithoutCancel(ctx), d.timeout)
	reply, err := d.ask(ask, &proto.TipBatch{Tips: columns(f.batch, func(p *parcel) *proto.TipRequest { return p.tip })})
	cancel()
	stalled.Stop()
	if err == nil && len(reply.Decisions) != len(f.batch) {
		err = errLength
	}
	if wait := d.land(f, reply, err); wait > 0 {
		pause := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-pause.C:
		}
		pause.Stop()
		d.mu.Lock()
		d.holds--
		d.mu.Unlock()
	}
	d.signal()
}

// stall has nobody wait behind an envelope any more.
func (d *dispatcher) stall(f *flight) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if f.fresh {
		f.fresh = false
		d.holds--
		d.signal()
	}
}

// land hands out what the envelope's answer says and puts the rest back in front. Where there is a
// rest it returns how long to pause, more than 0, and counts the pause as a hold.
func (d *dispatcher) land(f *flight, reply *proto.TipDecisions, err error) time.Duration {
	unseen := errors.Is(err, bus.ErrNoResponders) || errors.Is(err, bus.ErrDisconnected)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.flights--
	if f.fresh {
		f.fresh = false
		d.holds--
	}
	var open []*parcel
	for i, p := range f.batch {
		delete(d.riding, senderOf(p.tip))
		if err == nil {
			outcome := reply.Decisions[i].Outcome
			// A worker that is full does not know what became of an earlier envelope.
			if outcome != tryAgain && !(outcome == busy && f.sent[i]) {
				p.decided <- reply.Decisions[i]
				continue
			}
		}
		if unseen {
			p.sent = f.sent[i]
		}
		open = append(open, p)
	}
	if len(open) == 0 {
		d.tries = 0
		return 0
	}
	d.waiting = append(open, d.waiting...)
	d.tries++
	d.holds++
	return max(d.pause(d.tries), 1)
}
