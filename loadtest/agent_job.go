package loadtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"
)

// reportStep is the last step, and the one that is done after a stop too.
const reportStep = "report"

// player plays one part of a run.
type player interface {
	// viewers is how many connections there are at most.
	viewers() int
	// do carries out one order. The end of ctx ends it at once.
	do(ctx context.Context, o order) (answer, error)
	progress() Progress
	// report tells what was measured and told; nothing else is under way.
	report() (report, error)
	// leave ends every connection and waits for what is left.
	leave()
}

// job is what an agent does for one run. Its methods but end want the agent's lock held.
type job struct {
	run   string
	heard time.Time // when the run was heard of last
	freed bool

	assigned []byte // the assignment, as far as it came
	player   player // nil before the first order
	ctx      context.Context
	cancel   context.CancelCauseFunc
	working  sync.WaitGroup // the step under way
	watching chan struct{}  // closed when nobody watches this process any more

	step   int
	done   bool
	answer answer
	err    error
	report []byte
}

// steady returns a moment that was told by the clock as one that later steps of the clock do not move.
func steady(t time.Time) time.Time {
	now := time.Now()
	return now.Add(t.Sub(now))
}

func newJob(run string) *job {
	j := &job{run: run, heard: time.Now(), done: true}
	j.ctx, j.cancel = context.WithCancelCause(context.Background()) // ends with stop, at the latest when the run is silent
	return j
}

// write takes in a page of the assignment. One that came before is not taken twice.
func (j *job) write(offset int, page []byte) error {
	switch {
	case j.player != nil:
		return errors.New("the run is under way")
	case offset > len(j.assigned):
		return fmt.Errorf("a page at %d leaves a hole after %d bytes", offset, len(j.assigned))
	case offset+len(page) > len(j.assigned):
		j.assigned = append(j.assigned[:offset], page...)
	}
	return nil
}

// begin begins a step, unless it is begun.
func (j *job) begin(w *waiter, o order) error {
	switch {
	case o.Step == j.step:
		return nil
	case o.Step != j.step+1 || !j.done:
		return fmt.Errorf("step %d cannot begin: step %d is the last", o.Step, j.step)
	case j.player == nil:
		if err := j.assign(w); err != nil {
			return err
		}
	}
	j.step, j.done, j.answer, j.err = o.Step, false, answer{}, nil
	w.Log(fmt.Sprintf("run %s: %s", j.run, o.Name))
	j.working.Go(func() { // ends with the step, which ends with stop; end waits for it
		var a answer
		var data []byte
		var err error
		if o.Name == reportStep {
			data, err = j.tell()
		} else if a, err = j.player.do(j.ctx, o); err == nil {
			err = j.ctx.Err()
		}
		if cause := context.Cause(j.ctx); cause != nil && o.Name != reportStep {
			err = cause
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		j.done, j.answer, j.err, j.report = true, a, err, data
	})
	return nil
}

// assign makes the player that the assignment asks for.
func (j *job) assign(w *waiter) error {
	var a assignment
	if err := json.Unmarshal(j.assigned, &a); err != nil {
		return fmt.Errorf("the assignment cannot be read: %w", err)
	}
	j.assigned = nil
	meter := NewMeter(steady(a.Begin))
	p, err := newPlayer(a, meter)
	if err != nil {
		return err
	}
	if w.Fits != nil {
		if err := w.Fits(p.viewers()); err != nil {
			return err
		}
	}
	w.Log(fmt.Sprintf("run %s: part %d of %d of room %s at %v", j.run, a.Part.Number+1, a.Part.Of, a.Room, a.Gateways))
	j.player, j.watching = p, make(chan struct{})
	go func() { // ends with stop; end waits for it
		defer close(j.watching)
		Servers{}.watch(j.ctx, meter)
	}()
	return nil
}

// newPlayer makes the player of an assignment.
func newPlayer(a assignment, meter *Meter) (player, error) {
	switch {
	case a.Play != nil:
		return newPlayPart(a, meter)
	case a.Fanout != nil:
		return newFanoutPart(a, meter)
	}
	return nil, errors.New("the assignment says nothing to play")
}

// tell makes the report.
func (j *job) tell() ([]byte, error) {
	r, err := j.player.report()
	if err != nil {
		return nil, err
	}
	r.Environment = describe(context.Background(), Target{})
	return json.Marshal(r)
}

func (j *job) state() state {
	s := state{Step: j.step, Done: j.done, Answer: j.answer}
	if j.err != nil {
		s.Error = j.err.Error()
	}
	if j.player != nil {
		s.Progress = j.player.progress()
	}
	return s
}

// stop ends the step under way for a reason.
func (j *job) stop(why error) { j.cancel(why) }

// end waits for the step under way, which was stopped, and leaves the room.
func (j *job) end() {
	j.working.Wait()
	if j.player != nil {
		<-j.watching
		j.player.leave()
	}
}
