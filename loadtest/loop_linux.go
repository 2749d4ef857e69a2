package loadtest

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/gorilla/websocket"
	"golang.org/x/sys/unix"

	"livecart/proto"
)

// Sizes of a loop.
const (
	readSize  = 64 << 10 // bytes read from one socket before the next one's turn
	maxEvents = 256
)

// loop serves the connections of some viewers with one goroutine, one read buffer and one heap of
// deadlines.
type loop struct {
	cfg         SwarmConfig
	epoll, wake int
	first, step int // numbers of its viewers: first, first+step, ...
	done        chan struct{}

	// Guarded by mu: what others asked for, in order.
	mu     sync.Mutex
	asked  []func(*loop)
	closed bool

	// Owned by the goroutine of run.
	seats     []seat
	cache     *frameCache
	buf       []byte
	deadlines deadlines
	stop      bool
	err       error // readable after done
}

// seat is one viewer's place.
type seat struct {
	number  int
	fd      int      // -1 without connection
	join    *opening // until the welcome
	format  proto.Format
	timeout time.Duration // of replies
	in      messageReader
	pending []byte // what the socket did not take
	broken  bool   // writing failed: reading tells why
	asks    []*ask
	rate    int       // bytes a second that it reads; 0 for as fast as they come
	rest    *deadline // until it reads again; nil while it reads
}

// ask is a command that waits for its reply.
type ask struct {
	requestID string
	done      func(*proto.Reply, error)
	deadline  *deadline
}

// wakeEvent stands in the place of a viewer's index for the loop's own descriptor.
const wakeEvent = -1

func newLoop(cfg SwarmConfig, first, step int) (*loop, error) {
	l := &loop{cfg: cfg, first: first, step: step, done: make(chan struct{}), cache: newFrameCache(), buf: make([]byte, readSize)}
	l.seats = make([]seat, (cfg.Viewers-first+step-1)/step)
	for k := range l.seats {
		l.seats[k] = seat{number: first + k*step, fd: -1}
	}
	var err error
	if l.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, err
	}
	if l.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		unix.Close(l.epoll)
		return nil, err
	}
	err = unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, l.wake, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: wakeEvent})
	if err != nil {
		l.release()
		return nil, err
	}
	return l, nil
}

func (l *loop) release() {
	unix.Close(l.epoll)
	unix.Close(l.wake)
}

func (l *loop) seat(i int) *seat { return &l.seats[i/l.step] }

// post lets the loop do something; it reports false when the loop has ended or is about to.
func (l *loop) post(f func(*loop)) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	l.asked = append(l.asked, f)
	if len(l.asked) == 1 {
		l.rouse()
	}
	return true
}

// rouse ends the loop's wait. The counter cannot be full: it is read before it comes to two.
func (l *loop) rouse() { unix.Write(l.wake, []byte{1, 0, 0, 0, 0, 0, 0, 0}) }

// close ends all connections and waits for the loop.
func (l *loop) close() error {
	l.mu.Lock()
	if !l.closed {
		l.closed = true
		l.asked = append(l.asked, (*loop).endAll)
		l.rouse()
	}
	l.mu.Unlock()
	<-l.done
	return l.err
}

func (l *loop) endAll() {
	for k := range l.seats {
		l.cut(&l.seats[k])
	}
	l.stop = true
}

func (l *loop) run() {
	defer close(l.done)
	defer l.release()
	events := make([]unix.EpollEvent, maxEvents)
	for !l.stop {
		n, err := unix.EpollWait(l.epoll, events, l.patience())
		if err != nil && err != unix.EINTR {
			l.err = fmt.Errorf("wait for sockets: %w", err)
			l.mu.Lock()
			l.closed = true
			l.mu.Unlock()
			l.doAsked()
			l.endAll()
			return
		}
		for _, ev := range events[:max(n, 0)] {
			l.ready(ev)
		}
		// Only now, so that no event of this round meets another connection on its descriptor.
		l.doAsked()
		l.deadlines.expire(time.Now())
	}
}

// patience is how long to wait for sockets, in milliseconds.
func (l *loop) patience() int {
	at, ok := l.deadlines.next()
	if !ok {
		return -1
	}
	return int(min(max(time.Until(at)+time.Millisecond-1, 0), time.Hour) / time.Millisecond)
}

func (l *loop) ready(ev unix.EpollEvent) {
	if ev.Fd == wakeEvent {
		var counter [8]byte
		unix.Read(l.wake, counter[:]) // doAsked follows
		return
	}
	s := &l.seats[ev.Fd]
	if ev.Events&unix.EPOLLOUT != 0 {
		l.flush(s)
	}
	if ev.Events&^unix.EPOLLOUT != 0 {
		l.read(s)
	}
}

