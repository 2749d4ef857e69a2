package session

import (
	"sync/atomic"
	"time"

	"livecart/proto"
)

// flush is what a room hands to its shards at a time, for one section or all of them.
type flush struct {
	number   uint64              // of the newest segment in it
	since    time.Time           // when its first event came
	portions [sections][]portion // none for a section that it is not for
	expel    []string            // users whose connections are closed after it
	walking  atomic.Int32        // shards that are not through with it
	awaited  atomic.Bool         // the room waits for them with its next flush
}

// portion is what those viewers of a section are sent who have had the segments up to after.
type portion struct {
	after uint64
	*broadcast
}

// of returns what a viewer of the section gets who has seen so much.
func (f *flush) of(section int, seen uint64) *broadcast {
	portions := f.portions[section]
	at := 0 // nearly always
	for at+1 < len(portions) && portions[at+1].after <= seen {
		at++
	}
	return portions[at].broadcast
}

// walked reports whether all shards are through with it; where not, the room is nudged when they are.
func (f *flush) walked() bool {
	if f == nil || f.walking.Load() == 0 {
		return true
	}
	f.awaited.Store(true)
	return f.walking.Load() == 0
}

// settle flushes where that is due, else returns when it will be. Called with a.mu.
func (a *audience) settle(now time.Time) (due time.Time, waiting bool) {
	if a.joined != nil {
		if due = a.shownAt.Add(joinsShown); now.Before(due) {
			waiting = true
		} else {
			a.enqueue(a.joined, now)
			a.joined, a.shownAt = nil, now
		}
	}
	// A flush that the shards have not written yet is not followed by another one: what they cannot
	// keep up with gathers here, where it is merged, sampled and encoded once.
	for a.waits() {
		if !a.written.walked() {
			a.busy = true
			break
		}
		which, turn := a.next(now)
		if now.Before(turn) {
			if !waiting || turn.Before(due) {
				due, waiting = turn, true
			}
			break
		}
		a.flush(now, which)
	}
	return due, waiting
}

// settleSoon settles, and has run look when what is left over is due.
func (a *audience) settleSoon(now time.Time) {
	due, waiting := a.settle(now)
	if late, early := a.seq.due(); early && (!waiting || late.Before(due)) {
		due, waiting = late, true
	}
	if waiting && due.Before(a.alarm) {
		a.alarm = due
		a.nudge()
	}
}

// waits reports whether there is something to flush.
func (a *audience) waits() bool { return !a.batch.empty() || len(a.recent) > 0 }

// next returns whose turn it is and when. All sections are flushed together with what does not wait for
// a tick, in a small room, and where the room was quiet; else the one that has waited for longest.
func (a *audience) next(now time.Time) (which []section, due time.Time) {
	all := a.sections[:]
	if a.batch.urgent || a.online == 0 {
		return all, now
	}
	tick := roomTick(a.hub.cfg.RoomTick, a.online)
	calm := max(0, calmTick(a.online)-tick)
	together := a.online < sectionsFrom
	first, last := -1, time.Time{}
	for i := range all {
		s := &all[i]
		if s.online == 0 || s.upto == a.newest && a.batch.empty() {
			continue
		}
		turn := s.due
		if a.calm(s.upto) {
			turn = turn.Add(calm)
		}
		if first < 0 || turn.Before(due) {
			first, due = i, turn
		}
		last = latest(last, turn)
	}
	if first < 0 {
		return all, now // those for whom something waited are gone
	}
	if quiet := len(a.recent) == 0 && !a.busy && !now.Before(last); together || quiet {
		return all, due
	}
	return all[first : first+1], due
}

// calm reports whether nothing but figures and joiners came after a segment.
func (a *audience) calm(after uint64) bool {
	for i := range a.recent {
		if s := &a.recent[i]; s.number > after && !s.calm {
			return false
		}
	}
	return a.batch.empty() || a.batch.calm
}

// roomTick returns the time between two flushes of a busy room.
func roomTick(fixed time.Duration, viewers int) time.Duration {
	switch {
	case fixed > 0:
		return fixed
	case viewers < 1000:
		return 50 * time.Millisecond
	case viewers <= 5000:
		return 100 * time.Millisecond
	}
	return 250 * time.Millisecond
}

// calmTick returns the least time between two flushes of nothing but figures, where a large room is
// otherwise quiet: each is a write to every viewer, and the next one replaces it.
func calmTick(viewers int) time.Duration {
	switch {
	case viewers < 1000:
		return 0
	case viewers <= 5000:
		return time.Second
	}
	return 2 * time.Second
}

// flush brings the snapshot up to the batch, and hands to the shards what the sections have not had yet.
// Called with a.mu.
func (a *audience) flush(now time.Time, which []section) {
	expel := a.cut()
	f := &flush{number: a.newest, since: now, expel: expel}
	tick := roomTick(a.hub.cfg.RoomTick, a.online)
	p := a.newPortioner()
	for i := range which {
		s := &which[i]
		if s.online > 0 && s.upto < a.newest {
			f.portions[s.index] = p.portions(s, now)
			f.since = earliest(f.since, a.waitedSince(s.upto))
		}
		s.flushed(now, a.newest, tick, a.origin, a.online >= sectionsFrom)
	}
	a.forgetSegments()
	a.written = f
	for shard := range a.rows {
		if f.concerns(which, shard) {
			f.walking.Add(1)
		}
	}
	for shard := range a.rows {
		if f.concerns(which, shard) {
			a.hub.shards[shard].post(post{room: a, flush: f})
		}
	}
}

// concerns reports whether the shard has viewers for whom there is something.
func (f *flush) concerns(which []section, shard int) bool {
	for i := range which {
		if s := &which[i]; s.present[shard] > 0 && f.portions[s.index] != nil {
			return true
		}
	}
	return false
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
