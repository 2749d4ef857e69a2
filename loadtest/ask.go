package loadtest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"livecart/proto"
)

// again says which refusals are no outcome: the same request_id is asked again later.
var again = map[proto.Reason]bool{
	proto.ReasonTryAgain: true, proto.ReasonBusy: true, proto.ReasonPending: true, proto.ReasonRateLimited: true,
	proto.ReasonSalePaused: true, proto.ReasonNotStarted: true, proto.ReasonInternal: true,
}

// Bounds of asking again.
const (
	askPatience = 45 * time.Second
	askPause    = 200 * time.Millisecond
)

// person is a user who acts: over one connection at a time, coming back when it is lost.
type person struct {
	target Target
	number int
	id     string
	token  string
	format proto.Format

	history *History
	viewer  *Viewer
	times   *latencies
	// Connections that were lost, or cut on purpose.
	reconnects int
}

// join connects person to the gateway whose turn it is.
func (p *person) join(ctx context.Context) error {
	v, err := Join(ctx, ViewerConfig{URL: p.target.socketURL(p.number + p.reconnects), Token: p.token, Format: p.format, History: p.history})
	if err != nil {
		return err
	}
	p.times.record("join", v.joined)
	p.viewer, p.history = v, v.history
	return nil
}

// rejoin comes back on the next gateway.
func (p *person) rejoin(ctx context.Context) error {
	p.viewer.Cut()
	p.reconnects++
	return p.join(ctx)
}

// ask sends cmd until it has an outcome, always under the same request_id, and returns that
// outcome. It comes back on another gateway when the connection is lost.
func (p *person) ask(ctx context.Context, cmd *proto.Command) (*proto.Reply, error) {
	if cmd.RequestId == "" {
		cmd.RequestId = NewRequestID()
	}
	begin := time.Now()
	for {
		reply, err := p.viewer.Do(ctx, cmd)
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case err != nil:
			if time.Since(begin) > askPatience {
				return nil, fmt.Errorf("%s: no outcome in %v: %w", cmd.Kind(), askPatience, err)
			}
			if err := p.rejoin(ctx); err != nil && ctx.Err() == nil {
				pause(ctx, jitter(askPause))
			}
			continue
		}
		e := reply.GetError()
		if e == nil || !again[proto.Reason(e.Reason)] {
			p.times.record("reply."+cmd.Kind(), time.Since(begin))
			return reply, nil
		}
		if time.Since(begin) > askPatience {
			return nil, fmt.Errorf("%s: still %s after %v", cmd.Kind(), e.Reason, askPatience)
		}
		pause(ctx, jitter(max(askPause, time.Duration(e.RetryAfterMs)*time.Millisecond)))
	}
}

// jitter spreads d over half to one and a half of it.
func jitter(d time.Duration) time.Duration { return d/2 + rand.N(d) }

// pause waits for d or the end of ctx.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// until waits until ok holds, looking often, and reports whether it did within most.
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
