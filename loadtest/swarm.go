package loadtest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"livecart/proto"
)

// ErrFull says that a command was not sent because the server does not read and too much waits for it.
var ErrFull = errors.New("the server does not read what the viewer sends")

// errSwarmClosed ends what is asked of a swarm that is closed.
var errSwarmClosed = fmt.Errorf("%w: the swarm is closed", ErrCut)

// Bounds of a swarm.
const (
	defaultHandshakes = 64
	// maxWaiting is how many bytes of commands may wait for one connection whose socket is full. A
	// single command is taken whatever its size when none waits.
	maxWaiting = 64 << 10
)

// SwarmConfig says how many viewers a swarm holds and who is told what happens to them.
//
// The functions are called one at a time for each viewer, from goroutines of the swarm that serve
// other viewers too: they must return soon. They may call everything of the swarm but Close.
type SwarmConfig struct {
	// Viewers is how many there are at most, numbered from 0; at least 1.
	Viewers int
	// OnFrame, if set, is called for every frame with its length in bytes. Viewers share frames that
	// say the same: they must not be changed.
	OnFrame func(i int, frame *proto.ServerFrame, bytes int)
	// OnEnd, if set, is called once for every connection that was welcomed. lost says why it ended, as a
	// *websocket.CloseError where the server said so, and is nil where the viewer ended it.
	OnEnd func(i int, lost error)
	// Handshakes is how many may be under way at once; 64 when 0.
	Handshakes int
	// Goroutines takes a goroutine and buffers for every viewer, as wss:// needs and other systems than
	// Linux always do, in place of a readiness loop.
	Goroutines bool
}

// Swarm is very many viewers in one process. On Linux an idle one costs a descriptor and some
// hundred bytes, no goroutine and no buffer. Safe for concurrent use.
type Swarm interface {
	// Join connects viewer i and calls done once: with the welcome, before OnFrame is told of it, or with
	// why there is none. JoinTimeout counts from the beginning of the handshake, which may have to wait
	// for others. The functions and the History of v are not used.
	Join(i int, v ViewerConfig, done func(*proto.SessionWelcome, error))
	// Send sends a command of viewer i and calls done once, unless it is nil: with the reply, or with
	// ErrCut, ErrNoReply or ErrFull. It never waits. A command without request_id is given one; the
	// command must not be changed before done.
	Send(i int, cmd *proto.Command, done func(*proto.Reply, error))
	// Cut ends the connection of viewer i as a lost network would, or its joining. Leave says goodbye
	// first. Both return before it has ended.
	Cut(i int)
	Leave(i int)
	// Close cuts all connections and waits until everybody has been told.
	Close() error
}

// NewSwarm returns a swarm without connections. Its goroutines end with Close.
func NewSwarm(cfg SwarmConfig) (Swarm, error) {
	if cfg.Viewers < 1 {
		return nil, fmt.Errorf("a swarm has at least 1 viewer, not %d", cfg.Viewers)
	}
	if cfg.Handshakes < 0 {
		return nil, fmt.Errorf("at least 1 handshake is under way, not %d", cfg.Handshakes)
	}
	cfg.Handshakes = cmp.Or(cfg.Handshakes, defaultHandshakes)
	if cfg.OnFrame == nil {
		cfg.OnFrame = func(int, *proto.ServerFrame, int) {}
	}
	if cfg.OnEnd == nil {
		cfg.OnEnd = func(int, error) {}
	}
	if cfg.Goroutines {
		return newGoroutineSwarm(cfg), nil
	}
	return newSwarm(cfg)
}

// completeJoin fills in the defaults of what Join was given.
func completeJoin(v ViewerConfig) ViewerConfig {
	v.JoinTimeout = cmp.Or(v.JoinTimeout, defaultJoinTimeout)
	v.ReplyTimeout = cmp.Or(v.ReplyTimeout, defaultReplyTimeout)
	v.OnEvent, v.OnFrame, v.OnEnd, v.History = nil, nil, nil, nil
	return v
}

// checkNumber says what is wrong with a viewer's number.
func (cfg SwarmConfig) checkNumber(i int) error {
	if i < 0 || i >= cfg.Viewers {
		return fmt.Errorf("viewers are numbered 0 to %d, there is no %d", cfg.Viewers-1, i)
	}
	return nil
}

// errJoined says that a viewer has a connection.
func errJoined(i int) error { return fmt.Errorf("viewer %d is joined already", i) }

// welcomeOf returns the welcome in a frame, or nil.
func welcomeOf(frame *proto.ServerFrame) *proto.SessionWelcome {
	for _, ev := range frame.Events {
		if w := ev.GetSessionWelcome(); w != nil {
			return w
		}
	}
	return nil
}

// noReply is the error of a command whose reply did not come in time.
func noReply(kind string, timeout time.Duration) error {
	return fmt.Errorf("%s: %w (%v)", kind, ErrNoReply, timeout)
}

// connector opens the connection under a handshake.
type connector func(ctx context.Context, network, addr string) (net.Conn, error)

// secure reports whether an address is one of wss.
func secure(address string) bool { return strings.HasPrefix(address, "wss:") }
