package main

import (
	"errors"
	"time"

	"livecart/loadtest"
)

// fanoutName is a scenario that holds its viewers in a swarm: they come once, and stay.
const fanoutName = "fanout"

// fanoutFlags are for fanout alone.
type fanoutFlags struct {
	Rate     *int `help:"Comments a second in all of fanout's; the scenario's own number by default." placeholder:"N"`
	Bytes    *int `help:"Length of a comment of fanout's; the scenario's own by default." placeholder:"N"`
	Idle     bool `help:"Have fanout's viewers send nothing."`
	JoinRate *int `help:"Joins of fanout's that begin a second; 500 by default." placeholder:"N"`
}

// fanout returns what flags and the scenario make of fanout, nil for other scenarios. The time it takes
// to join comes before the length of the run.
func (f fanoutFlags) fanout(scenario string, plan *loadtest.Plan, length, mostLate time.Duration, recorded bool) (*loadtest.Fanout, error) {
	if scenario != fanoutName {
		if f != (fanoutFlags{}) {
			return nil, errors.New("--rate, --bytes, --idle and --join-rate are for fanout")
		}
		return nil, nil
	}
	if recorded {
		return nil, errors.New("--seed and --history are not for fanout: its load is even, without chance, and moves neither money nor stock")
	}
	run := &loadtest.Fanout{
		Viewers: plan.Viewers, Rate: given(f.Rate, int(plan.Publish)), MessageBytes: given(f.Bytes, plan.MessageBytes),
		For: length, Idle: f.Idle, JoinRate: given(f.JoinRate, 500), MostLate: mostLate,
	}
	if length == 0 {
		run.For = plan.Stages[len(plan.Stages)-1].For
	}
	if min(run.Rate, run.MessageBytes, run.JoinRate) < 1 {
		return nil, errors.New("--rate, --bytes and --join-rate are above 0")
	}
	return run, nil
}
