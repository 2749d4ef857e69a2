package session

import (
	"slices"
	"time"

	"livecart/proto"
)

// walkStep is how many connections are served between two moments in which others may have the
// shard's lock, and in which other rooms get their turn.
const walkStep = 64

// walk is a flush on its way through one row. It goes backwards, as who leaves meanwhile is replaced by
// the last one: that one was there already, and knows by the flush's number. Who enters meanwhile has
// the flush in the welcome. Owned by the shard's run.
type walk struct {
	post
	left  int    // connections of the row that may be still to come
	lost  int    // comments that they lose by it
	after []post // frames for connections of the room, which must not overtake it
}

// step serves some connections, and reports whether any are left. Called with the shard's lock.
func (w *walk) step() bool {
	conns := w.row.conns
	w.left = min(w.left, len(conns))
	for n := 0; n < walkStep && w.left > 0; n++ {
		w.left--
		c := conns[w.left]
		if c.seen >= w.flush.number {
			continue
		}
		c.seen = w.flush.number
		w.lost += c.broadcast(w.flush)
		if len(w.expel) > 0 && slices.Contains(w.expel, c.userID) {
			c.finish(ending{code: CloseForbidden, text: string(proto.ReasonBanned), flush: true})
		}
		conns = w.row.conns // shorter, where c is gone
		w.left = min(w.left, len(conns))
	}
	return w.left > 0
}

// takeIn begins the walks of what was posted. A frame for one connection waits for the walk of its room,
// if there is one.
func (s *shard) takeIn() {
	for _, p := range s.takePosts() {
		if p.conn == nil {
			s.mu.Lock()
			n := len(p.row.conns)
			s.mu.Unlock()
			s.walks = append(s.walks, &walk{post: p, left: n})
			continue
		}
		at := slices.IndexFunc(s.walks, func(w *walk) bool { return w.room == p.conn.room })
		if at < 0 {
			p.conn.send(p.frame)
			continue
		}
		s.walks[at].after = append(s.walks[at].after, p)
	}
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
	s.mu.Unlock()
	if more {
		s.walks = append(s.walks, w)
		return
	}
	s.gw.metrics.skipped.Add(float64(w.lost))
	for _, p := range w.after {
		p.conn.send(p.frame)
	}
	if w.flush.walking.Add(-1) == 0 {
		s.gw.metrics.fanout.Observe(time.Since(w.flush.since).Seconds())
		if w.flush.awaited.Load() {
			w.room.nudge()
		}
	}
}
