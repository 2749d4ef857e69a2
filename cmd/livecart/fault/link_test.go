package fault

import (
	"bytes"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// direction is one of the two ways of a link.
type direction int

const (
	up   direction = iota // from the one who dialled to the server
	down                  // from the server to the one who dialled
)

// link carries TCP connections to a server and breaks when told to, as networks do:
//
//	cut    connections break, new ones are refused
//	drop   connections break, new ones are carried
//	hold   the bytes of one direction stay where they are (half-open); of both: a black hole
//	slow   each piece of one direction comes later
//
// What is held comes through with mend, or is lost with cut and drop. A trap acts when bytes pass by.
// Safe for concurrent use.
type link struct {
	listener net.Listener

	mu      sync.Mutex
	network string // of the server
	address string
	refuses bool
	held    [2]bool
	delay   [2]time.Duration
	traps   []*trap
	carried map[*carriage]struct{}
	// Closed and replaced with each change of the above, for those who wait for one.
	changed chan struct{}

	carriers sync.WaitGroup
}

// trap waits for text in the bytes of one direction. Just before those are passed on, act is called
// once; it may hold either direction.
type trap struct {
	way    direction
	after  []byte    // what its connection must carry before; nil for nothing
	on     *carriage // the connection that carried it last
	text   []byte
	act    func(seen []byte)
	sprung chan struct{}
}

// newLink returns a link to a server at host:port, or at the path of a unix socket. It ends with the test.
func newLink(t testing.TB, server string) *link {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &link{listener: listener, carried: map[*carriage]struct{}{}, changed: make(chan struct{})}
	l.aim(server)
	l.carriers.Go(l.accept) // ends when the listener closes
	t.Cleanup(func() {
		listener.Close()
		l.cut()
		l.carriers.Wait()
	})
	return l
}

// near is where the link is dialled, host:port.
func (l *link) near() string { return l.listener.Addr().String() }

// far is where the link leads.
func (l *link) far() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.address
}

func (l *link) change(fn func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fn()
	close(l.changed)
	l.changed = make(chan struct{})
}

// aim sends later connections to another server.
func (l *link) aim(server string) {
	l.change(func() {
		l.network, l.address = "tcp", server
		if strings.HasPrefix(server, "/") {
			l.network = "unix"
		}
	})
}

func (l *link) cut() {
	l.change(func() {
		l.refuses = true
		l.breakAll()
	})
}

func (l *link) drop() { l.change(l.breakAll) }

func (l *link) breakAll() {
	for c := range l.carried {
		c.end()
	}
}

func (l *link) hold(ways ...direction) {
	l.change(func() {
		for _, way := range ways {
			l.held[way] = true
		}
	})
}

func (l *link) slow(way direction, by time.Duration) { l.change(func() { l.delay[way] = by }) }

// mend ends all faults and takes the traps away.
func (l *link) mend() {
	l.change(func() { l.refuses, l.held, l.delay, l.traps = false, [2]bool{}, [2]time.Duration{}, nil })
}

// onSight calls act once, just before bytes with this text are passed on, and then closes the channel
// that it returns.
func (l *link) onSight(way direction, text string, act func()) <-chan struct{} {
	return l.onSightOf(way, text, func([]byte) { act() })
}

// onSightOf is onSight for an act that wants the bytes: those that are about to pass on, and some of the
// past of their connection.
func (l *link) onSightOf(way direction, text string, act func(seen []byte)) <-chan struct{} {
	t := &trap{way: way, text: []byte(text), act: act, sprung: make(chan struct{})}
	l.change(func() { l.traps = append(l.traps, t) })
	return t.sprung
}

// onSightAfter is onSight for a text on the connection that has carried another one before.
func (l *link) onSightAfter(way direction, before, text string, act func()) <-chan struct{} {
	t := &trap{way: way, after: []byte(before), text: []byte(text), act: func([]byte) { act() }, sprung: make(chan struct{})}
	l.change(func() { l.traps = append(l.traps, t) })
	return t.sprung
}

