package loadtest

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"livecart/proto"
)

// faultRun are the faults of one run.
type faultRun struct {
	done   chan struct{} // closed when marks and failed are there; nil without a begin
	marks  []Mark
	failed []string
}

// begin has the faults done in their time. They end with the stages, or with ctx.
func (f *faultRun) begin(ctx context.Context, r *playRun, begin time.Time) {
	f.done = make(chan struct{})
	go func() { // wait waits for it
		defer close(f.done)
		f.marks, f.failed = r.Target.afflict(ctx, begin, r.Plan.Faults, r.meter)
	}()
}

// wait returns when all faults are done.
func (f *faultRun) wait() {
	if f.done != nil {
		<-f.done
	}
}

// tell adds the faults to the result. One that could not be done makes the run say nothing.
func (f *faultRun) tell(result *Result) {
	result.Marks = append(result.Marks, f.marks...)
	slices.SortStableFunc(result.Marks, func(a, b Mark) int { return cmp.Compare(a.Second, b.Second) })
	result.Invalid = append(result.Invalid, f.failed...)
}

// doubt notes what is sent again because nobody knows its outcome: a comment may have been taken and
// not been handed on, a like counted twice.
func (r *playRun) doubt() {
	if r.back == nil {
		return
	}
	r.unsure, r.doubtful = map[string]bool{}, map[string]bool{}
	note := func(cmd *proto.Command) {
		r.mu.Lock()
		defer r.mu.Unlock()
		if like := cmd.GetLikeSend(); like != nil {
			r.doubts += int64(like.Count)
		}
		r.unsure[cmd.RequestId] = true
	}
	r.visitors.unsure = note
	for _, p := range r.crowd.people {
		p.unsure = note
	}
}

// recover waits until everybody who lost their connection is back and has been told of every numbered event;
// what is missing in the end, the checks tell.
func (r *playRun) recover(ctx context.Context) {
	if r.back != nil {
		until(ctx, comePatience, func() bool { return r.back.away() == 0 && r.visitors.away() == 0 })
	}
	head := r.head() // the host of a run by agents may go on
	until(ctx, r.pace.news, func() bool { n, _ := r.visitors.behind(head); return n == 0 })
	if n, first := r.visitors.behind(head); n > 0 {
		r.visitors.gaps.add("%d viewers were not told of the last numbered events, %s", n, first)
	}
}

// checkCameBack holds that all who lost their connection came back.
func (r *playRun) checkCameBack() Check {
	lost := r.back.lost.count() + r.visitors.lost.count()
	return r.back.failed.check("came_back", fmt.Sprintf("%d connections were lost and replaced", lost))
}
