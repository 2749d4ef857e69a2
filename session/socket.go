package session

import (
	"errors"
	"io"
	"net"
	"time"

	"github.com/gorilla/websocket"

	"livecart/proto"
)

const (
	// closeWait is how long a client has to answer a close frame, and a refused one to read it.
	closeWait = 2 * time.Second
	// lingerBytes is how much of a refused message is read away so that the close frame arrives.
	lingerBytes = 1 << 20
)

// serve reads until the connection is over, then takes it out of everything. Its writer has ended
// when it returns.
func (c *Conn) serve() {
	c.ws.SetReadLimit(proto.MaxClientFrame)
	c.ws.SetPongHandler(func(string) error {
		c.lastRead.Store(time.Now().UnixNano())
		return nil
	})
	written := make(chan struct{})
	// Ends when the queue is finished or the socket closed, both below.
	go func() {
		defer close(written)
		c.write()
	}()
	err := c.read()
	c.queue.finish(ending{})
	c.gw.gone(c)
	if errors.Is(err, websocket.ErrReadLimit) {
		// The writer first, or its last word on the read deadline cuts the lingering short. It ends by
		// itself: within its timeout where a message is being written, else at once.
		<-written
		c.linger()
	}
	c.ws.Close()
	<-written
}

func (c *Conn) read() error {
	for {
		_, data, err := c.ws.ReadMessage()
		if err != nil {
			return err
		}
		c.lastRead.Store(time.Now().UnixNano())
		if !c.queue.ended() {
			c.receive(data)
		}
	}
}

// linger lets a client that is still sending read why it is refused: closing at once would reset
// the connection and lose the close frame.
func (c *Conn) linger() {
	half, ok := c.ws.NetConn().(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	_ = c.ws.NetConn().SetReadDeadline(time.Now().Add(closeWait))
	_, _ = io.Copy(io.Discard, io.LimitReader(c.ws.NetConn(), lingerBytes))
}

// write sends what is queued until the queue is finished or the socket fails.
func (c *Conn) write() {
	for {
		w := c.queue.next()
		var err error
		switch {
		case w.ping:
			err = c.ws.WriteControl(websocket.PingMessage, nil, time.Now().Add(c.gw.cfg.WriteTimeout))
		case w.msg != nil:
			err = c.writeMessage(w.msg)
		case w.own != nil:
			var m *message
			if m, err = encodeMessage(c.format, w.own); err != nil {
				c.gw.cfg.Log.Error("a frame was lost", "err", err)
				err = nil
				continue
			}
			err = c.writeMessage(m)
		case w.end != nil:
			c.writeClose(w.end)
			return
		default:
			<-c.queue.wake
			continue
		}
		if err != nil {
			c.fail(err)
			return
		}
	}
}

func (c *Conn) writeMessage(m *message) error {
	if err := c.ws.SetWriteDeadline(time.Now().Add(c.gw.cfg.WriteTimeout)); err != nil {
		return err
	}
	return c.ws.WritePreparedMessage(m.prepared)
}

// writeClose says goodbye and leaves the reader a moment for the client's answer.
func (c *Conn) writeClose(e *ending) {
	if e.code != 0 {
		goodbye := websocket.FormatCloseMessage(e.code, e.text)
		if c.ws.WriteControl(websocket.CloseMessage, goodbye, time.Now().Add(closeWait)) == nil {
			_ = c.ws.SetReadDeadline(time.Now().Add(closeWait))
			return
		}
	}
	_ = c.ws.SetReadDeadline(time.Now())
}

// fail ends a connection that cannot be written to. A viewer that did not read for a whole write
// timeout is as slow as one whose queue is full.
func (c *Conn) fail(err error) {
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		c.shutSlow()
	}
	c.queue.finish(ending{})
	_ = c.ws.SetReadDeadline(time.Now())
}
