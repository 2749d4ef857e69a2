package session

import (
	"cmp"
	"time"
)

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

// flushed notes a flush up to the newest segment, after which the section is due when a tick has passed.
func (s *section) flushed(newest uint64, due time.Time) {
	s.upto, s.entered, s.due = newest, nil, due
}

// nextTurn returns when a section of a large room has its turn after a flush at now. The turns are spread
// over the tick, counted from an origin of the room's own. After a flush for all sections one that would
// come at once is left out: it would be a second write to the same viewers.
func (s *section) nextTurn(now, origin time.Time, tick time.Duration, all bool) time.Time {
	turn := time.Duration(s.index) * tick / sections
	wait := tick - (now.Sub(origin)-turn+tick)%tick
	if all && wait < tick/2 {
		wait += tick
	}
	return now.Add(wait)
}

// emptiest returns the section for one more viewer of a shard: the one with the fewest of them, so that all
// shards have something to write for each section, and among those the smallest.
func emptiest(of []section, shard int) *section {
	least := &of[0]
	for i := range of {
		s := &of[i]
		if n := cmp.Compare(s.present[shard], least.present[shard]); n < 0 || n == 0 && s.online < least.online {
			least = s
		}
	}
	return least
}
