package session

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"livecart/proto"
)

// shard owns some of the gateway's connections: what they are sent, their sockets and their timers.
// A flush of a room is handed to it once, and it walks its own row of the room's connections; nothing
// is handed over for each of them.
type shard struct {
	// Fixed after construction.
	gw      *Gateway
	index   int
	wake    chan struct{} // holds a token while there is something to do
	loop    *loop         // nil where sockets have goroutines; set before there are connections
	yielder *yielder

	// What the rooms have handed over, in order.
	posts struct {
		sync.Mutex
		waiting []post
	}

	// Owned by run.
	walks   []*walk // at most one a room
	yielded time.Time

	// mu guards all that the connections' fields name it for. Where it is held with others: hub,
	// audience, roster and gateway come before, nothing after.
	mu    sync.Mutex
	async sync.WaitGroup // goroutines of sockets; only added to while there are connections
	hello []byte         // an answer to a handshake and a welcome
	conns []*Conn
	dead  []*Conn // dropped and known to the gateway, for it to forget
	held  int     // bytes of messages that have not come whole yet
	// Bytes that wait for viewers who are behind, and how many may.
	backlog, maxBacklog int
}

// yieldEvery is how long a shard may write, or its loop read, before all others at least had a chance to
// be served: the requests, NATS and Redis, from which the next flush comes.
const yieldEvery = 2 * time.Millisecond

// yieldMost is the longest that a shard waits for its next turn by that.
const yieldMost = 500 * time.Microsecond

// row is the connections of one section of a room on one shard. Guarded by the shard's lock.
type row struct{ conns []*Conn }

// post is what a room hands to a shard: a flush, or an answer for one connection that must not
// overtake the flushes before it.
type post struct {
	room  *audience
	flush *flush

	conn   *Conn
	answer *lateMessage
	seen   uint64 // number of the newest segment that the answer makes known
}

func newShard(g *Gateway, index, shards int) *shard {
	return &shard{gw: g, index: index, wake: make(chan struct{}, 1), maxBacklog: g.cfg.BacklogBytes / shards}
}

// openLoop makes the shard ready for sockets. It comes before run, which closes the loop.
func (s *shard) openLoop() (err error) {
	if s.yielder, err = newYielder(); err != nil {
		return err
	}
	if s.loop, err = newLoop(s); err != nil {
		s.yielder.close()
	}
	return err
}

func (s *shard) nudge() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// post hands something over. It never waits.
func (s *shard) post(p post) {
	s.posts.Lock()
	s.posts.waiting = append(s.posts.waiting, p)
	s.posts.Unlock()
	s.nudge()
}

// run serves the shard's connections until ctx ends; all are gone by then.
func (s *shard) run(ctx context.Context) {
	var listening sync.WaitGroup
	if s.loop != nil {
		listening.Go(s.listen) // ends with stop
	}
	cfg := &s.gw.cfg
	ticker := time.NewTicker(max(time.Millisecond, min(sweepEvery, cfg.PingInterval/2, cfg.IdleTimeout/2)))
	defer ticker.Stop()
	for ctx.Err() == nil {
		s.rest(ctx, ticker)
		s.takeIn()
		s.walkOn()
		s.bury()
	}
	if s.loop != nil {
		s.loop.stop()
	}
	listening.Wait()
	s.async.Wait()
	s.yielder.close()
}

// listen reads the sockets. When that fails its viewers are told to go elsewhere at once, where they
// would wait for answers that never come.
func (s *shard) listen() {
	err := s.loop.run()
	if err == nil {
		return
	}
	s.gw.fail(err)
	s.mu.Lock()
	deserted := slices.Clone(s.conns)
	s.mu.Unlock()
	for _, c := range deserted {
		c.dismiss()
	}
}

// rest waits until there is something to do, and sweeps when it is time.
func (s *shard) rest(ctx context.Context, ticker *time.Ticker) {
	if len(s.walks) > 0 {
		if time.Since(s.yielded) >= yieldEvery {
			s.yielder.yield()
			s.yielded = time.Now()
		} else {
			runtime.Gosched() // for who waits for the lock
		}
		select {
		case now := <-ticker.C:
			s.sweep(now)
		default:
		}
		return
	}
	select {
	case <-ctx.Done():
	case <-s.wake:
	case now := <-ticker.C:
		s.sweep(now)
	}
}

func (s *shard) takePosts() []post {
	s.posts.Lock()
	defer s.posts.Unlock()
	posts := s.posts.waiting
	s.posts.waiting = nil
	return posts
}

// pause lets others have the lock.
func (s *shard) pause() {
	s.mu.Unlock()
	runtime.Gosched()
	s.mu.Lock()
}

// attach gives c its socket: the answer to the handshake and what is queued go out, and what comes is
// read, by goroutines where the loop cannot.
func (s *shard) attach(c *Conn, ws *websocket.Conn, w *wire) {
	if s.loop == nil || !s.loop.adopt(c, w) {
		s.attachAsync(c, ws, w)
	}
}

// attachAsync has goroutines read and write.
func (s *shard) attachAsync(c *Conn, ws *websocket.Conn, w *wire) {
	sock := newAsyncSocket(w.Conn, s.gw.cfg.WriteTimeout)
	w.owner = c
	ws.SetReadLimit(proto.MaxClientFrame)
	ws.SetPingHandler(c.pinged)
	ws.SetPongHandler(c.ponged)
	s.mu.Lock()
	defer s.mu.Unlock()
	c.queue.spare = c.queue.limit / 4
	c.begin(sock, w.answer)
	// Both end when the socket is closed, as it is when c is dropped.
	s.async.Go(func() {
		sock.run(func(err error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			sock.written()
			c.writable(err)
		})
	})
	s.async.Go(func() {
		c.readEnded(c.readMessages(ws))
		linger(sock.conn) // ends at once where the socket is closed
		c.shutAtOnce()
	})
}

// add makes c one of the shard's and of the row's. Called with the lock.
func (s *shard) add(c *Conn, r *row) {
	c.place = len(s.conns)
	s.conns = append(s.conns, c)
	c.row, c.slot = r, len(r.conns)
	r.conns = append(r.conns, c)
}

// remove takes c, which is gone, off the shard and has the gateway forget it. Called with the lock.
func (s *shard) remove(c *Conn) {
	s.conns = takeOut(s.conns, c.place, func(moved *Conn) { moved.place = c.place })
	c.row.conns = takeOut(c.row.conns, c.slot, func(moved *Conn) { moved.slot = c.slot })
	s.held -= c.heldBytes
	s.backlog -= c.counted
	c.heldBytes, c.counted = 0, 0
	s.forget(c)
}

// introduced tells that the gateway knows c. One that was dropped before that, as a handshake may
// stall, is forgotten only now: what is forgotten first and entered then stays for ever.
func (s *shard) introduced(c *Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.known = true
	s.forget(c)
}

// forget has the gateway forget c, when it was dropped and is known. Called with the lock.
func (s *shard) forget(c *Conn) {
	if c.known && c.state == gone {
		s.dead = append(s.dead, c)
		s.nudge()
	}
}

// takeOut puts the last one into the place of the one at i.
func takeOut(conns []*Conn, i int, tell func(moved *Conn)) []*Conn {
	last := len(conns) - 1
	conns[i] = conns[last]
	tell(conns[i])
	conns[last] = nil
	return conns[:last]
}

// bury has the gateway forget those that were dropped.
func (s *shard) bury() {
	s.mu.Lock()
	dead := s.dead
	s.dead = nil
	s.mu.Unlock()
	for _, c := range dead {
		s.gw.gone(c)
	}
}
