package loadtest

import (
	"context"
	"fmt"
)

// count waits until the room's counters are what they should be, a while at most: where they are not then,
// the checks tell.
func (r *playRun) count(ctx context.Context) error {
	until(ctx, r.pace.news, func() bool { return r.checkViewers().OK && r.checkVisits().OK })
	return ctx.Err()
}

// checkViewers holds that the room counts, when nobody comes or goes any more, those who are there: the host,
// the regulars, and whoever was there before.
func (r *playRun) checkViewers() Check {
	others := max(r.before.Online-1, 0)
	here, _ := r.crowd.audience.here()
	return r.exactly("viewers_exact", r.host.history.counters().Online, here+1+others, "%d viewers are counted, %d are there")
}

// checkVisits holds that the room counts every connection that was welcomed once.
func (r *playRun) checkVisits() Check {
	const name = "visits_exact"
	if len(r.Plan.Faults) > 0 {
		return Check{Name: name, Skipped: "a gateway that dies takes along what it did not report of its last second"}
	}
	if n := r.meter.Total("join_failed"); n > 0 {
		return Check{Name: name, Skipped: fmt.Sprintf("%d handshakes failed: whether the room counts them is not known", n)}
	}
	_, welcomed := r.crowd.audience.here()
	r.host.mu.Lock()
	again := int64(r.host.reconnects)
	r.host.mu.Unlock()
	return r.exactly(name, r.host.history.counters().Visits-r.before.Visits, welcomed+again, "%d visits were counted, %d connections were welcomed")
}

// exactly holds that a counter is what it should be.
func (r *playRun) exactly(name string, got, want int64, detail string) Check {
	return Check{Name: name, OK: got == want, Detail: fmt.Sprintf(detail, got, want)}
}
