package loadtest

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"livecart/proto"
)

// goroutineSwarm is a Swarm of Viewers: a goroutine for each, one more for each command under way.
type goroutineSwarm struct {
	cfg        SwarmConfig
	ctx        context.Context // ends with Close
	cancel     context.CancelFunc
	handshakes chan struct{} // holds one for each that is under way
	running    sync.WaitGroup

	mu     sync.Mutex
	closed bool
	seats  []*attempt // nil where nobody is
}

// attempt is one connection from its joining to its end.
type attempt struct {
	ctx    context.Context // ends the joining
	cancel context.CancelFunc
	told   chan struct{} // closed when done has been called and OnFrame and OnEnd may be

	// Guarded by the swarm's lock.
	viewer *Viewer // nil while joining
	gone   bool    // was cut while joining
}

func newGoroutineSwarm(cfg SwarmConfig) *goroutineSwarm {
	s := &goroutineSwarm{cfg: cfg, handshakes: make(chan struct{}, cfg.Handshakes), seats: make([]*attempt, cfg.Viewers)}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// start runs f unless the swarm is closed; Close waits for it. The caller holds mu.
func (s *goroutineSwarm) start(f func()) bool {
	if !s.closed {
		s.running.Go(f) // ends with its handshake, command or viewer, all of which Close ends
	}
	return !s.closed
}

func (s *goroutineSwarm) Join(i int, v ViewerConfig, done func(*proto.SessionWelcome, error)) {
	if err := s.cfg.checkNumber(i); err != nil {
		done(nil, err)
		return
	}
	a := &attempt{told: make(chan struct{})}
	a.ctx, a.cancel = context.WithCancel(s.ctx)
	s.mu.Lock()
	err := errJoined(i)
	if s.seats[i] == nil {
		err = errSwarmClosed
		if s.start(func() { s.join(i, a, completeJoin(v), done) }) {
			s.seats[i], err = a, nil
		}
	}
	s.mu.Unlock()
	if err != nil {
		a.cancel()
		done(nil, err)
	}
}

func (s *goroutineSwarm) join(i int, a *attempt, v ViewerConfig, done func(*proto.SessionWelcome, error)) {
	defer a.cancel()
	type received struct {
		frame *proto.ServerFrame
		bytes int
	}
	// Frames up to the welcome come from this goroutine and later ones from the viewer's.
	var early []received
	welcomed := false
	dropped := false // set before told is closed
	v.forgetful = true
	v.OnFrame = func(frame *proto.ServerFrame, bytes int) {
		if !welcomed {
			early = append(early, received{frame, bytes})
			welcomed = welcomeOf(frame) != nil
			return
		}
		if <-a.told; !dropped {
			s.cfg.OnFrame(i, frame, bytes)
		}
	}
	v.OnEnd = func(lost error) {
		if <-a.told; !dropped {
			s.empty(i, a)
			s.cfg.OnEnd(i, lost)
		}
	}
	viewer, err := s.connect(a, v)
	s.mu.Lock()
	dropped = err != nil || a.gone || s.closed
	a.viewer = viewer
	s.mu.Unlock()
	if dropped {
		close(a.told)
		if err == nil {
			viewer.Cut()
		}
		if err == nil || a.ctx.Err() != nil {
			err = fmt.Errorf("join %s: %w", v.URL, ErrCut)
		}
		s.empty(i, a)
		done(nil, err)
		return
	}
	done(viewer.Welcome(), nil)
	for _, r := range early {
		s.cfg.OnFrame(i, r.frame, r.bytes)
	}
	close(a.told)
	<-viewer.Done()
}

// connect joins when its turn has come.
func (s *goroutineSwarm) connect(a *attempt, v ViewerConfig) (*Viewer, error) {
	select {
	case s.handshakes <- struct{}{}:
		defer func() { <-s.handshakes }()
		return Join(a.ctx, v)
	case <-a.ctx.Done():
		return nil, a.ctx.Err()
	}
}

// empty frees the seat for the next connection.
func (s *goroutineSwarm) empty(i int, a *attempt) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seats[i] == a {
		s.seats[i] = nil
	}
}

func (s *goroutineSwarm) Send(i int, cmd *proto.Command, done func(*proto.Reply, error)) {
	err := s.cfg.checkNumber(i)
	if err == nil {
		err = ErrCut
		s.mu.Lock()
		if a := s.seats[i]; a != nil && a.viewer != nil {
			if s.start(func() { s.send(a.viewer, cmd, done) }) {
				err = nil
			}
		}
		s.mu.Unlock()
	}
	if err != nil && done != nil {
		done(nil, err)
	}
}

func (s *goroutineSwarm) send(v *Viewer, cmd *proto.Command, done func(*proto.Reply, error)) {
	if done == nil {
		if cmd.RequestId == "" {
			cmd.RequestId = NewRequestID()
		}
		v.Send(cmd) // nobody wants to know; the end of the connection is told anyway
		return
	}
	reply, err := v.Do(s.ctx, cmd)
	if errors.Is(err, context.Canceled) {
		err = ErrCut
	}
	done(reply, err)
}

func (s *goroutineSwarm) Cut(i int)   { s.leave(i, (*Viewer).Cut) }
func (s *goroutineSwarm) Leave(i int) { s.leave(i, (*Viewer).Close) }

func (s *goroutineSwarm) leave(i int, end func(*Viewer)) {
	if s.cfg.checkNumber(i) != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch a := s.seats[i]; {
	case a == nil:
	case a.viewer == nil:
		a.gone = true
		a.cancel()
	default:
		s.start(func() { end(a.viewer) })
	}
}

func (s *goroutineSwarm) Close() error {
	s.mu.Lock()
	for _, a := range s.seats {
		if a != nil && a.viewer != nil {
			s.start(a.viewer.Cut)
		}
	}
	s.closed = true
	s.mu.Unlock()
	s.cancel()
	s.running.Wait()
	return nil
}
