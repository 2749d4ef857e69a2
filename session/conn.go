package session

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"livecart/proto"
)

// Conn is one viewer's connection in one room. A shard owns its socket and what waits for it; the rest
// of the package only hands in what goes out and is handed what came in.
type Conn struct {
	// Fixed after construction.
	gw      *Gateway
	room    *audience
	shard   *shard
	entered *Viewer  // as the connection began; presence counts this one
	userID  string   // empty for an anonymous viewer
	section *section // of the room; its lock guards what is in it
	format  proto.Format

	// Any goroutine.
	viewer   atomic.Pointer[Viewer] // session_refresh replaces it
	lastRead atomic.Int64           // Unix nanoseconds

	// Owned by the reader.
	pace      pace
	resumedAt time.Time // when a session_resume was answered last
	in        intake

	// Guarded by shard.mu.
	queue     queue
	sock      socket // nil until the handshake is over
	rest      []byte // what the socket did not take of a message
	corked    bool   // what is queued waits for the end of a reading, or of a walk's step that writes rest
	state     connState
	known     bool      // by the gateway, which has to forget it then
	place     int       // in shard.conns
	row       *row      // of the room
	slot      int       // in row
	seen      uint64    // number of the room's newest segment that was handed to it, or is in its welcome
	counted   int       // of what waits, by the shard
	stuckAt   time.Time // since when rest waits; zero where it does not
	endBy     time.Time // when the socket is closed whatever the client does; zero while it is open
	heldBytes int       // of a message that has not come whole yet
	heldUntil time.Time // when that must be there
	pingAt    time.Time
	warnedFor time.Time // the expiry that was announced

	// Guarded by mu: the commands that run.
	mu      sync.Mutex
	running int
	line    []func() // ordered ones that wait for the one before
	inLine  bool     // whether one of them runs
	leaving bool     // no more commands; closes with the last one's answer
}

// connState is how far a connection has come.
type connState uint8

const (
	open    connState = iota
	parting           // the close frame is being written
	closing           // nothing more is written: the client's end is awaited
	gone              // the socket is closed
)

func newConn(g *Gateway, room *audience, s *shard, v Viewer, f proto.Format, now time.Time) *Conn {
	c := &Conn{
		gw: g, room: room, shard: s, entered: &v, format: f,
		queue:  newQueue(f, g.cfg.QueueBytes),
		pace:   newPace(g.cfg.CommandRate, g.cfg.CommandBurst),
		pingAt: now.Add(firstPing(g.cfg.PingInterval)),
	}
	if !v.Anonymous {
		c.userID = v.ID
	}
	c.viewer.Store(c.entered)
	c.lastRead.Store(now.UnixNano())
	return c
}

// Viewer returns who is behind the connection, by the newest token.
func (c *Conn) Viewer() Viewer { return *c.viewer.Load() }

// send sends a frame to this viewer alone; the frame is the connection's from then on.
func (c *Conn) send(frame *proto.ServerFrame) {
	if frameSize(c.format, frame) <= mergeBytes {
		c.shard.mu.Lock()
		defer c.shard.mu.Unlock()
		c.sendLocked(frame)
		return
	}
	// Not while the shard waits.
	m, err := encodeMessage(c.format, frame)
	if err != nil {
		c.gw.cfg.Log.Error("a frame was lost", "err", err)
		return
	}
	c.shard.mu.Lock()
	defer c.shard.mu.Unlock()
	c.pushed(c.queue.pushMessage(m))
}

func (c *Conn) sendLocked(frame *proto.ServerFrame) {
	lost, ok := c.queue.pushOwn(frame)
	c.pushed(lost, ok)
}

// sendControl sends a control frame of gorilla's, whole and with a short payload. A close frame is an
// ending like ours: nothing may follow it.
func (c *Conn) sendControl(frame []byte) {
	c.shard.mu.Lock()
	defer c.shard.mu.Unlock()
	if frame[0]&0xf == websocket.CloseMessage {
		e := ending{code: websocket.CloseNoStatusReceived, flush: true, linger: true} // an empty frame
		if payload := frame[2:]; len(payload) >= 2 {
			e.code, e.text = int(binary.BigEndian.Uint16(payload)), string(payload[2:])
		}
		c.finish(e)
		return
	}
	lost, ok := c.queue.pushMessage(&message{bytes: frame, size: len(frame) + itemBytes})
	c.pushed(lost, ok)
}

// pushed goes on after something was queued. Called with the shard's lock, like all below that say
// nothing else.
func (c *Conn) pushed(lost int, ok bool) {
	if lost > 0 {
		c.gw.metrics.skipped.Add(float64(lost))
	}
	if !ok {
		c.finishSlow()
	}
	c.pump()
	c.settle()
}

// settle has the shard count what waits here, and closes a viewer who is behind when all of them
// together are too much.
func (c *Conn) settle() {
	c.count()
	if c.shard.backlog > c.shard.maxBacklog && c.queue.stuck && !c.queue.ended() {
		c.finishSlow()
		c.count()
	}
}

func (c *Conn) count() {
	if c.state == gone {
		return // remove has counted it out
	}
	waits := c.queue.load()
	c.shard.backlog += waits - c.counted
	c.counted = waits
}

// shut closes the connection after what is queued. The first call decides code and text. It takes
// the shard's lock, as do shutAtOnce and over.
func (c *Conn) shut(code int, text string) {
	c.shard.mu.Lock()
	defer c.shard.mu.Unlock()
	c.finish(ending{code: code, text: text, flush: true})
}

