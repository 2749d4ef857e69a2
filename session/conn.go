package session

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"livecart/proto"
)

// Conn is one viewer's connection in one room. What the socket does is in socket.go; the rest of
// the package only queues what goes out and is handed what came in.
type Conn struct {
	// Fixed after construction.
	gw      *Gateway
	room    *audience
	entered Viewer // as the connection began; presence counts this one
	userID  string // empty for an anonymous viewer
	format  proto.Format
	queue   *queue
	ws      *websocket.Conn

	// Any goroutine.
	viewer   atomic.Pointer[Viewer] // session_refresh replaces it
	lastRead atomic.Int64           // Unix nanoseconds

	// Owned by the reader.
	pace pace

	// Owned by the gateway's sweep.
	pingedAt  time.Time
	warnedFor time.Time // the expiry that was announced

	// Guarded by room.mu.
	slot int // place in room.conns

	// Guarded by mu: the commands that run.
	mu      sync.Mutex
	running int
	line    []func() // ordered ones that wait for the one before
	inLine  bool     // whether one of them runs
	leaving bool     // no more commands; closes with the last one's answer
}

func newConn(g *Gateway, room *audience, v Viewer, f proto.Format, ws *websocket.Conn, now time.Time) *Conn {
	c := &Conn{
		gw: g, room: room, entered: v, format: f, ws: ws,
		queue:    newQueue(f, g.cfg.QueueBytes),
		pace:     newPace(g.cfg.CommandRate, g.cfg.CommandBurst),
		pingedAt: now,
	}
	if !v.Anonymous {
		c.userID = v.ID
	}
	c.viewer.Store(&v)
	c.lastRead.Store(now.UnixNano())
	return c
}

// Viewer returns who is behind the connection, by the newest token.
func (c *Conn) Viewer() Viewer { return *c.viewer.Load() }

// send queues a frame for this viewer alone; the frame is the queue's from then on.
func (c *Conn) send(frame *proto.ServerFrame) {
	lost, ok := c.queue.pushOwn(frame)
	c.gw.metrics.skipped.Add(float64(lost))
	if !ok {
		c.shutSlow()
	}
}

// shut closes the connection after what is queued. The first call decides code and text.
func (c *Conn) shut(code int, text string) {
	c.queue.finish(ending{code: code, text: text, flush: true})
}

// shutSlow closes the connection of a viewer that reads too slowly; what is queued is lost.
func (c *Conn) shutSlow() {
	if c.queue.finish(ending{code: CloseSlowConsumer, text: "slow_consumer"}) {
		c.gw.metrics.slowClosed.Inc()
	}
}

// start runs a command, unless too many are running.
func (c *Conn) start(ordered bool, run func()) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.leaving {
		return ErrTryAgain
	}
	if c.running >= c.gw.cfg.MaxInFlight {
		return ErrTooBusy
	}
	if !c.gw.tasks.begin() {
		return ErrTryAgain
	}
	c.running++
	// The goroutines below end with their commands, whose context the gateway ends; the gateway waits
	// for them by its tasks.
	switch {
	case !ordered:
		go func() {
			run()
			c.finished()
		}()
	case c.inLine:
		c.line = append(c.line, run)
	default:
		c.inLine = true
		go c.runLine(run)
	}
	return nil
}

// runLine runs ordered commands until none waits.
func (c *Conn) runLine(run func()) {
	for run != nil {
		run()
		c.mu.Lock()
		run = nil
		if len(c.line) > 0 {
			run = c.line[0]
			c.line = c.line[1:]
		} else {
			c.inLine, c.line = false, nil
		}
		c.mu.Unlock()
		c.finished()
	}
}

func (c *Conn) finished() {
	c.mu.Lock()
	c.running--
	last := c.leaving && c.running == 0
	c.mu.Unlock()
	if last {
		c.shut(CloseRestart, restartText)
	}
	c.gw.tasks.end()
}

// dismiss takes no more commands and closes the connection when those that run are answered.
func (c *Conn) dismiss() {
	c.mu.Lock()
	c.leaving = true
	idle := c.running == 0
	c.mu.Unlock()
	if idle {
		c.shut(CloseRestart, restartText)
	}
}

// sweep does what is due by the clock.
func (c *Conn) sweep(now time.Time) {
	cfg := &c.gw.cfg
	if now.Sub(time.Unix(0, c.lastRead.Load())) >= cfg.IdleTimeout {
		c.queue.finish(ending{code: websocket.CloseGoingAway, text: "idle"})
		return
	}
	if now.Sub(c.pingedAt) >= cfg.PingInterval {
		c.pingedAt = now
		c.queue.requestPing()
	}
	expires := c.Viewer().ExpiresAt
	switch {
	case expires.IsZero():
	case !now.Before(expires):
		c.shut(CloseUnauthenticated, string(proto.ReasonTokenExpired))
	case expires.Sub(now) <= ExpiryNotice && !c.warnedFor.Equal(expires):
		c.warnedFor = expires
		c.send(&proto.ServerFrame{Events: []*proto.Event{{
			TimeMs: now.UnixMilli(),
			Event:  &proto.Event_SessionExpiring{SessionExpiring: &proto.SessionExpiring{AtMs: expires.UnixMilli()}},
		}}})
	}
}
