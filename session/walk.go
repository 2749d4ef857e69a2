package session

import (
	"slices"
	"time"

	"livecart/proto"
)

// walkStep is how many connections are served between two moments in which others may have the
// shard's lock, and in which other rooms get their turn.
const walkStep = 64

// walk is a flush on its way through the rows of a room. In each it goes backwards, as who leaves
// meanwhile is replaced by the last one: that one was there already, and knows by the segment's number. Who
// enters meanwhile has it in the welcome. Owned by the shard's run.
type walk struct {
	room  *audience
	flush *flush
	rows  *[sections]row
	row   int    // where it is
	left  int    // connections of the row that may be still to come
	lost  int    // comments that they lose by it
	after []post // for single connections of the room, which must not overtake it
}

// step serves some connections, and reports whether any are left. Called with the shard's lock.
func (w *walk) step() bool {
	for range walkStep {
		c := w.next()
		if c == nil {
			return false
		}
		if c.seen >= w.flush.number {
			continue
		}
		if b := w.flush.of(w.row, c.seen); b != nil {
			w.lost += c.broadcast(b)
		}
		c.seen = w.flush.number
		if len(w.flush.expel) > 0 && slices.Contains(w.flush.expel, c.userID) {
			c.finish(ending{code: CloseForbidden, text: string(proto.ReasonBanned), flush: true})
		}
	}
	return true
}

// next returns the next connection, nil where there is none.
func (w *walk) next() *Conn {
	for ; w.row < sections; w.row, w.left = w.row+1, -1 {
		if w.flush.portions[w.row] == nil {
			continue
		}
		conns := w.rows[w.row].conns
		if w.left < 0 {
			w.left = len(conns)
		}
		// Fewer, where some are gone.
		if w.left = min(w.left, len(conns)); w.left > 0 {
			w.left--
			return conns[w.left]
		}
	}
	return nil
}

// takeIn begins the walks of what was posted. An answer for one connection waits for the walk of its
// room, if there is one.
func (s *shard) takeIn() {
	for _, p := range s.takePosts() {
		if p.conn == nil {
			s.walks = append(s.walks, &walk{room: p.room, flush: p.flush, rows: &p.room.rows[s.index], left: -1})
			continue
		}
		at := slices.IndexFunc(s.walks, func(w *walk) bool { return w.room == p.conn.room })
		if at < 0 {
			p.deliver()
			continue
		}
		s.walks[at].after = append(s.walks[at].after, p)
	}
}

// deliver sends what is for one connection.
func (p post) deliver() {
	c := p.conn
	if c.over() {
		return
	}
	if p.answer.encode() != nil {
		return // who asked is told
	}
	c.shard.mu.Lock()
	defer c.shard.mu.Unlock()
	c.seen = max(c.seen, p.seen)
	c.pushed(c.queue.pushMessage(&p.answer.message))
}

// walkOn takes a step of the walk whose turn it is; a large room holds no other one up.
func (s *shard) walkOn() {
	if len(s.walks) == 0 {
		return
	}
	w := s.walks[0]
	s.walks = slices.Delete(s.walks, 0, 1)
	s.mu.Lock()
	more := w.step()
	if s.loop != nil {
		s.loop.flush()
	}
	s.mu.Unlock()
	if more {
		s.walks = append(s.walks, w)
		return
	}
	s.gw.metrics.skipped.Add(float64(w.lost))
	for _, p := range w.after {
		p.deliver()
	}
	if w.flush.walking.Add(-1) == 0 {
		s.gw.metrics.fanout.Observe(time.Since(w.flush.since).Seconds())
		if w.flush.awaited.Load() {
			w.room.nudge()
		}
	}
}
