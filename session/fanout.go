package session

import (
	"time"

	"livecart/proto"
)

// Bounds of putting numbered events in order.
const (
	// MaxEarly is how long an event waits for those before it until they are read from Postgres.
	MaxEarly = 200 * time.Millisecond
	// maxHeld is how many events wait at most; those beyond it are read from Postgres as well.
	maxHeld = 1000
)

// sequence puts a room's numbered events in order. Not safe for concurrent use.
type sequence struct {
	last  int64
	held  map[int64]*proto.Event
	since time.Time // when the oldest wait began
}

// take returns the events that may go out now that ev is here: none where it is known already or
// too early, else ev and those that waited for it.
func (s *sequence) take(ev *proto.Event, now time.Time) []*proto.Event {
	switch {
	case ev.Seq <= s.last:
		return nil
	case ev.Seq > s.last+1:
		if len(s.held) < maxHeld {
			if len(s.held) == 0 {
				s.held = make(map[int64]*proto.Event)
				s.since = now
			}
			s.held[ev.Seq] = ev
		}
		return nil
	}
	ready := []*proto.Event{ev}
	s.last++
	for len(s.held) > 0 {
		next, ok := s.held[s.last+1]
		if !ok {
			break
		}
		ready = append(ready, next)
		s.last++
		delete(s.held, s.last)
		s.since = now
	}
	return ready
}

// jump goes on from seq where what lies before was pruned.
func (s *sequence) jump(seq int64) {
	s.last = seq
	for n := range s.held {
		if n <= seq {
			delete(s.held, n)
		}
	}
}

// due returns when the held events have waited long enough, and whether there are any.
func (s *sequence) due() (time.Time, bool) { return s.since.Add(MaxEarly), len(s.held) > 0 }

// idMemory is how many tips of a room are remembered, so that one announced twice is shown once, and
// how many of those who bought or gave something.
const idMemory = 4096

// idSet remembers the newest ids. The zero value is empty.
type idSet struct {
	known map[string]struct{}
	ring  []string
	next  int
}

// add reports whether any of the ids is new, and remembers them.
func (t *idSet) add(ids ...string) bool {
	if t.known == nil {
		t.known = make(map[string]struct{})
	}
	fresh := false
	for _, id := range ids {
		if _, ok := t.known[id]; ok {
			continue
		}
		fresh = true
		t.known[id] = struct{}{}
		if len(t.ring) < idMemory {
			t.ring = append(t.ring, id)
			continue
		}
		delete(t.known, t.ring[t.next])
		t.ring[t.next] = id
		t.next = (t.next + 1) % idMemory
	}
	return fresh
}

func (t *idSet) has(id string) bool {
	_, ok := t.known[id]
	return ok
}

// receive takes events of the room from the bus.
func (a *audience) receive(envelope *proto.RoomEvents) {
	now := time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.snap == nil {
		if len(a.before)+len(envelope.Events) <= maxBefore {
			a.before = append(a.before, envelope.Events...)
		}
		return
	}
	for _, ev := range envelope.Events {
		a.accept(ev, now)
	}
	a.settleSoon(now)
}

// accept adds one event to the batch, or holds it until its turn. Called with a.mu.
func (a *audience) accept(ev *proto.Event, now time.Time) {
	if ev.Seq > 0 {
		for _, ready := range a.seq.take(ev, now) {
			a.enqueue(ready, now)
		}
		return
	}
	switch e := ev.Event.(type) {
	case nil:
		// A kind that this version does not know.
	case *proto.Event_GiftSent:
		ids := e.GiftSent.GetTipIds()
		if fresh := a.tips.add(ids...); fresh || len(ids) == 0 {
			a.patrons.add(e.GiftSent.GetUser().GetId())
			a.enqueue(ev, now)
		}
	case *proto.Event_MemberJoin:
		if a.joined == nil {
			a.joined = ev
		} else {
			a.joined = mergeJoin(a.joined, ev)
		}
	default:
		a.enqueue(ev, now)
	}
}

func (a *audience) enqueue(ev *proto.Event, now time.Time) {
	if a.batch.empty() {
		a.batchSince = now
	}
	a.batch.add(ev)
}

// show takes an event that this gateway itself made for its own viewers.
func (a *audience) show(ev *proto.Event) {
	now := time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.snap == nil {
		return
	}
	if stats := ev.GetRoomStats(); stats != nil {
		stats.HeadSeq = a.seq.last
	}
	a.accept(ev, now)
	a.settleSoon(now)
}

// bought notes who has paid for something in the room.
func (a *audience) bought(userID string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.patrons.add(userID)
}

// rank returns how comments are ranked when there are too many, by what is pinned at the moment. Called
// with a.mu, as is what it returns.
func (a *audience) rank() func(*proto.ChatMessage) int {
	pinned := a.snap.w.Pinned.GetMessage().GetId()
	return func(m *proto.ChatMessage) int {
		switch {
		case m.GetUser().GetRole().Moderates(), pinned != "" && m.Id == pinned:
			return rankFirst
		case a.patrons.has(m.GetUser().GetId()):
			return rankPatron
		}
		return rankOther
	}
}
