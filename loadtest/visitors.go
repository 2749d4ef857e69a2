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

// handshaking is how many handshakes of visitors are under way at once. What has to wait for its turn is
// late, and join tells.
const handshaking = 1024

// visitors are those of a run who come and go, by their numbers in the schedule. Its methods return at
// once and must be called by one goroutine.
type visitors struct {
	target  Target
	run     string // part of the users' ids
	key     []byte // that signs their tokens
	returns bool
	slow    Slow
	back    *retries // of those who lose their connection; nil where they stay away
	meter   *Meter
	// Set before the first command, or nil: is told of each that may have been carried out though no reply came.
	unsure   func(*proto.Command)
	audience *audience
	swarm    Swarm

	in   map[uint32]*visitor
	last map[uint32]int64 // number of the last numbered event, of those who may come back
	all  sync.WaitGroup   // seats taken
	done bool             // close was called

	seats []atomic.Pointer[visitor] // by number in the swarm
	mu    sync.Mutex
	free  []int // seats

	// People who did not get in, connections lost, numbered events missed while in the room and by those who
	// resumed, and stays that were resumed.
	failed, lost, gaps, forgotten, resumed complaints
	caughtUp                               atomic.Int64 // numbered events that came with a resumed welcome
}

// visitor is one stay.
type visitor struct {
	number uint32
	seat   int
	token  string
	slow   int          // bytes a second that are read; 0 for as fast as they come
	last   atomic.Int64 // number of the last numbered event

	// What ends a stay is done under mu, so that it never meets the next one in the seat.
	mu                      sync.Mutex
	welcomed, leaving, over bool
	freed                   bool // the seat
	asking                  int  // commands without outcome

	// Of those who come back. Times of a connection that is not replaced yet; turn is that of the next gateway.
	lost  time.Time
	tries int
	turn  int
	pause *time.Timer // nil while there is none
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

func newVisitors(t Target, most int, key []byte, run string, returns bool, back *retries, a *audience) (*visitors, error) {
	vs := &visitors{
		target: t, run: run, key: key, returns: returns, back: back, meter: a.meter, audience: a,
		in: map[uint32]*visitor{}, last: map[uint32]int64{}, seats: make([]atomic.Pointer[visitor], most),
	}
	cfg := SwarmConfig{Viewers: most, Handshakes: handshaking, OnFrame: vs.frame, OnEnd: vs.ended, Goroutines: t.secure()}
	for seat := range most {
		vs.free = append(vs.free, seat)
	}
	var err error
	vs.swarm, err = NewSwarm(cfg)
	return vs, err
}

// join begins the handshake of a visitor that was due.
func (vs *visitors) join(i uint32, due time.Time) {
	v := &visitor{number: i, turn: int(i), slow: vs.slow.reads(i)}
	vs.in[i] = v
	v.last.Store(vs.last[i])
	delete(vs.last, i)
	token, err := vs.target.token(vs.key, vs.run, int(i))
	if err == nil && !vs.sit(v) {
		err = fmt.Errorf("all %d connections are taken", len(vs.seats))
	}
	if err != nil {
		v.over = true
		vs.meter.Count("join_failed", 1)
		vs.failed.add("viewer %d: %v", i, err)
		return
	}
	v.token = token.text
	vs.connect(v, due, due)
}

// connect makes a handshake that was to begin at a time, of a visitor who is without connection since due.
func (vs *visitors) connect(v *visitor, due, begin time.Time) {
	i := int(v.number)
	cfg := ViewerConfig{
		URL: vs.target.socketURL(v.turn), TLS: vs.target.tls, Token: v.token, Format: proto.Format(i / len(vs.target.Gateways) % proto.Formats), AfterSeq: v.last.Load(),
		ReadRate: v.slow,
	}
	vs.swarm.Join(v.seat, cfg, func(_ *proto.SessionWelcome, err error) {
		if err != nil {
			vs.meter.Count("join_failed", 1)
			vs.missed(v, due, err)
			return
		}
		vs.meter.Time("join", time.Since(begin))
		vs.audience.joined()
		v.mu.Lock()
		defer v.mu.Unlock()
		if !v.lost.IsZero() {
			vs.meter.Time("back", time.Since(v.lost))
			vs.meter.Count("reconnects", 1)
		}
		v.welcomed, v.lost, v.tries = true, time.Time{}, 0
		vs.mayLeave(v)
	})
}

// missed takes in that a handshake failed, and tries another one where that is the way.
func (vs *visitors) missed(v *visitor, due time.Time, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	leaving := vs.back != nil && v.leaving && v.asking == 0
	if vs.back == nil || leaving || errors.Is(err, errSwarmClosed) || time.Since(due) > comePatience {
		if !leaving {
			vs.failed.add("viewer %d: %v", v.number, err)
		}
		v.over = true
		vs.mayFree(v)
		return
	}
	vs.tryAgain(v, due)
}

// tryAgain has a visitor join the next gateway after a pause. The caller holds the visitor's mu.
func (vs *visitors) tryAgain(v *visitor, due time.Time) {
	v.tries++
	v.turn++
	v.pause = time.AfterFunc(vs.back.pause(v.number, v.tries), func() { // close waits for the end of the stay
		v.mu.Lock()
		v.pause = nil
		begin := due
		if !v.lost.IsZero() {
			begin = time.Now()
		}
		v.mu.Unlock()
		vs.connect(v, due, begin)
	})
}

// sit gives a visitor a seat, if there is one.
func (vs *visitors) sit(v *visitor) bool {
	vs.mu.Lock()
	defer vs.mu.Unlock()
	n := len(vs.free)
	if n == 0 {
		return false
	}
	v.seat = vs.free[n-1]
	vs.free = vs.free[:n-1]
	vs.seats[v.seat].Store(v)
	vs.all.Add(1)
	return true
}

// mayFree takes the seat back from one whose stay is over and who has nothing left to wait for: until then
// nobody else may have it, who would get the answers. The caller holds the visitor's mu.
func (vs *visitors) mayFree(v *visitor) {
	if !v.over || v.asking > 0 || v.freed {
		return
	}
	v.freed = true
	vs.mu.Lock()
	vs.free = append(vs.free, v.seat)
	vs.mu.Unlock()
	vs.all.Done()
}

// mayLeave ends the stay of one who wants to leave and has nothing left to wait for. The caller holds mu.
func (vs *visitors) mayLeave(v *visitor) {
	if !v.leaving || v.asking > 0 || v.over {
		return
	}
	if v.welcomed {
		vs.swarm.Leave(v.seat)
	}
	if v.pause != nil && v.pause.Stop() {
		v.over = true
		vs.mayFree(v)
	}
}

// ended takes in the end of a connection.
func (vs *visitors) ended(seat int, lost error) {
	v := vs.seats[seat].Load()
	vs.audience.left(lost)
	switch {
	case lost != nil && v.slow > 0: // a server may cut those off
		vs.meter.Count("slow.lost", 1)
	case lost != nil:
		vs.lost.add("viewer %d: %v", v.number, lost)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if lost == nil || vs.back == nil || v.leaving && v.asking == 0 {
		v.over = true
		vs.mayFree(v)
		return
	}
	v.welcomed, v.lost = false, time.Now()
	vs.tryAgain(v, v.lost)
}

// frame measures a frame and follows the numbers of the numbered events.
func (vs *visitors) frame(seat int, frame *proto.ServerFrame, bytes int) {
	v := vs.seats[seat].Load()
	if v.slow > 0 {
		vs.audience.slowFrame(frame, bytes)
	} else {
		vs.audience.frame(frame, bytes)
	}
	if w := welcomeOf(frame); w != nil && w.Resumed {
		vs.resume(v, w, frame.Events)
		return
	}
	for _, ev := range frame.Events {
		if w := ev.GetSessionWelcome(); w != nil {
			v.last.Store(w.Seq)
		}
		vs.follow(v, ev, &vs.gaps)
	}
}

// resume takes in what was missed since an earlier stay: it comes in one frame with the welcome, which tells
// the number up to which.
func (vs *visitors) resume(v *visitor, w *proto.SessionWelcome, events []*proto.Event) {
	vs.resumed.add("viewer %d", v.number)
	before := v.last.Load()
	for _, ev := range events {
		vs.follow(v, ev, &vs.forgotten)
	}
	if last := v.last.Load(); last < w.Seq {
		vs.meter.Count("gaps", w.Seq-last)
		vs.forgotten.add("viewer %d came back after event %d and was told up to %d of %d", v.number, before, last, w.Seq)
	}
	vs.caughtUp.Add(v.last.Load() - before)
}

// follow holds that an event's number is the next one, and complains where it is a later one.
func (vs *visitors) follow(v *visitor, ev *proto.Event, gaps *complaints) {
	last := v.last.Load()
	if ev.Seq <= last {
		return
	}
	if missing := ev.Seq - last - 1; missing > 0 {
		vs.meter.Count("gaps", missing)
		gaps.add("viewer %d: event %d came after %d", v.number, ev.Seq, last)
	}
	v.last.Store(ev.Seq)
}

// send asks for what was due, and tells done what came of it. It reports false where the visitor is not
// in the room: not yet, or no more.
func (vs *visitors) send(i uint32, cmd *proto.Command, due time.Time, done func(*proto.Reply, error)) bool {
	v := vs.in[i]
	if v == nil || v.slow > 0 || !v.begin() {
		return false
	}
	vs.ask(v, cmd, due, func(reply *proto.Reply, err error) {
		if err == nil {
			vs.meter.Time("reply."+cmd.Kind(), time.Since(due))
			if e := reply.GetError(); e != nil {
				vs.meter.Count("refused."+cmd.Kind()+"."+e.Reason, 1)
			} else {
				vs.meter.Count("ok."+cmd.Kind(), 1)
			}
		}
		done(reply, err)
		v.mu.Lock()
		defer v.mu.Unlock()
		v.asking--
		vs.mayLeave(v)
		vs.mayFree(v)
	})
	return true
}

// begin reports whether a visitor can ask, who does not leave then until there is an outcome.
func (v *visitor) begin() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.welcomed || v.over {
		return false
	}
	v.asking++
	return true
}

// ask sends a command until its outcome is not pending any more; those who come back ask again, then, for
// what they do not know the outcome of.
func (vs *visitors) ask(v *visitor, cmd *proto.Command, due time.Time, done func(*proto.Reply, error)) {
	vs.meter.Count("sent."+cmd.Kind(), 1)
	vs.swarm.Send(v.seat, cmd, func(reply *proto.Reply, err error) {
		again := err == nil && proto.Reason(reply.GetError().GetReason()) == proto.ReasonPending
		if errors.Is(err, ErrCut) || errors.Is(err, ErrNoReply) {
			if vs.unsure != nil {
				vs.unsure(cmd)
			}
			again = vs.back != nil && !errors.Is(err, errSwarmClosed) && time.Since(due) < defaultPatience
		}
		if again {
			vs.askAgain(v, cmd, due, done)
			return
		}
		done(reply, err)
	})
}

// askAgain asks after a pause, and not while the visitor has no connection.
func (vs *visitors) askAgain(v *visitor, cmd *proto.Command, due time.Time, done func(*proto.Reply, error)) {
	time.AfterFunc(jitter(defaultAskPause), func() { // close waits for the outcome
		v.mu.Lock()
		in, over := v.welcomed, v.over
		v.mu.Unlock()
		switch {
		case in:
			vs.ask(v, cmd, due, done)
		case over || time.Since(due) > defaultPatience:
			done(nil, ErrCut)
		default:
			vs.askAgain(v, cmd, due, done)
		}
	})
}

// behind returns how many who are in the room were not told of numbered events up to a number, and the first
// of them. It must be called by the goroutine of join.
func (vs *visitors) behind(head int64) (n int, first string) {
	for _, v := range vs.in {
		v.mu.Lock()
		in := v.welcomed && !v.over && v.slow == 0
		v.mu.Unlock()
		if last := v.last.Load(); in && last < head {
			if n++; n == 1 {
				first = fmt.Sprintf("viewer %d: the last numbered event was %d, there are %d", v.number, last, head)
			}
		}
	}
	return n, first
}

// away returns how many who lost their connection, or did not get in, are about to try again.
func (vs *visitors) away() (n int) {
	for _, v := range vs.in {
		v.mu.Lock()
		if !v.welcomed && !v.over {
			n++
		}
		v.mu.Unlock()
	}
	return n
}

// leave ends a stay once what the visitor asked for has an outcome.
func (vs *visitors) leave(i uint32) {
	v := vs.in[i]
	delete(vs.in, i)
	if vs.returns {
		vs.last[i] = v.last.Load()
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.leaving = true
	vs.mayLeave(v)
}

// close ends all stays and waits for everything that was begun; at the end of ctx it cuts what is left.
func (vs *visitors) close(ctx context.Context) error {
	if vs.done {
		return nil
	}
	vs.done = true
	for i := range vs.in {
		vs.leave(i)
	}
	over := make(chan struct{})
	go func() { // ends with the last stay, which Close sees to
		defer close(over)
		vs.all.Wait()
	}()
	select {
	case <-over:
	case <-ctx.Done():
	}
	err := vs.swarm.Close()
	<-over
	return err
}
