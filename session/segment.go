package session

import (
	"time"

	"livecart/proto"
)

// segment is what came between two flushes of the room, whichever sections they were for. It is in the
// snapshot. It is kept until all sections had it.
type segment struct {
	number uint64
	since  time.Time // when its first event came
	batch
}

// cut ends the segment that the batch has gathered, and brings the snapshot up to it. It returns who was
// banned.
func (a *audience) cut() (banned []string) {
	if a.batch.empty() {
		return nil
	}
	for _, ev := range a.batch.events {
		a.snap.apply(ev)
		if ev.Seq > 0 {
			a.remember(ev)
		}
		if room := ev.GetRoomState().GetRoom(); room != nil {
			a.now.Store(a.snap.w.Room)
			a.hub.cfg.Rooms.Observe(room)
		}
		if w := a.snap.w; ev.GetProductUpdated() != nil && len(w.Shelf) < min(int(w.ShelfTotal), MaxWelcomeShelf) {
			a.stale = true
			a.nudge()
		}
		if s := ev.GetUserSanctioned(); s.GetKind() == proto.SanctionKind_SANCTION_KIND_BAN && !s.Lifted {
			banned = append(banned, s.GetUser().GetId())
		}
	}
	a.welcome, a.resumptions = [proto.Formats]*message{}, nil
	a.newest++
	a.recent = append(a.recent, segment{number: a.newest, since: a.batchSince, batch: a.batch})
	a.batch, a.busy = batch{}, false
	return banned
}

// waitedSince returns when the first event after a segment came.
func (a *audience) waitedSince(after uint64) time.Time {
	at := 0
	for a.recent[at].number <= after {
		at++
	}
	return a.recent[at].since
}

// forgetSegments drops those that every viewer was given.
func (a *audience) forgetSegments() {
	all := a.newest
	for i := range a.sections {
		if s := &a.sections[i]; s.online > 0 {
			all = min(all, s.upto)
		}
	}
	n := 0
	for n < len(a.recent) && a.recent[n].number <= all {
		n++
	}
	a.recent = append(a.recent[:0:0], a.recent[n:]...)
}

// remember keeps a numbered event for those who resume.
func (a *audience) remember(ev *proto.Event) {
	if n := len(a.tail); n > 0 && a.tail[n-1].Seq != ev.Seq-1 {
		a.tail = nil
	}
	if len(a.tail) >= 2*MaxResume {
		a.tail = append([]*proto.Event(nil), a.tail[len(a.tail)-MaxResume+1:]...)
	}
	a.tail = append(a.tail, ev)
}
