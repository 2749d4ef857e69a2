package loadtest

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"livecart/proto"
)

// visitors are those of a run who come and go, by their numbers in the schedule. Its methods return at
// once and must be called by one goroutine.
type visitors struct {
	target   Target
	run      string // part of the users' ids
	key      []byte // that signs their tokens
	returns  bool
	meter    *Meter
	audience *audience

	in   map[uint32]*visitor
	last map[uint32]int64 // number of the last numbered event, of those who may come back
	all  sync.WaitGroup   // joins, commands and leaves under way

	// Handshakes without a welcome, connections lost, resumed ones.
	failed, lost, resumed complaints
	gaps                  complaints
}

// visitor is one stay.
type visitor struct {
	joined chan struct{} // closed when the handshake has ended
	viewer *Viewer       // nil until then, and when it failed
	asking sync.WaitGroup
	last   atomic.Int64
}

// complaints count what went wrong, or happened, and keep the first.
type complaints struct {
	mu    sync.Mutex
	n     int64
	first string
}

func (c *complaints) add(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n++; c.n == 1 {
		c.first = fmt.Sprintf(format, args...)
	}
}

func (c *complaints) count() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}

// check holds that there is none.
func (c *complaints) check(name, fine string) Check {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n == 0 {
		return Check{Name: name, OK: true, Detail: fine}
	}
	return Check{Name: name, Detail: fmt.Sprintf("%d, first: %s", c.n, c.first)}
}

func newVisitors(t Target, run string, key []byte, returns bool, a *audience) *visitors {
	return &visitors{target: t, run: run, key: key, returns: returns, meter: a.meter, audience: a, in: map[uint32]*visitor{}, last: map[uint32]int64{}}
}

// join begins the handshake of a visitor that was due.
func (vs *visitors) join(ctx context.Context, i uint32, due time.Time) {
	v := &visitor{joined: make(chan struct{})}
	vs.in[i] = v
	v.last.Store(vs.last[i])
	delete(vs.last, i)
	vs.all.Go(func() { // ends with the handshake
		defer close(v.joined)
		viewer, err := vs.connect(ctx, i, v)
		switch {
		case err == nil:
			v.viewer = viewer
			vs.meter.Time("join", time.Since(due))
			vs.audience.joined()
		case ctx.Err() == nil:
			vs.meter.Count("join_failed", 1)
			vs.failed.add("viewer %d: %v", i, err)
		}
	})
}

func (vs *visitors) connect(ctx context.Context, i uint32, v *visitor) (*Viewer, error) {
	token, err := vs.target.sign(vs.key, fmt.Sprintf("load-%s-%d", vs.run, i), int(i))
	if err != nil {
		return nil, err
	}
	gateways := len(vs.target.Gateways)
	return Join(ctx, ViewerConfig{
		URL: vs.target.socketURL(int(i)), Token: token.text, Format: proto.Format(int(i) / gateways % proto.Formats), AfterSeq: v.last.Load(),
		OnEvent: func(ev *proto.Event) { vs.event(i, v, ev) },
		OnEnd: func(lost error) {
			vs.audience.left(lost)
			if lost != nil {
				vs.lost.add("viewer %d: %v", i, lost)
			}
		},
	})
}

// event follows the numbers of the numbered events.
func (vs *visitors) event(i uint32, v *visitor, ev *proto.Event) {
	vs.audience.event(ev)
	if w := ev.GetSessionWelcome(); w != nil {
		if w.Resumed {
			vs.resumed.add("viewer %d", i)
		} else {
			v.last.Store(w.Seq)
		}
	}
	last := v.last.Load()
	if ev.Seq <= last {
		return
	}
	if missing := ev.Seq - last - 1; missing > 0 {
		vs.meter.Count("gaps", missing)
		vs.gaps.add("viewer %d: event %d came after %d", i, ev.Seq, last)
	}
	v.last.Store(ev.Seq)
}

// send asks for what was due, and tells done what came of it. It reports false where the visitor is not
// in the room: not yet, or no more.
func (vs *visitors) send(ctx context.Context, i uint32, cmd *proto.Command, due time.Time, done func(*proto.Reply, error)) bool {
	v := vs.in[i]
	if v == nil {
		return false
	}
	select {
	case <-v.joined:
	default:
		return false
	}
	if v.viewer == nil {
		return false
	}
	v.asking.Add(1)
	vs.all.Go(func() { // ends with the outcome, a connection's end, or the time for a reply
		defer v.asking.Done()
		vs.meter.Count("sent."+cmd.Kind(), 1)
		reply, err := v.viewer.Do(ctx, cmd)
		for err == nil && proto.Reason(reply.GetError().GetReason()) == proto.ReasonPending && ctx.Err() == nil {
			pause(ctx, jitter(defaultAskPause))
			reply, err = v.viewer.Do(ctx, cmd)
		}
		if err == nil {
			vs.meter.Time("reply."+cmd.Kind(), time.Since(due))
			if e := reply.GetError(); e != nil {
				vs.meter.Count("refused."+cmd.Kind()+"."+e.Reason, 1)
			} else {
				vs.meter.Count("ok."+cmd.Kind(), 1)
			}
		}
		done(reply, err)
	})
	return true
}

// leave ends a stay once what the visitor asked for has an outcome.
func (vs *visitors) leave(i uint32) {
	v := vs.in[i]
	delete(vs.in, i)
	if vs.returns {
		vs.last[i] = v.last.Load()
	}
	vs.all.Go(func() { // ends with the connection
		<-v.joined
		if v.viewer == nil {
			return
		}
		v.asking.Wait()
		v.viewer.Close()
	})
}

// close ends all stays and waits for everything that was begun.
func (vs *visitors) close() {
	for i := range vs.in {
		vs.leave(i)
	}
	vs.all.Wait()
}
