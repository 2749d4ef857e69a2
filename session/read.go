package session

import (
	"errors"
	"io"
	"net"
	"time"
	"unicode/utf8"

	"github.com/gorilla/websocket"
)

// beginReading has what is sent wait for endReading, so that the answers to one reading are one frame.
// Both take the shard's lock.
func (c *Conn) beginReading() {
	c.shard.mu.Lock()
	defer c.shard.mu.Unlock()
	c.corked = true
}

// endReading sends what was answered. held are the bytes that wait for the rest of a message, whole
// tells whether any message was.
func (c *Conn) endReading(held int, whole bool) {
	c.shard.mu.Lock()
	defer c.shard.mu.Unlock()
	c.corked = false
	if held == 0 {
		c.heldUntil = time.Time{}
	} else if whole || c.heldUntil.IsZero() {
		c.heldUntil = time.Now().Add(MessageTimeout)
	}
	if c.state != gone {
		c.shard.held += held - c.heldBytes
		c.heldBytes = held
	}
	c.pump()
	c.settle()
	if c.shard.held > maxHeldTotal && held > 0 {
		c.finish(ending{code: websocket.ClosePolicyViolation, text: "memory", linger: true})
	}
}

// readMessages reads until the connection is over, where no loop does.
func (c *Conn) readMessages(ws *websocket.Conn) error {
	for {
		kind, data, err := ws.ReadMessage()
		if err != nil {
			return err
		}
		c.heard()
		c.beginReading()
		c.message(kind, data)
		c.endReading(0, true)
	}
}

// message takes one message of the client. Called by the reader, without locks, as is readEnded.
func (c *Conn) message(kind int, data []byte) {
	c.heard()
	if c.over() {
		return
	}
	if kind == websocket.TextMessage && !utf8.Valid(data) {
		c.refuse(websocket.CloseInvalidFramePayloadData, "not UTF-8")
		return
	}
	c.receive(data)
}

// pinged answers a ping frame, which costs as much as a command. Beyond the limit it is not answered: the
// answer to a later one says as much.
func (c *Conn) pinged(text string) error {
	c.heard()
	if _, excess, ok := c.pace.take(time.Now()); !ok {
		c.exceeded(excess)
		return nil
	}
	c.sendControl(frameBytes(websocket.PongMessage, []byte(text)))
	return nil
}

// ponged takes a pong frame, which costs as much: we ask for few.
func (c *Conn) ponged(string) error {
	c.heard()
	if _, excess, ok := c.pace.take(time.Now()); !ok {
		c.exceeded(excess)
	}
	return nil
}

func (c *Conn) heard() { c.lastRead.Store(time.Now().UnixNano()) }

// isNetError reports whether err is the socket's own.
func isNetError(err error) bool {
	var failed *net.OpError
	return errors.As(err, &failed) || errors.Is(err, net.ErrClosed)
}

// readEnded tells that nothing can be read any more, and why. A client that broke the protocol or said
// goodbye has gorilla's close frame queued by now, but for a length that gorilla finds absurd. What it
// still sends is read away, as closing a socket over unread bytes resets it and the frame is lost.
func (c *Conn) readEnded(err error) {
	var goodbye *websocket.CloseError
	c.shard.mu.Lock()
	defer c.shard.mu.Unlock()
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), isNetError(err):
		c.drop()
	case errors.As(err, &goodbye) && c.queue.ended() && !c.queue.end.linger:
		c.drop() // the answer to ours
	case errors.As(err, &goodbye):
		c.finish(ending{flush: true, linger: true})
	case errors.Is(err, errManyFragments), errors.Is(err, errManyControls):
		c.finish(ending{code: websocket.ClosePolicyViolation, text: "too many frames", flush: true, linger: true})
	default:
		c.finish(ending{code: websocket.CloseMessageTooBig, flush: true, linger: true})
	}
}

// refuse closes the connection of a client that broke the protocol in a way that gorilla lets pass.
func (c *Conn) refuse(code int, text string) {
	c.shard.mu.Lock()
	defer c.shard.mu.Unlock()
	c.finish(ending{code: code, text: text, flush: true, linger: true})
}