func (l *loop) doAsked() {
	l.mu.Lock()
	asked := l.asked
	l.asked = nil
	l.mu.Unlock()
	for _, f := range asked {
		f(l)
	}
}

// join takes the seat and has the handshake made.
func (l *loop) join(j *opening, begin func(*opening)) {
	s := l.seat(j.number)
	if s.fd >= 0 || s.join != nil {
		j.tell(nil, errJoined(j.number))
		return
	}
	s.join = j
	begin(j)
}

// refused takes in that the handshake failed.
func (l *loop) refused(j *opening, err error) {
	if s := l.seat(j.number); s.join == j { // else it was cut meanwhile
		l.end(s, err)
	}
}

// connected takes over a connection, which must bring a welcome in time.
func (l *loop) connected(j *opening, c readyConn, until time.Time) {
	s := l.seat(j.number)
	if s.join != j { // was cut meanwhile
		c.close()
		return
	}
	s.fd, s.format, s.timeout, s.rate = c.fd, j.cfg.Format, j.cfg.ReplyTimeout, j.cfg.ReadRate
	event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(j.number / l.step)}
	if err := unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, s.fd, &event); err != nil {
		l.end(s, fmt.Errorf("watch the socket: %w", err))
		return
	}
	j.welcome = l.deadlines.add(until, func() { l.end(s, fmt.Errorf("no welcome in %v", j.cfg.JoinTimeout)) })
	l.take(s, c.rest)
}

// read takes what one socket has, up to the size of the buffer; the loop comes back for the rest.
func (l *loop) read(s *seat) {
	if s.fd < 0 {
		return // ended while its pending bytes were written
	}
	kept := len(s.in.partial)
	if len(l.buf) < kept+readSize {
		l.buf = make([]byte, kept+readSize)
	}
	copy(l.buf, s.in.partial)
	most := readSize
	if s.rate > 0 {
		most = min(slowRead(s.rate), readSize)
	}
	n, err := unix.Read(s.fd, l.buf[kept:kept+most])
	switch {
	case err == unix.EAGAIN || err == unix.EINTR:
	case err != nil:
		l.end(s, fmt.Errorf("read: %w", err))
	case n == 0:
		l.end(s, &websocket.CloseError{Code: websocket.CloseAbnormalClosure, Text: io.ErrUnexpectedEOF.Error()})
	default:
		if s.rate > 0 {
			l.pause(s, slowPause(s.rate, n))
		}
		l.take(s, l.buf[:kept+n])
	}
}

// pause lets a slow reader read nothing for a time.
func (l *loop) pause(s *seat, d time.Duration) {
	if s.rest != nil {
		return // the connection has ended, and what is left of it is read at once
	}
	s.rest = l.deadlines.add(time.Now().Add(d), func() {
		s.rest = nil
		l.watch(s)
	})
	l.watch(s)
}

// errOver ends the reading of a connection that has ended.
var errOver = errors.New("the connection is over")

// take works off what came, with what was kept of before in front.
func (l *loop) take(s *seat, data []byte) {
	err := s.in.read(data, func(opcode byte, payload []byte) error {
		switch opcode {
		case opPing:
			l.write(s, appendClientFrame(nil, opPong, payload)) // one that does not fit is not worth the connection
		case opPong:
		case opClose:
			code := payload[:min(len(payload), 2)] // which is the answer
			l.write(s, appendClientFrame(nil, opClose, code))
			l.end(s, closeError(payload))
			return errOver
		default:
			return l.message(s, payload)
		}
		return nil
	})
	if err != nil && err != errOver {
		l.write(s, appendClientFrame(nil, opClose, websocket.FormatCloseMessage(websocket.CloseProtocolError, "")))
		l.end(s, err)
	}
}

func (l *loop) message(s *seat, data []byte) error {
	frame, err := l.cache.decode(s.format, data)
	if err != nil {
		return err
	}
	if s.join != nil {
		if w := welcomeOf(frame); w != nil {
			j := s.join
			s.join = nil
			l.deadlines.remove(j.welcome)
			j.tell(w, nil)
		}
	}
	l.cfg.OnFrame(s.number, frame, len(data))
	for _, r := range frame.Replies {
		l.reply(s, r)
	}
	return nil
}

func (l *loop) reply(s *seat, r *proto.Reply) {
	for k, a := range s.asks {
		if a.requestID == r.RequestId {
			l.forget(s, k)
			a.done(r, nil)
			return
		}
	}
}

