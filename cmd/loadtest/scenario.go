package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"livecart/loadtest"
)

const (
	smokeName    = "smoke"
	smokeSummary = "A small room in which everything happens once: comments, likes, gifts with lost replies, a flash sale"
)

// listCommand names the scenarios.
type listCommand struct{}

// Run prints a line for each.
func (listCommand) Run(_ context.Context, out output) error {
	all, err := loadtest.Scenarios()
	if err != nil {
		return err
	}
	tab := tabwriter.NewWriter(out.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintf(tab, "%s\t%s\n", smokeName, smokeSummary)
	for _, s := range all {
		fmt.Fprintf(tab, "%s\t%s\n", s.Name, s.Summary())
	}
	return tab.Flush()
}

// showCommand explains one scenario.
type showCommand struct {
	Scenario string        `arg:"" help:"One that loadtest list names, or a file."`
	Viewers  int           `help:"In this size; the scenario's own by default." placeholder:"N"`
	Rooms    *int          `help:"With so many rooms, where it has many; the scenario's own by default." placeholder:"N"`
	For      time.Duration `help:"Of this length; the scenario's own by default." placeholder:"TIME"`
}

// Run prints what the scenario is for, where its numbers come from, and what they come to.
func (c *showCommand) Run(_ context.Context, out output) error {
	if c.Scenario == smokeName {
		_, err := fmt.Fprintf(out.stdout, "%s\n\n%s.\nThe first thing to run against a room: it takes half a minute and fails when anything is lost,\ndoubled or oversold. It has no schedule: each viewer does the next thing when the last has an outcome.\n", smokeName, smokeSummary)
		return err
	}
	scenario, err := findScenario(c.Scenario)
	if err != nil {
		return err
	}
	size := runCommand{Rooms: c.Rooms}
	if c.Viewers != 0 {
		size.Viewers = &c.Viewers
	}
	if scenario, err = size.scale(scenario); err != nil {
		return err
	}
	plan, err := scenario.Plan(c.Viewers, c.For)
	if err != nil {
		return err
	}
	return plan.Write(out.stdout)
}

// findScenario returns a built-in scenario, or what a file says: a name with a folder or an ending is a file's.
func findScenario(name string) (loadtest.Scenario, error) {
	if strings.ContainsRune(name, filepath.Separator) || filepath.Ext(name) != "" {
		return loadtest.ReadScenario(name)
	}
	all, err := loadtest.Scenarios()
	if err != nil {
		return loadtest.Scenario{}, err
	}
	names := []string{smokeName}
	for _, s := range all {
		if s.Name == name {
			return s, nil
		}
		names = append(names, s.Name)
	}
	return loadtest.Scenario{}, fmt.Errorf("there is no scenario %q: there are %s, and files, such as ./evening.yaml", name, strings.Join(names, ", "))
}

// plan returns what is played, nil for smoke. Flags of the other kind of run are refused.
func (c *runCommand) plan() (*loadtest.Plan, error) {
	if c.Scenario == smokeName {
		switch {
		case c.Rooms != nil:
			return nil, errors.New("--rooms is for scenarios of many rooms")
		case c.For != 0 || c.Seed != nil || c.MostLate != 0:
			return nil, errors.New("--for, --seed and --most-late are for scenarios with a schedule, which smoke has not")
		case given(c.Viewers, 1) < 1 || given(c.Pieces, 1) < 1 || given(c.Attempts, 1) < 1:
			return nil, errors.New("--viewers, --pieces and --attempts are above 0")
		}
		return nil, nil
	}
	if c.Pieces != nil || c.Attempts != nil {
		return nil, errors.New("--pieces and --attempts are for smoke")
	}
	if given(c.Viewers, 1) < 1 || c.For < 0 || c.MostLate < 0 {
		return nil, errors.New("--viewers, --for and --most-late are above 0")
	}
	scenario, err := findScenario(c.Scenario)
	if err != nil {
		return nil, err
	}
	if scenario, err = c.scale(scenario); err != nil {
		return nil, err
	}
	plan, err := scenario.Plan(given(c.Viewers, 0), c.For)
	return &plan, err
}

// scale gives a scenario of many rooms the rooms and viewers of the flags; where one of the two is given the
// other grows or shrinks with it.
func (c *runCommand) scale(s loadtest.Scenario) (loadtest.Scenario, error) {
	switch {
	case s.Rooms == 0 && c.Rooms != nil:
		return s, errors.New("--rooms is for scenarios of many rooms")
	case s.Rooms == 0:
		return s, nil
	case c.History != "" || len(c.Fault) > 0 || c.agentFlags != (agentFlags{}):
		return s, errors.New("--history, --fault-command and agents are not for scenarios of many rooms")
	case given(c.Rooms, 1) < 1:
		return s, errors.New("--rooms is above 0")
	}
	rooms := given(c.Rooms, max(s.Rooms*given(c.Viewers, s.Viewers)/s.Viewers, 1))
	s.Rooms, s.Viewers = rooms, given(c.Viewers, s.Viewers*rooms/s.Rooms)
	return s, nil
}

// given is the value of a flag, or what it is by default.
func given[T any](flag *T, otherwise T) T {
	if flag == nil {
		return otherwise
	}
	return *flag
}
