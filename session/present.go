package session

import (
	"fmt"
	"sync"
	"time"

	"livecart/proto"
)

// figures are counts that never fall.
type figures struct{ visits, likes int64 }

// maxNewcomers is how many new viewers are remembered while Redis is away; beyond it all who are
// still connected are counted again.
const maxNewcomers = 50_000

// presentRoom is what this gateway counted in one room, and the room's sums as last read.
type presentRoom struct {
	id   string
	part string // this gateway's field in the room's hashes

	mu        sync.Mutex
	online    int64            // connections here
	hosts     int64            // those of hosts among them
	own       figures          // counted here
	viewers   map[string]int64 // connections here by viewer id
	newcomers []string         // viewers that Redis was not told of yet
	recount   bool             // Redis lost viewers: tell it of all
	lower     bool             // viewers that left may be missing from unique
	batch     *likeBatch       // waits for the next flush; nil for none
	gone      bool             // forgotten: take a new one
	idleSince time.Time        // when the last one left

	// As of the last reply. sums hold acked, so what was counted here since is own minus acked.
	epoch string
	acked figures
	sums  figures
	// lowerKnown is what Redis said of unique; without Redis the shown figure is always a lower bound.
	lowerKnown bool
	based      bool    // sums come from Redis or Postgres, not from nothing
	settled    bool    // nobody is here, and Redis and Postgres know everything
	kept       figures // of own, what Postgres has
	unsaved    bool
	stats      *proto.RoomStats // replaced, never changed

	toldStats *proto.RoomStats
	toldAt    time.Time
	toldLikes int64
}

func (r *presentRoom) join(v Viewer) {
	r.online++
	r.own.visits++
	r.settled = false
	if v.Role.Hosts() && !v.Anonymous {
		r.hosts++
	}
	r.viewers[v.ID]++
	if r.viewers[v.ID] > 1 || r.recount {
		return
	}
	if len(r.newcomers) == maxNewcomers {
		r.newcomers, r.recount, r.lower = nil, true, true
		return
	}
	r.newcomers = append(r.newcomers, v.ID)
}

func (r *presentRoom) leave(v Viewer) {
	if r.viewers[v.ID] == 0 {
		return // no join went before
	}
	r.online--
	r.settled = false
	if v.Role.Hosts() && !v.Anonymous {
		r.hosts--
	}
	if r.viewers[v.ID]--; r.viewers[v.ID] == 0 {
		delete(r.viewers, v.ID)
	}
	if r.online == 0 {
		r.idleSince = time.Now()
		// Who comes back after a while is told anew.
		r.toldStats = nil
	}
}

// likesWritten notes the sum of likes and how many of ours it holds. Likes and reports are written at
// the same time, so an answer may be older than one that was noted before; a Redis that lost some
// begins anew.
func (r *presentRoom) likesWritten(own, sum int64, lost bool) {
	if lost || own >= r.acked.likes {
		r.acked.likes, r.sums.likes = own, sum
	}
}

// alone returns the figures as far as they are known without Redis.
func (r *presentRoom) alone() *proto.RoomStats {
	s := &proto.RoomStats{
		Online: r.online, Peak: r.online,
		Visits: r.sums.visits + r.own.visits - r.acked.visits,
		Likes:  r.sums.likes + r.own.likes - r.acked.likes,
		Unique: int64(len(r.viewers)), UniqueLowerBound: true,
	}
	return r.risen(s)
}

// risen makes s no smaller than what was known before, for all but those here now: while gateways
// fill a Redis that lost its data, its sums are too small for a moment.
func (r *presentRoom) risen(s *proto.RoomStats) *proto.RoomStats {
	if old := r.stats; old != nil {
		s.Peak, s.Visits = max(s.Peak, old.Peak), max(s.Visits, old.Visits)
		s.Unique, s.Likes = max(s.Unique, old.Unique), max(s.Likes, old.Likes)
	}
	return s
}

// news returns what the room's viewers here should be told now; nil for nothing.
func (r *presentRoom) news(now time.Time) (*proto.RoomStats, *proto.LikeTotal) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.online == 0 || r.stats == nil {
		return nil, nil
	}
	var likes *proto.LikeTotal
	if delta := r.stats.Likes - r.toldLikes; delta > 0 && r.toldStats != nil {
		likes = &proto.LikeTotal{Delta: delta, Total: r.stats.Likes}
	}
	r.toldLikes = r.stats.Likes
	if r.toldStats != nil && proto.Equal(r.toldStats, r.stats) && now.Sub(r.toldAt) < statsRepeat {
		return nil, likes
	}
	r.toldStats, r.toldAt = r.stats, now
	return r.stats, likes
}

// presentRooms are the rooms that this gateway counts in. The zero value is ready.
type presentRooms struct {
	mu   sync.RWMutex
	byID map[string]*presentRoom
	made int
}

func (s *presentRooms) find(roomID string) *presentRoom {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.byID[roomID]
}

// with calls fn with the room locked; the room is made if it is not known.
func (s *presentRooms) with(run, roomID string, fn func(*presentRoom)) {
	for {
		r := s.find(roomID)
		if r == nil {
			r = s.add(run, roomID)
		}
		r.mu.Lock()
		if r.gone { // forgotten between finding and locking
			r.mu.Unlock()
			continue
		}
		fn(r)
		r.mu.Unlock()
		return
	}
}

func (s *presentRooms) add(run, roomID string) *presentRoom {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r, ok := s.byID[roomID]; ok {
		return r
	}
	if s.byID == nil {
		s.byID = make(map[string]*presentRoom)
	}
	// A room that was forgotten counts from 0 again, so it needs another part.
	s.made++
	r := &presentRoom{id: roomID, part: fmt.Sprintf("%s-%d", run, s.made), viewers: make(map[string]int64), idleSince: time.Now()}
	s.byID[roomID] = r
	return r
}

func (s *presentRooms) all() []*presentRoom {
	s.mu.RLock()
	defer s.mu.RUnlock()
	rooms := make([]*presentRoom, 0, len(s.byID))
	for _, r := range s.byID {
		rooms = append(rooms, r)
	}
	return rooms
}

// forget drops rooms that nobody is in since that time and whose figures are kept elsewhere.
func (s *presentRooms) forget(before time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, r := range s.byID {
		r.mu.Lock()
		if r.settled && !r.unsaved && r.batch == nil && r.idleSince.Before(before) {
			r.gone = true
			delete(s.byID, id)
		}
		r.mu.Unlock()
	}
}
