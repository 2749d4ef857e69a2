package session

import (
	"sync/atomic"
	"time"
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

// concerns reports whether the shard has viewers for whom there is something.
func (f *flush) concerns(which []section, shard int) bool {
	for i := range which {
		if s := &which[i]; s.present[shard] > 0 && f.portions[s.index] != nil {
			return true
		}
	}
	return false
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
			a.busy = !a.batch.empty()
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
		due := now.Add(tick)
		if a.online >= sectionsFrom {
			due = s.nextTurn(now, a.origin, tick, len(which) == sections)
		}
		s.flushed(a.newest, due)
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
