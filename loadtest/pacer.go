package loadtest

import (
	"context"
	"fmt"
	"iter"
	"time"
)

// figureLateness is the time by which arrivals were handed out later than they were due.
const figureLateness = "lateness"

// defaultMostLate is how late 99 of 100 arrivals may be handed out at most in a valid run. People see a
// tenth of a second; half of it is far below what a run wants to know of a server and far above what a
// timer is off.
const defaultMostLate = 50 * time.Millisecond

// Pacer hands out arrivals at their times, whatever became of those before: load is open, a server that
// falls behind gets no rest. Use one for one run.
type Pacer struct {
	begin time.Time
	meter *Meter
}

// NewPacer returns a Pacer of a run that begins at begin. It counts each arrival under its kind, as
// offered.comment, and times under lateness how much later than due it was handed out.
func NewPacer(begin time.Time, meter *Meter) *Pacer { return &Pacer{begin: begin, meter: meter} }

// Run calls do for each arrival at its time, one after the other, and returns when there are no more or
// ctx ends, with its error. do must not wait for what it begins: everything that comes after it is late
// then, which lateness tells. Latency counts from due, the time at which the arrival should have been.
func (p *Pacer) Run(ctx context.Context, arrivals iter.Seq[Arrival], do func(a Arrival, due time.Time)) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for a := range arrivals {
		due := p.begin.Add(a.At)
		if err := p.wait(ctx, timer, due); err != nil {
			return err
		}
		p.meter.Time(figureLateness, time.Since(due))
		p.meter.Count("offered."+a.Kind.String(), 1)
		do(a, due)
	}
	return ctx.Err()
}

// wait returns when it is due.
func (p *Pacer) wait(ctx context.Context, timer *time.Timer, due time.Time) error {
	left := time.Until(due)
	if left <= 0 {
		return ctx.Err()
	}
	timer.Reset(left)
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// punctual says whether a run was played on time: 99 of 100 arrivals not later than most, 50 ms when 0.
// What an unpunctual run measured is what the generator could do.
func punctual(m *Meter, most time.Duration) error {
	if most == 0 {
		most = defaultMostLate
	}
	limit := milliseconds(most.Microseconds())
	for _, l := range m.Latencies() {
		const kept = 1.001 // times are kept to three digits, the last one rounded up
		if l.Name == figureLateness && l.P99 > limit*kept {
			return fmt.Errorf("the generator could not keep up: 1 of 100 arrivals was handed out %.0f ms late or later, %.0f ms is the limit; take fewer viewers, or more machines",
				l.P99, limit)
		}
	}
	return nil
}
