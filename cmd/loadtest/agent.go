package main

import (
	"context"
	"errors"
	"fmt"

	"livecart/loadtest"
)

// agentCommand plays viewers for runs of other machines.
type agentCommand struct {
	NATS string `name:"nats" help:"Where runs look for agents; several addresses are separated by commas." placeholder:"URL" required:""`
	Name string `help:"What reports call it; host name and process number by default." placeholder:"NAME"`
}

// Run waits for runs until Ctrl-C, which stops the one that is under way.
func (c agentCommand) Run(ctx context.Context, out output) error {
	return loadtest.Agent{
		NATSURL: c.NATS, Name: c.Name, Fits: checkDescriptors,
		Log: func(line string) { fmt.Fprintln(out.stderr, line) },
	}.Run(ctx)
}

// agentFlags say who plays a run in place of this process.
type agentFlags struct {
	Agents *int   `help:"Have this many loadtest agents play the viewers; this process steers and checks." placeholder:"N"`
	NATS   string `name:"nats" help:"Where the agents wait; that of the ready file by default." placeholder:"URL"`
}

// agents returns those that play, none without --agents.
func (f agentFlags) agents(scenario string, target loadtest.Target) (loadtest.Agents, error) {
	switch {
	case f.Agents == nil && f.NATS != "":
		return loadtest.Agents{}, errors.New("--nats goes with --agents")
	case f.Agents == nil:
		return loadtest.Agents{}, nil
	case scenario == smokeName:
		return loadtest.Agents{}, errors.New("--agents are for scenarios with a schedule, which smoke has not")
	case *f.Agents < 1:
		return loadtest.Agents{}, errors.New("--agents is above 0")
	case f.NATS == "" && target.NATSURL == "":
		return loadtest.Agents{}, errors.New("--agents needs --nats, where they wait")
	case f.NATS == "":
		return loadtest.Agents{Count: *f.Agents, NATSURL: target.NATSURL}, nil
	}
	return loadtest.Agents{Count: *f.Agents, NATSURL: f.NATS}, nil
}