// shutAtOnce closes the socket, whatever is queued.
func (c *Conn) shutAtOnce() {
	c.shard.mu.Lock()
	defer c.shard.mu.Unlock()
	c.drop()
}

// over reports whether the connection takes nothing any more.
func (c *Conn) over() bool {
	c.shard.mu.Lock()
	defer c.shard.mu.Unlock()
	return c.queue.ended()
}

func (c *Conn) finish(e ending) bool {
	if !c.queue.finish(e) {
		return false
	}
	wait := closeWait
	if e.flush {
		wait += c.gw.cfg.WriteTimeout
	}
	c.endBy = time.Now().Add(wait)
	c.pump()
	c.count()
	return true
}

// finishSlow closes the connection of a viewer that reads too slowly; what is queued is lost.
func (c *Conn) finishSlow() {
	if c.finish(ending{code: CloseSlowConsumer, text: "slow_consumer"}) {
		c.gw.metrics.slowClosed.Inc()
	}
}

// broadcast hands a flush of the room over, and returns how many comments the viewer loses by it.
func (c *Conn) broadcast(b *broadcast) (lost int) {
	lost, ok := c.queue.pushRoom(b)
	if !ok {
		c.finishSlow()
	}
	if c.pumpLater() {
		return lost
	}
	c.pump()
	if c.queue.stuck {
		c.settle()
	}
	return lost
}

// pumpLater is pump for one of many: what is next is written together with what others of this step of a
// walk are sent. False where the socket does not do that.
func (c *Conn) pumpLater() bool {
	if c.sock == nil || c.corked || c.queue.stuck || c.state > parting || len(c.rest) == 0 && !c.next() {
		return false
	}
	c.corked = c.sock.writeLater(c)
	return c.corked
}

// wroteLater goes on after a writeLater.
func (c *Conn) wroteLater(n int, err error) {
	c.corked = false
	if c.wrote(n, err) {
		c.pump()
	}
	c.settle()
}

// begin gives the connection its socket. The answer to the handshake and the welcome are one write.
func (c *Conn) begin(sock socket, answer []byte) {
	if c.state == gone {
		sock.close()
		return
	}
	c.sock = sock
	if c.next(); c.state == gone {
		return
	}
	if _, later := sock.(*asyncSocket); later {
		c.rest = append(answer, c.rest...)
		c.pump()
		return
	}
	// Nearly always the socket takes both at once, so they are put together where the shard does that.
	c.shard.hello = append(append(c.shard.hello[:0], answer...), c.rest...)
	c.rest = c.shard.hello
	if c.pump(); len(c.rest) > 0 && c.queue.stuck {
		c.rest = bytes.Clone(c.rest)
	}
	c.count()
}

// pump writes what is queued as far as the socket takes it.
func (c *Conn) pump() {
	if c.sock == nil || c.corked {
		return
	}
	for c.state <= parting && !c.queue.stuck {
		if len(c.rest) == 0 && !c.next() {
			return
		}
		if !c.wrote(c.sock.write(c.rest)) {
			return
		}
	}
}

// wrote goes on after rest was offered to the socket; false where that ended the writing.
func (c *Conn) wrote(n int, err error) bool {
	if err != nil {
		c.drop()
		return false
	}
	if c.rest = c.rest[n:]; len(c.rest) > 0 {
		c.queue.stuck = true
		if c.stuckAt.IsZero() {
			c.stuckAt = time.Now()
		}
		return false
	}
	c.rest, c.stuckAt = nil, time.Time{}
	if c.state == parting {
		c.awaitEnd()
	}
	return true
}

// next puts the next message into rest; false where there is none.
func (c *Conn) next() bool {
	w := c.queue.next()
	switch {
	case w.ping:
		c.rest = pingFrame
	case w.msg != nil:
		c.rest = w.msg.bytes
	case w.own != nil:
		m, err := encodeMessage(c.format, w.own)
		if err != nil {
			c.gw.cfg.Log.Error("a frame was lost", "err", err)
			return c.next()
		}
		c.rest = m.bytes
	case w.end == nil:
	case w.end.code != 0:
		c.state = parting
		c.rest = frameBytes(websocket.CloseMessage, websocket.FormatCloseMessage(w.end.code, w.end.text))
	case w.end.linger:
		c.awaitEnd()
	default:
		c.drop()
	}
	return len(c.rest) > 0
}

var pingFrame = frameBytes(websocket.PingMessage, nil)

// awaitEnd leaves the client a moment for its answer to the close frame.
func (c *Conn) awaitEnd() {
	c.state = closing
	c.endBy = time.Now().Add(closeWait)
	if c.queue.end.linger {
		c.sock.endWrites()
	}
}

// writable tells that the socket takes more again, or why it does not.
func (c *Conn) writable(err error) {
	if c.state == gone {
		return
	}
	var failed net.Error
	if errors.As(err, &failed) && failed.Timeout() {
		c.finishSlow()
	}
	if err != nil {
		c.drop()
		return
	}
	c.queue.stuck = false
	c.pump()
	c.settle()
}

// drop closes the socket and takes the connection off its shard, which has the gateway forget it.
func (c *Conn) drop() {
	if c.state == gone {
		return
	}
	c.state = gone
	c.queue.finish(ending{})
	c.rest = nil
	c.shard.remove(c)
	if c.sock != nil {
		c.sock.close()
	}
}
