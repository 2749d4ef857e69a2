package loadtest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"livecart/proto"
)

// maxLoops is how many readiness loops a swarm has at most; one for each processor up to that.
const maxLoops = 4

// readySwarm is a Swarm over epoll. Each viewer belongs to one loop, which alone touches what is
// the viewer's; others ask the loop. Handshakes, which are few at a time, have a goroutine each.
type readySwarm struct {
	cfg    SwarmConfig
	loops  []*loop
	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	// The viewers of how many numbers share one source address where the target is on loopback.
	perSource int

	handshaking sync.WaitGroup
	mu          sync.Mutex
	closed      bool
	waiting     []*opening // for their handshake, in order
	handshakes  int        // goroutines that work them off
}

// opening is one connection until its welcome.
type opening struct {
	number  int
	cfg     ViewerConfig
	done    func(*proto.SessionWelcome, error)
	ctx     context.Context
	cancel  context.CancelFunc
	welcome *deadline // nil before the handshake is over
}

// tell reports how the joining came out.
func (j *opening) tell(w *proto.SessionWelcome, err error) {
	j.cancel()
	if err != nil {
		err = fmt.Errorf("join %s: %w", j.cfg.URL, err)
	}
	j.done(w, err)
}

func newSwarm(cfg SwarmConfig) (Swarm, error) { return newReadySwarm(cfg, viewersPerSource) }

func newReadySwarm(cfg SwarmConfig, perSource int) (*readySwarm, error) {
	s := &readySwarm{cfg: cfg, perSource: perSource}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	n := min(runtime.GOMAXPROCS(0), maxLoops, cfg.Viewers)
	for k := range n {
		l, err := newLoop(s.cfg, k, n)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("readiness loop: %w", err), s.Close())
		}
		s.loops = append(s.loops, l)
		go l.run() // ends with Close, which waits for it
	}
	return s, nil
}

// at returns the loop of a viewer.
func (s *readySwarm) at(i int) *loop { return s.loops[i%len(s.loops)] }

func (s *readySwarm) Join(i int, v ViewerConfig, done func(*proto.SessionWelcome, error)) {
	err := s.cfg.checkNumber(i)
	if err == nil && secure(v.URL) {
		err = errors.New("wss:// needs a swarm of goroutines")
	}
	if err != nil {
		done(nil, err)
		return
	}
	j := &opening{number: i, cfg: completeJoin(v), done: done}
	j.ctx, j.cancel = context.WithCancel(s.ctx)
	if !s.at(i).post(func(l *loop) { l.join(j, s.enqueue) }) {
		j.tell(nil, errSwarmClosed)
	}
}

// enqueue lets the handshake begin when it is its turn.
func (s *readySwarm) enqueue(j *opening) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return // its loop has told that, or is about to
	}
	s.waiting = append(s.waiting, j)
	if s.handshakes < s.cfg.Handshakes {
		s.handshakes++
		s.handshaking.Go(s.workOff) // ends when no handshake waits; Close waits for it
	}
}

func (s *readySwarm) workOff() {
	for {
		s.mu.Lock()
		if len(s.waiting) == 0 {
			s.handshakes--
			s.waiting = nil // and its memory
			s.mu.Unlock()
			return
		}
		j := s.waiting[0]
		s.waiting = s.waiting[1:]
		s.mu.Unlock()
		if j.ctx.Err() == nil {
			s.handshake(j)
		}
	}
}

// handshake opens the connection and gives it to the viewer's loop.
func (s *readySwarm) handshake(j *opening) {
	begin := time.Now()
	conn, err := openReady(j.ctx, j.cfg, sourceOf(j.number, s.perSource))
	given := s.at(j.number).post(func(l *loop) {
		if err != nil {
			l.refused(j, err)
			return
		}
		l.connected(j, conn, begin.Add(j.cfg.JoinTimeout))
	})
	if !given && err == nil {
		conn.close()
	}
}

func (s *readySwarm) Send(i int, cmd *proto.Command, done func(*proto.Reply, error)) {
	if done == nil {
		done = func(*proto.Reply, error) {}
	}
	if err := s.cfg.checkNumber(i); err != nil {
		done(nil, err)
		return
	}
	if !s.at(i).post(func(l *loop) { l.send(i, cmd, done) }) {
		done(nil, errSwarmClosed)
	}
}

func (s *readySwarm) Cut(i int)   { s.leave(i, (*loop).cut) }
func (s *readySwarm) Leave(i int) { s.leave(i, (*loop).leave) }

func (s *readySwarm) leave(i int, end func(*loop, *seat)) {
	if s.cfg.checkNumber(i) == nil {
		s.at(i).post(func(l *loop) { end(l, l.seat(i)) })
	}
}

func (s *readySwarm) Close() error {
	s.mu.Lock()
	s.closed, s.waiting = true, nil
	s.mu.Unlock()
	var errs []error
	for _, l := range s.loops {
		errs = append(errs, l.close())
	}
	s.cancel()
	s.handshaking.Wait()
	return errors.Join(errs...)
}
