package loadtest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"time"
)

const (
	maxFaults = 100
	// faultPatience bounds a fault's command.
	faultPatience = 30 * time.Second
)

// Fault is something bad that is done to the servers during a run.
type Fault struct {
	// At is when, after the begin of the run.
	At time.Duration
	// Do says what: kill, restart, freeze or thaw, and whom: gateway N, counted from 1 in the order of the
	// target, ledger, redis, postgres or nats. "kill gateway 2" ends it with SIGKILL, a restart ends it in
	// order, and who owns the process starts it again. A freeze stops it as it stands until a thaw.
	Do string
	// For is after how long a freeze thaws by itself, 0 for never.
	For time.Duration
	// Run is a command for the shell, in place of Do.
	Run string
}

var faultForm = regexp.MustCompile(`^(kill|restart|freeze|thaw) (gateway [1-9][0-9]?|ledger|redis|postgres|nats)$`)

// check says what is outside the limits, given the length of the run.
func (f Fault) check(length time.Duration) error {
	switch {
	case f.Do == "" && f.Run == "", f.Do != "" && f.Run != "":
		return errors.New(`a fault has either do, such as "kill gateway 2", or run, a command`)
	case f.Do != "" && !faultForm.MatchString(f.Do):
		return fmt.Errorf(`a fault does kill, restart, freeze or thaw to gateway N, ledger, redis, postgres or nats, not %q`, f.Do)
	case f.For != 0 && f.verb() != "freeze":
		return fmt.Errorf("only a freeze lasts for a time, not %q", f.name())
	case f.At < 0 || f.For < 0 || f.At+f.For > length:
		return fmt.Errorf("%s comes and ends within the %v of the stages, not after %v", f.name(), length, f.At+f.For)
	}
	return nil
}

func (f Fault) verb() string   { verb, _, _ := strings.Cut(f.Do, " "); return verb }
func (f Fault) object() string { _, object, _ := strings.Cut(f.Do, " "); return object }
func (f Fault) name() string   { return cmp.Or(f.Do, f.Run) }

// thaw is what ends a freeze.
func (f Fault) thaw() Fault { return Fault{At: f.At + f.For, Do: "thaw " + f.object()} }

// inOrder returns the faults with the ends of freezes, in the order of time.
func inOrder(faults []Fault) []Fault {
	var all []Fault
	for _, f := range faults {
		all = append(all, f)
		if f.For > 0 {
			all = append(all, f.thaw())
		}
	}
	slices.SortStableFunc(all, func(a, b Fault) int { return cmp.Compare(a.At, b.At) })
	return all
}

// checkFaults says which of the faults nobody here can do to the target.
func (t Target) checkFaults(faults []Fault) error {
	known := map[string]bool{}
	for _, f := range inOrder(faults) {
		known[f.Do] = true
		if _, given := t.FaultCommands[f.Do]; f.Run != "" || given {
			continue
		}
		n := 0
		if _, err := fmt.Sscanf(f.object(), "gateway %d", &n); err == nil && n > len(t.Gateways) {
			return fmt.Errorf("%s: the target has %d gateways", f.Do, len(t.Gateways))
		}
		if t.readyFile == "" {
			return fmt.Errorf("%s: nobody here can do that: point --ready-file at a livecart dev --processes of this machine, or say how with --fault-command '%s=COMMAND'", f.Do, f.Do)
		}
		if _, err := t.process(f.object()); err != nil {
			return fmt.Errorf("%s: %w; start livecart dev with --processes, or say how with --fault-command '%s=COMMAND'", f.Do, err, f.Do)
		}
	}
	for name := range t.FaultCommands {
		if !known[name] {
			return fmt.Errorf("a command is given for %q, which the scenario does not do", name)
		}
	}
	return nil
}

// cause does a fault now.
func (t Target) cause(ctx context.Context, f Fault) error {
	command := cmp.Or(t.FaultCommands[f.Do], f.Run)
	if command == "" {
		p, err := t.process(f.object())
		if err != nil {
			return err
		}
		return p.signal(f.verb())
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), faultPatience)
	defer cancel()
	shell := exec.CommandContext(ctx, "/bin/sh", "-c", command)
	shell.WaitDelay = time.Second
	if said, err := shell.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %.200s", command, err, strings.TrimSpace(string(said)))
	}
	return nil
}

// afflict does all faults in their time, counted from begin, and returns a mark for each and why one could
// not be done. At the end of ctx it does the thaws that are left, and nothing else.
func (t Target) afflict(ctx context.Context, begin time.Time, faults []Fault, m *Meter) (marks []Mark, failed []string) {
	frozen := map[string]bool{}
	for _, f := range inOrder(faults) {
		pause(ctx, time.Until(begin.Add(f.At)))
		if ctx.Err() != nil && !(f.verb() == "thaw" && frozen[f.object()]) {
			continue
		}
		text := "fault: " + f.name()
		if err := t.cause(ctx, f); err != nil {
			text = fmt.Sprintf("fault failed: %s: %v", f.name(), err)
			failed = append(failed, text)
		}
		frozen[f.object()] = f.verb() == "freeze"
		m.Count("faults", 1)
		marks = append(marks, Mark{time.Since(m.begin).Seconds(), text})
	}
	return marks, failed
}