// hit reports whether bytes of a connection spring the trap.
func (t *trap) hit(way direction, c *carriage, seen []byte) bool {
	if t.way != way {
		return false
	}
	if t.after != nil {
		_, rest, now := bytes.Cut(seen, t.after)
		if now {
			t.on, seen = c, rest
		}
		if t.on != c {
			return false
		}
	}
	return bytes.Contains(seen, t.text)
}

// look springs the traps for bytes of a connection that are about to pass.
func (l *link) look(way direction, c *carriage, seen []byte) {
	var sprung []*trap
	l.mu.Lock()
	l.traps = slices.DeleteFunc(l.traps, func(t *trap) bool {
		hit := t.hit(way, c, seen)
		if hit {
			sprung = append(sprung, t)
		}
		return hit
	})
	l.mu.Unlock()
	for _, t := range sprung {
		t.act(seen)
		close(t.sprung)
	}
}

func (l *link) accept() {
	for {
		near, err := l.listener.Accept()
		if err != nil {
			return
		}
		l.carriers.Go(func() { l.carry(near) }) // ends when either side closes, at the latest with the link
	}
}

// carriage is one connection that the link carries.
type carriage struct {
	near, far net.Conn
	// Closed with the connection: bytes that are held must not keep it.
	gone chan struct{}
	once sync.Once
}

func (c *carriage) end() {
	c.once.Do(func() {
		close(c.gone)
		c.near.Close()
		c.far.Close()
	})
}

func (l *link) carry(near net.Conn) {
	l.mu.Lock()
	network, address, refuses := l.network, l.address, l.refuses
	l.mu.Unlock()
	if refuses {
		near.Close()
		return
	}
	far, err := net.Dial(network, address)
	if err != nil {
		near.Close()
		return
	}
	c := &carriage{near: near, far: far, gone: make(chan struct{})}
	defer c.end()
	if !l.keep(c) {
		return
	}
	var back sync.WaitGroup
	back.Go(func() {
		defer c.end()
		l.pump(down, far, near, c)
	})
	l.pump(up, near, far, c)
	c.end()
	back.Wait()
	l.mu.Lock()
	delete(l.carried, c)
	l.mu.Unlock()
}

// keep has a connection broken by the next cut or drop; false when the link was cut meanwhile.
func (l *link) keep(c *carriage) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.refuses {
		return false
	}
	l.carried[c] = struct{}{}
	return true
}

// longestTrap is how many bytes of the past are kept, so that a text is found over two reads.
const longestTrap = 128

// pump passes bytes on until either side closes. While they are held it reads no more, so it does not
// see a sender's end either: what a killed process had sent is lost only with a drop.
func (l *link) pump(way direction, from, to net.Conn, c *carriage) {
	// What was read stands behind the end of what was read before.
	buf := make([]byte, longestTrap+32<<10)
	kept := 0
	for {
		n, err := from.Read(buf[kept:])
		if n > 0 {
			seen := buf[:kept+n]
			l.look(way, c, seen)
			if !l.pass(way, c.gone) {
				return
			}
			if _, err := to.Write(seen[kept:]); err != nil {
				return
			}
			kept = copy(buf, seen[max(0, len(seen)-longestTrap):])
		}
		if err != nil {
			return
		}
	}
}

// pass waits until bytes may go on; false when their connection is gone.
func (l *link) pass(way direction, gone <-chan struct{}) bool {
	for {
		l.mu.Lock()
		held, delay, changed := l.held[way], l.delay[way], l.changed
		l.mu.Unlock()
		if !held {
			if delay == 0 {
				return true
			}
			select {
			case <-time.After(delay):
				return true
			case <-gone:
				return false
			}
		}
		select {
		case <-changed:
		case <-gone:
			return false
		}
	}
}
