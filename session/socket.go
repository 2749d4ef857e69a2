package session

import (
	"bufio"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
)

// socket is a connection's way out. Its methods are called with the lock of the connection's shard,
// and none of them blocks.
type socket interface {
	// write offers bytes, which are not changed afterwards, and returns how many were taken. Fewer than
	// all, without an error: there is no more room, and Conn.writable is called when there is.
	write(p []byte) (int, error)
	// writeLater is a write of the connection's rest at the end of the walk's step: the shard's lock is held
	// up to Conn.wroteLater. False: the socket writes at once or not at all.
	writeLater(*Conn) bool
	// endWrites tells the client that nothing more comes. What it sends can still be read.
	endWrites()
	// close gives the socket up at once.
	close()
}

// wire is the net.Conn under a gorilla connection, which we use for its handshake and to read. What
// gorilla writes by itself, once the handshake is over, are control frames: they take their turn in
// the connection's queue, or they would land in the middle of a frame that is half written.
type wire struct {
	net.Conn        // what was hijacked; nil for a frameReader
	owner    *Conn  // whose frames are read; nil during the handshake
	answer   []byte // to the handshake: it goes out together with the welcome, in one write
	fed      bool   // reads come from feed
	feed     []byte // whole frames
}

// errStarved says that gorilla asked for more than the whole frames that it was given.
var errStarved = errors.New("session: a frame was cut at the wrong place")

func (w *wire) Read(p []byte) (int, error) {
	if !w.fed {
		return w.Conn.Read(p)
	}
	if len(w.feed) == 0 {
		return 0, errStarved
	}
	n := copy(p, w.feed)
	w.feed = w.feed[n:]
	return n, nil
}

func (w *wire) Write(p []byte) (int, error) {
	if w.owner == nil {
		w.answer = append(w.answer, p...)
		return len(p), nil
	}
	w.owner.sendControl(append([]byte(nil), p...))
	return len(p), nil
}

// SetDeadline and SetWriteDeadline are for writes that wait, and none does.
func (*wire) SetDeadline(time.Time) error      { return nil }
func (*wire) SetWriteDeadline(time.Time) error { return nil }

// Close closes what was hijacked, as far as it is not taken over.
func (w *wire) Close() error {
	if w.Conn == nil {
		return nil
	}
	return w.Conn.Close()
}

// turnAway answers the handshake and closes the socket, which no connection was made of.
func (w *wire) turnAway(code int, text string) {
	w.answer = append(w.answer, frameBytes(websocket.CloseMessage, websocket.FormatCloseMessage(code, text))...)
	// Who does not read it sees the end of the socket.
	_ = w.Conn.SetWriteDeadline(time.Now().Add(leastGoodbye))
	_, _ = w.Conn.Write(w.answer)
	w.Conn.Close()
}

// hijacker puts a wire under the connection that gorilla takes over.
type hijacker struct {
	http.ResponseWriter
	wire *wire
}

func (h hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffered, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	h.wire.Conn = conn
	return h.wire, buffered, nil
}

// asyncSocket writes with a goroutine of its own: for TLS, and for systems without a loop of ours. It
// takes one write at a time, whole, and is full until that is done.
type asyncSocket struct {
	conn    net.Conn
	timeout time.Duration
	out     chan []byte // of one
	closed  atomic.Bool

	// Guarded by the shard's lock.
	busy   bool // until the write is through, for good after the last one
	ending bool // the end is to follow the write that is under way
}

func newAsyncSocket(conn net.Conn, timeout time.Duration) *asyncSocket {
	return &asyncSocket{conn: conn, timeout: timeout, out: make(chan []byte, 1)}
}

func (s *asyncSocket) write(p []byte) (int, error) {
	switch {
	case s.closed.Load():
		return 0, net.ErrClosed
	case s.busy:
		return 0, nil
	}
	s.busy = true
	s.out <- p // has room: run has taken what was there before
	return len(p), nil
}

func (*asyncSocket) writeLater(*Conn) bool { return false }

// endWrites has run do it, as a TLS connection says so to its peer, which may take a moment.
func (s *asyncSocket) endWrites() {
	switch {
	case s.closed.Load():
	case s.busy:
		s.ending = true
	default:
		s.busy = true
		s.out <- nil
	}
}

// written tells that run is through with a write.
func (s *asyncSocket) written() {
	s.busy = false
	if s.ending {
		s.ending = false
		s.endWrites()
	}
}

func (s *asyncSocket) close() {
	if s.closed.Swap(true) {
		return
	}
	close(s.out)
	// Reads end now, and a write that is under way, maybe of a close frame, soon; run closes the socket.
	_ = s.conn.SetReadDeadline(time.Unix(1, 0))
	_ = s.conn.SetWriteDeadline(time.Now().Add(leastGoodbye))
}

// run writes until the socket is closed. done is told of each write that has ended.
func (s *asyncSocket) run(done func(error)) {
	for p := range s.out {
		_ = s.conn.SetWriteDeadline(time.Now().Add(s.timeout))
		if s.closed.Load() {
			_ = s.conn.SetWriteDeadline(time.Now().Add(leastGoodbye))
		}
		if p != nil {
			_, err := s.conn.Write(p)
			done(err)
		} else if half, ok := s.conn.(interface{ CloseWrite() error }); ok {
			s.bounded(half.CloseWrite)
		}
	}
	s.bounded(s.conn.Close)
}

// bounded says goodbye over TLS, for which crypto/tls gives a full socket five seconds whatever deadline
// is set. What fails ends with the socket.
func (s *asyncSocket) bounded(goodbye func() error) {
	if secure, ok := s.conn.(*tls.Conn); ok {
		defer time.AfterFunc(leastGoodbye, func() { secure.NetConn().Close() }).Stop()
	}
	_ = goodbye()
}

// linger reads away what a refused client is still sending, so that the close frame arrives: closing
// at once would reset the connection and lose it.
func linger(conn net.Conn) {
	_ = conn.SetReadDeadline(time.Now().Add(closeWait))
	_, _ = io.Copy(io.Discard, io.LimitReader(conn, lingerBytes))
}
