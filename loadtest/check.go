package loadtest

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// checks compares everything that was told with everything that was done.
func (r *smokeRun) checks(ctx context.Context) []Check {
	return slices.Concat(r.toldChecks(), []Check{r.checkOwnOrders(ctx), r.checkBalances(ctx)}, r.checkDatabase(ctx))
}

// toldChecks are those that need no answer from anybody: they compare what was told.
func (r *smokeRun) toldChecks() []Check {
	return []Check{
		r.checkStayed(),
		r.checkComments(),
		r.checkNumbered(r.head()),
		r.checkLikes(),
		r.checkOutcomes(),
		r.checkSale(),
		r.checkTips(),
	}
}

// verdict turns a list of complaints into a check.
func verdict(name string, complaints []string, detail string, args ...any) Check {
	const told = 3
	if len(complaints) == 0 {
		return Check{Name: name, OK: true, Detail: fmt.Sprintf(detail, args...)}
	}
	text := strings.Join(complaints[:min(told, len(complaints))], "; ")
	if more := len(complaints) - told; more > 0 {
		text += fmt.Sprintf("; and %d more", more)
	}
	return Check{Name: name, Detail: text}
}

// staying returns the watchers whose first connection still stands: what others were told has holes
// by nature.
func (r *smokeRun) staying() []*person {
	var staying []*person
	for _, p := range r.watchers {
		if p.stayed() {
			staying = append(staying, p)
		}
	}
	return staying
}

// following returns the watchers who must know every numbered event: those who stayed, and where people come
// back by themselves, and so resume, all.
func (r *smokeRun) following() []*person {
	if r.back != nil {
		return r.watchers
	}
	return r.staying()
}

// head returns the highest number of a numbered event that host or watchers were told exists.
func (r *smokeRun) head() int64 {
	head := int64(0)
	if r.host != nil { // an agent has none
		head = r.host.history.head()
	}
	for _, p := range r.watchers {
		head = max(head, p.history.head())
	}
	return head
}

// checkStayed holds that no watcher, who only watches and asks, lost the connection.
func (r *smokeRun) checkStayed() Check {
	var bad []string
	for _, p := range r.watchers {
		if !p.stayed() {
			bad = append(bad, fmt.Sprintf("%s lost the connection: %s", p.id, strings.Join(p.history.lostBy(), ", ")))
		}
	}
	return verdict("watchers_stayed", bad, "%d viewers kept their connection", len(r.watchers))
}

// checkComments holds that each comment reached each watcher or is in what the watcher was told of
// as left out. Those who stayed were there from before the first comment to after the last.
func (r *smokeRun) checkComments() Check {
	var bad []string
	staying := r.staying()
	if len(r.comments) == 0 || len(staying) == 0 {
		bad = append(bad, fmt.Sprintf("nothing to compare: %d comments, %d viewers who stayed", len(r.comments), len(staying)))
	}
	var came, sampled, skipped int
	for _, p := range staying {
		h := p.history
		h.mu.Lock()
		for id, times := range h.comments {
			if times > 1 {
				bad = append(bad, fmt.Sprintf("%s got comment %s %d times", p.id, id, times))
			}
			if !r.comments[id] {
				bad = append(bad, fmt.Sprintf("%s got comment %s that nobody of the crowd wrote", p.id, id))
			}
		}
		got, missable := len(h.comments)+h.sampled+h.skipped, 0
		for id := range r.doubtful {
			if h.comments[id] == 0 {
				missable++
			}
		}
		if got > len(r.comments) || got < len(r.comments)-missable {
			bad = append(bad, fmt.Sprintf("%s: %d came + %d sampled + %d skipped is not %d", p.id, len(h.comments), h.sampled, h.skipped, len(r.comments)))
		}
		came, sampled, skipped = came+len(h.comments), sampled+h.sampled, skipped+h.skipped
		h.mu.Unlock()
	}
	return verdict("comments_accounted", bad, "%d comments × %d viewers = %d came + %d sampled + %d skipped", len(r.comments), len(staying), came, sampled, skipped)
}

// checkNumbered holds that the numbered events of everybody who stayed rose by one from the welcome
// on and that all of them got to head, the highest number that anybody was told of some time ago.
func (r *smokeRun) checkNumbered(head int64) Check {
	var bad []string
	total := 0
	for _, p := range r.following() {
		h := p.history
		h.mu.Lock()
		last := h.welcomeSeq
		for _, seq := range h.numbered {
			if seq <= h.welcomeSeq {
				continue // contained in the snapshot
			}
			if seq != last+1 {
				bad = append(bad, fmt.Sprintf("%s: event %d came after %d", p.id, seq, last))
			}
			last = seq
		}
		if last < head {
			bad = append(bad, fmt.Sprintf("%s: the last numbered event was %d, there are %d", p.id, last, head))
		}
		total += len(h.numbered)
		h.mu.Unlock()
	}
	if total == 0 {
		bad = append(bad, "no numbered event came at all")
	}
	return verdict("events_gapless", bad, "%d numbered events without gap or repeat, up to %d", total, head)
}

// checkLikes holds that the room's total rose by what was acknowledged.
func (r *smokeRun) checkLikes() Check {
	if got, want := r.host.history.likes()-r.likesBefore, r.likes.Load(); got < want || got > want+r.doubts {
		return Check{Name: "likes_exact", Detail: fmt.Sprintf("%d likes were acknowledged, the total rose by %d", want, got)}
	}
	return Check{Name: "likes_exact", OK: true, Detail: fmt.Sprintf("%d likes acknowledged and counted", r.likes.Load())}
}

// checkOutcomes holds that a key had one outcome however often it was sent.
func (r *smokeRun) checkOutcomes() Check {
	return verdict("one_key_one_outcome", r.broken, "%d attempts and %d gifts, however often they were sent", len(r.attempts), len(r.tips))
}
