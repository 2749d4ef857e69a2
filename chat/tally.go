package chat

import (
	"time"

	"livecart/session/store"
)

// maxTallied is how many users one gateway keeps account of while Redis is away; beyond it those who
// were silent longest among a few are forgotten.
const maxTallied = 10_000

// tally applies the rules of limit.lua to the comments of this gateway alone.
type tally struct {
	users map[string]*userTally // by user hash
	limit int
}

type userTally struct {
	times    []time.Time // newest first, at most the rate
	said     map[string]time.Time
	slow     map[string]time.Time
	requests map[string]answered
	touched  time.Time
}

type answered struct {
	contentHash string
	payload     []byte
	until       time.Time
}

func newTally(limit int) *tally {
	return &tally{users: map[string]*userTally{}, limit: limit}
}

func (t *tally) decide(a *ask, l *limiter, now time.Time) verdict {
	u := t.user(store.HashUser(a.message.User.Id), now)
	u.prune(now, l)
	if r, ok := u.requests[a.requestHash]; ok && a.keep > 0 {
		if r.contentHash != a.contentHash {
			return verdict{outcome: outcomeConflict}
		}
		return verdict{outcome: outcomeSame, payload: r.payload}
	}
	if a.lookUp {
		return verdict{outcome: outcomeUnknown}
	}
	said, slow := a.roomID+":"+a.textHash, a.roomID
	if !a.exempt {
		if len(u.times) >= l.rate {
			if wait := u.times[l.rate-1].Add(l.window).Sub(now); wait > 0 {
				return verdict{outcome: outcomeRate, wait: wait}
			}
		}
		if at, ok := u.slow[slow]; ok && a.slow > 0 {
			if wait := at.Add(a.slow).Sub(now); wait > 0 {
				return verdict{outcome: outcomeSlow, wait: wait}
			}
		}
		if at, ok := u.said[said]; ok {
			if wait := at.Add(l.duplicate).Sub(now); wait > 0 {
				return verdict{outcome: outcomeDuplicate, wait: wait}
			}
		}
		u.times = append([]time.Time{now}, u.times[:min(len(u.times), l.rate-1)]...)
		u.said[said] = now
		if a.slow > 0 {
			u.slow[slow] = now
		}
	}
	if a.keep > 0 {
		u.requests[a.requestHash] = answered{a.contentHash, a.payload, now.Add(a.keep)}
	}
	return verdict{outcome: outcomeOK}
}

// prune forgets what no longer counts, so that a user's maps stay as small as the rate allows.
func (u *userTally) prune(now time.Time, l *limiter) {
	for key, at := range u.said {
		if now.Sub(at) >= l.duplicate {
			delete(u.said, key)
		}
	}
	for key, at := range u.slow {
		if now.Sub(at) >= MaxSlowMode {
			delete(u.slow, key)
		}
	}
	for key, r := range u.requests {
		if !now.Before(r.until) {
			delete(u.requests, key)
		}
	}
}

// user returns the account of a user, making room for a new one.
func (t *tally) user(hash string, now time.Time) *userTally {
	u, ok := t.users[hash]
	if !ok {
		if len(t.users) >= t.limit {
			t.forgetOne()
		}
		u = &userTally{said: map[string]time.Time{}, slow: map[string]time.Time{}, requests: map[string]answered{}}
		t.users[hash] = u
	}
	u.touched = now
	return u
}

// forgetOne drops the longest silent of a few users, whom Go's map order picks.
func (t *tally) forgetOne() {
	const looked = 16
	var oldest string
	n := 0
	for hash, u := range t.users {
		if oldest == "" || u.touched.Before(t.users[oldest].touched) {
			oldest = hash
		}
		if n++; n == looked {
			break
		}
	}
	delete(t.users, oldest)
}
