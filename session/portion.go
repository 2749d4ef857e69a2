package session

import (
	"time"

	"livecart/proto"
)

// portion is what those viewers of a section are sent who have had the segments up to after.
type portion struct {
	after uint64
	*broadcast
}

// portioner makes the portions of one flush. What is the same for several sections is encoded once.
// It is used with a.mu.
type portioner struct {
	room   *audience
	rank   func(*proto.ChatMessage) int
	merged map[uint64]batch
	ready  map[portionKey]*broadcast
}

type portionKey struct {
	after uint64
	chats int // how many comments are in it
}

func (a *audience) newPortioner() *portioner {
	return &portioner{room: a, rank: a.rank(), merged: make(map[uint64]batch), ready: make(map[portionKey]*broadcast)}
}

// portions returns what the section's viewers get: those who have had all of its flushes, and those who
// entered since with a welcome that already contains some of it.
func (p *portioner) portions(s *section, now time.Time) []portion {
	budget := s.budget.left(now)
	b, chats, sampled := p.portion(s.upto, budget)
	s.budget.spend(chats)
	// A comment that a part of the viewers miss counts as that part.
	p.room.hub.metrics.sampled.Add(float64(sampled) * float64(s.online) / float64(p.room.online))
	portions := append(make([]portion, 0, 1+len(s.entered)), portion{s.upto, b})
	for _, after := range s.entered {
		if after == p.room.newest {
			break
		}
		b, _, _ := p.portion(after, budget)
		portions = append(portions, portion{after, b})
	}
	return portions
}

// portion returns what came after a segment, with at most budget comments; nil where it cannot be
// encoded.
func (p *portioner) portion(after uint64, budget int) (b *broadcast, chats, sampled int) {
	all := p.since(after)
	events, chats, sampled := all.take(budget, p.rank)
	key := portionKey{after, chats}
	b, ok := p.ready[key]
	if !ok {
		var err error
		if b, err = newBroadcast(events, chats, sampled, p.room.formats); err != nil {
			p.room.hub.cfg.Log.Error("a flush was lost", "room", p.room.roomID, "err", err)
		}
		p.ready[key] = b
	}
	return b, chats, sampled
}

// since merges the segments after one into a batch.
func (p *portioner) since(after uint64) batch {
	b, ok := p.merged[after]
	if ok {
		return b
	}
	recent := p.room.recent
	for len(recent) > 1 && recent[0].number <= after {
		recent = recent[1:]
	}
	if len(recent) == 1 {
		b = recent[0].batch
	} else {
		for i := range recent {
			for _, ev := range recent[i].events {
				b.add(ev)
			}
		}
	}
	p.merged[after] = b
	return b
}