// forget takes a command off those that wait, and keeps their order.
func (l *loop) forget(s *seat, k int) {
	l.deadlines.remove(s.asks[k].deadline)
	s.asks = append(s.asks[:k], s.asks[k+1:]...)
	if len(s.asks) == 0 {
		s.asks = nil // and its memory
	}
}

func (l *loop) send(i int, cmd *proto.Command, done func(*proto.Reply, error)) {
	s := l.seat(i)
	if s.fd < 0 || s.join != nil {
		done(nil, ErrCut)
		return
	}
	if cmd.RequestId == "" {
		cmd.RequestId = NewRequestID()
	}
	data, err := proto.Encode(s.format, &proto.ClientFrame{Commands: []*proto.Command{cmd}})
	if err != nil {
		done(nil, err)
		return
	}
	opcode := byte(opBinary)
	if s.format == proto.JSON {
		opcode = opText
	}
	if !l.write(s, appendClientFrame(nil, opcode, data)) {
		done(nil, fmt.Errorf("%s: %w", cmd.Kind(), ErrFull))
		return
	}
	a := &ask{requestID: cmd.RequestId, done: done}
	kind, timeout := cmd.Kind(), s.timeout
	a.deadline = l.deadlines.add(time.Now().Add(timeout), func() {
		for k := range s.asks {
			if s.asks[k] == a {
				l.forget(s, k)
				break
			}
		}
		done(nil, noReply(kind, timeout))
	})
	s.asks = append(s.asks, a)
}

// write sends a whole frame, now or when the socket takes it, and reports false when too much waits.
func (l *loop) write(s *seat, frame []byte) bool {
	if s.broken {
		return true
	}
	if len(s.pending) > 0 {
		if len(s.pending)+len(frame) > maxWaiting {
			return false
		}
		s.pending = append(s.pending, frame...)
		return true
	}
	if rest := l.writeSome(s, frame); len(rest) > 0 {
		s.pending = rest
		l.watch(s)
	}
	return true
}

// writeSome returns what the socket does not take now.
func (l *loop) writeSome(s *seat, data []byte) []byte {
	for len(data) > 0 {
		n, err := unix.Write(s.fd, data)
		if err == unix.EAGAIN {
			break
		}
		if err != nil && err != unix.EINTR {
			s.broken = true // a close frame may be there to be read, which says more than this error
			return nil
		}
		data = data[max(n, 0):]
	}
	return data
}

// flush writes what waits.
func (l *loop) flush(s *seat) {
	if s.pending = l.writeSome(s, s.pending); len(s.pending) == 0 {
		s.pending = nil // and its memory
		l.watch(s)
	}
}

// watch has the loop wait for what the seat needs now.
func (l *loop) watch(s *seat) {
	events := uint32(0)
	if s.rest == nil {
		events |= unix.EPOLLIN
	}
	if len(s.pending) > 0 {
		events |= unix.EPOLLOUT
	}
	event := unix.EpollEvent{Events: events, Fd: int32(s.number / l.step)}
	if err := unix.EpollCtl(l.epoll, unix.EPOLL_CTL_MOD, s.fd, &event); err != nil {
		s.broken = true // cannot be: the socket is watched
	}
}

// cut ends the connection or joining of a seat without a word.
func (l *loop) cut(s *seat) {
	if s.fd >= 0 || s.join != nil {
		l.end(s, nil)
	}
}

// leave says goodbye where the socket takes it, and ends the connection.
func (l *loop) leave(s *seat) {
	if s.fd >= 0 && len(s.pending) == 0 {
		l.write(s, appendClientFrame(nil, opClose, websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")))
	}
	l.cut(s)
}

// end closes the connection, empties the seat and tells everybody; a nil error is an own end.
func (l *loop) end(s *seat, lost error) {
	old := *s
	*s = seat{number: old.number, fd: -1}
	if old.fd >= 0 {
		unix.Close(old.fd) // which also ends the watching
	}
	if old.rest != nil {
		l.deadlines.remove(old.rest)
	}
	for _, a := range old.asks {
		l.deadlines.remove(a.deadline)
		a.done(nil, ErrCut)
	}
	if old.join == nil {
		l.cfg.OnEnd(old.number, lost)
		return
	}
	if old.join.welcome != nil {
		l.deadlines.remove(old.join.welcome)
		if lost != nil {
			lost = fmt.Errorf("no welcome: %w", lost)
		}
	}
	if lost == nil {
		lost = ErrCut
	}
	old.join.tell(nil, lost)
}
