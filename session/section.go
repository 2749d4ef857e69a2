package session

import "time"

const (
	// sections is into how many parts a room's viewers are divided.
	sections = 8
	// sectionsFrom is how many viewers a room has whose sections take turns.
	sectionsFrom = 1000
)

// section is a part of a room's viewers on this gateway. In a large busy room the sections are flushed
// in turn over the tick, each with all that came since its own last flush: nobody waits for a walk
// through the whole room, and the shards have an even load. Guarded by the audience's lock.
type section struct {
	index   int // fixed
	online  int
	present []int     // of online, those of each shard
	upto    uint64    // the newest segment that it was given
	entered []uint64  // segments after upto that are in the welcome of somebody who entered since; ascending
	due     time.Time // when its next flush is, if the room is busy
	budget  chatBudget
}

// admit counts somebody in whose welcome contains the segments up to newest.
func (s *section) admit(shard int, newest uint64) {
	if s.online == 0 {
		s.upto, s.entered = newest, nil
	}
	s.knows(newest)
	s.online++
	s.present[shard]++
}

// knows notes that some viewers have been told of all segments up to number, perhaps before the others.
func (s *section) knows(number uint64) {
	if n := len(s.entered); number > s.upto && (n == 0 || s.entered[n-1] < number) {
		s.entered = append(s.entered, number)
	}
}

func (s *section) leave(shard int) {
	s.online--
	s.present[shard]--
}

// flushed notes a flush at now, up to the newest segment. The turns of a large room's sections are
// spread over the tick, counted from an origin of the room's own.
func (s *section) flushed(now time.Time, newest uint64, tick time.Duration, origin time.Time, large bool) {
	s.upto, s.entered = newest, nil
	s.due = now.Add(tick)
	if large {
		turn := time.Duration(s.index) * tick / sections
		s.due = s.due.Add(-((now.Sub(origin) - turn + tick) % tick))
	}
}

// emptiest returns the section with the fewest viewers.
func emptiest(of []section) *section {
	least := &of[0]
	for i := range of {
		if of[i].online < least.online {
			least = &of[i]
		}
	}
	return least
}
