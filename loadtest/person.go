package loadtest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
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
	defaultPatience = 45 * time.Second
	defaultAskPause = 200 * time.Millisecond
)

// person is a user who acts: over one connection at a time, coming back when it is lost. Safe for
// concurrent use once joined.
type person struct {
	target  Target
	id      string
	token   string
	format  proto.Format
	history *History
	meter   *Meter
	// What all people of the run see together; nil for somebody who watches alone.
	audience *audience
	likes    *likeReader // nil for one of many whose likes are not looked at
	// Takes every sending of a command that moves money or stock; nil for nobody.
	recorder *Recorder
	// Beans that were topped up for the gifts of the run.
	funds int64
	// How long an outcome may take and about how long to wait before asking again.
	patience, askPause time.Duration

	// Held while a lost connection is replaced, so that those who ask meanwhile wait for the new one.
	mu     sync.Mutex
	viewer *Viewer
	// Number of the gateway whose turn it is.
	turn int
	// Connections that were replaced because they were lost or cut on purpose.
	reconnects int

	// Set before joining, or nil: is told of each lost connection and has comeBack called by a goroutine of
	// its own. The person then goes on after the last numbered event.
	onLost func(lost error)
	// When the connection was lost that is not replaced yet; nil where there is none.
	away atomic.Pointer[time.Time]
	// Set before the first command, or nil: is told of each that may have been carried out though no reply came.
	unsure func(*proto.Command)
}

func newPerson(t Target, id, token string, format proto.Format, meter *Meter) *person {
	return &person{
		target: t, id: id, token: token, format: format, history: newHistory(), meter: meter,
		patience: defaultPatience, askPause: defaultAskPause,
	}
}

// join connects the person for the first time.
func (p *person) join(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.connect(ctx)
}

func (p *person) connect(ctx context.Context) error {
	cfg := ViewerConfig{URL: p.target.socketURL(p.turn), TLS: p.target.tls, Token: p.token, Format: p.format, History: p.history}
	if p.onLost != nil && p.viewer != nil {
		cfg.AfterSeq = p.history.last()
	}
	if p.audience != nil {
		cfg.OnFrame = func(frame *proto.ServerFrame, bytes int) {
			p.audience.frame(frame, bytes)
			p.likes.frame(frame)
		}
	}
	cfg.OnEnd = p.ended
	lost := p.away.Load()
	v, err := Join(ctx, cfg)
	if err != nil {
		p.meter.Count("join_failed", 1)
		return err
	}
	p.meter.Time("join", v.joined)
	if p.audience != nil {
		p.audience.joined()
	}
	p.viewer = v
	if lost != nil && p.away.CompareAndSwap(lost, nil) {
		p.meter.Time("back", time.Since(*lost))
	}
	return nil
}

// ended takes in the end of a connection, in its reading goroutine.
func (p *person) ended(lost error) {
	if p.audience != nil {
		p.audience.left(lost)
	}
	if lost != nil && p.onLost != nil {
		now := time.Now()
		p.away.Store(&now)
		p.onLost(lost)
	}
}

// comeBack replaces a connection that has ended, on the next gateway.
func (p *person) comeBack(ctx context.Context) error {
	if v := p.current(); v.over() {
		return p.rejoin(ctx, v)
	}
	return nil
}

// current returns the connection, or nil before the first one.
func (p *person) current() *Viewer {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.viewer
}

// rejoin replaces the connection old on the next gateway, unless somebody else did so already.
func (p *person) rejoin(ctx context.Context, old *Viewer) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.viewer != old {
		return nil
	}
	old.Cut()
	p.turn++
	if err := p.connect(ctx); err != nil {
		return err
	}
	p.reconnects++
	p.meter.Count("reconnects", 1)
	return nil
}

// refresh comes back on the next gateway for a new welcome.
func (p *person) refresh(ctx context.Context) error { return p.rejoin(ctx, p.current()) }

// leave ends the connection.
func (p *person) leave() {
	if v := p.current(); v != nil {
		v.Close()
	}
}

// stayed reports whether the first connection still stands.
func (p *person) stayed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.reconnects == 0 && len(p.history.lostBy()) == 0
}

// note records one sending, with the reply or nil for none.
func (p *person) note(cmd *proto.Command, sent time.Time, reply *proto.Reply) {
	if p.recorder == nil {
		return
	}
	if record, ok := NewRecord(p.id, p.target.Room, cmd, sent, reply, time.Now()); ok {
		p.recorder.Add(record)
	}
}

// ask sends cmd until it has an outcome, always under the same request_id, and returns that
// outcome. It comes back on another gateway when the connection is lost. Without an outcome within
// the person's patience it says what stood in the way last.
func (p *person) ask(ctx context.Context, cmd *proto.Command) (*proto.Reply, error) {
	return p.askSince(ctx, cmd, time.Now())
}

// askSince is ask for a command that was due at begin, from which latency and patience count.
func (p *person) askSince(ctx context.Context, cmd *proto.Command, begin time.Time) (*proto.Reply, error) {
	if cmd.RequestId == "" {
		cmd.RequestId = NewRequestID()
	}
	for asked := 1; ; asked++ {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		v := p.current()
		sent := time.Now()
		p.meter.Count("sent."+cmd.Kind(), 1)
		reply, err := v.Do(ctx, cmd)
		p.note(cmd, sent, reply)
		wait := p.askPause
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case err == nil:
			e := reply.GetError()
			if e == nil || !again[proto.Reason(e.Reason)] {
				p.meter.Time("reply."+cmd.Kind(), time.Since(begin))
				if e == nil {
					p.meter.Count("ok."+cmd.Kind(), 1)
				} else {
					p.meter.Count("refused."+cmd.Kind()+"."+e.Reason, 1)
				}
				return reply, nil
			}
			err = fmt.Errorf("the reply is %s", e.Reason)
			wait = max(wait, time.Duration(e.RetryAfterMs)*time.Millisecond)
		case errors.Is(err, ErrCut), errors.Is(err, ErrNoReply):
			if p.unsure != nil {
				p.unsure(cmd)
			}
			if p.away.Load() != nil {
				break // who brings the person back chooses when
			}
			if missing := p.rejoin(ctx, v); missing != nil {
				err = missing
			} else if asked == 1 {
				wait = 0 // one lost connection is no reason to wait, the next one is
			}
		default:
			return nil, err
		}
		left := p.patience - time.Since(begin)
		if left <= 0 {
			return nil, fmt.Errorf("%s has no outcome after %v: %w", cmd.Kind(), p.patience, err)
		}
		pause(ctx, min(jitter(wait), left))
	}
}
