package fault

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// mutant is a mistake that somebody could make: the source with some texts replaced. The case that it
// names must fail with it.
type mutant struct {
	name   string
	edits  []edit
	killer string
}

// mutants are all of them; a file of cases adds those that its cases kill here.
var mutants = slices.Concat(saleMutants, paymentMutants, orderMutants, giftMutants, modelMutants)

// TestMutants holds that each case can fail: every mutant is run against the case that must find it,
// or with -mutants against every case.
func TestMutants(t *testing.T) {
	if *mutating == "none" {
		t.Skip("-mutants=none")
	}
	report := newReport(t, "mutant", "killed by", "result", "time", "how it showed")
	for _, m := range mutants {
		if *mutating != "" && *mutating != "all" && *mutating != m.name {
			continue
		}
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			v := variant{mutant: m}
			t.Cleanup(v.forget)
			against := []string{m.killer}
			if *mutating != "" {
				against = nil
				for _, c := range cases {
					against = append(against, c.name)
				}
			}
			killers, words := m.hunt(t, v, against)
			result := "killed"
			if !slices.Contains(killers, m.killer) {
				result = "SURVIVED"
				t.Errorf("the mutant survived %s", m.killer)
			}
			report.row(m.name, strings.Join(killers, ", "), result, time.Since(began).Round(10*time.Millisecond).String(), words)
		})
	}
}

// Every case can fail: it is the killer of some mutant.
func TestEachCaseKills(t *testing.T) {
	for _, c := range cases {
		if !slices.ContainsFunc(mutants, func(m mutant) bool { return m.killer == c.name }) {
			t.Errorf("no mutant names %s", c.name)
		}
	}
}

// control is the binary with every mutant in it, being none of them.
var control = mutant{name: "control"}

// TestControl holds that no case fails but for a mutant: with the binary that all of them share, and in the
// time that they get.
func TestControl(t *testing.T) {
	if *mutating != "all" && *mutating != control.name {
		t.Skip("runs with -mutants=control")
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if killers, _ := control.hunt(t, variant{mutant: control}, []string{c.name}); len(killers) > 0 {
				t.Error("the case failed without a mutant")
			}
		})
	}
}

// hunt runs cases with a mutant and returns those that failed, and what the killer said first.
func (m mutant) hunt(t *testing.T, v variant, against []string) (killers []string, words string) {
	for _, name := range against {
		i := slices.IndexFunc(cases, func(c faultCase) bool { return c.name == name })
		if i < 0 {
			t.Fatalf("there is no case %s", name)
		}
		trial := newTrial(t)
		trial.run(func() { cases[i].play(trial, v) })
		if t.Skipped() { // a server cannot be had
			t.SkipNow()
		}
		if !trial.Failed() {
			continue
		}
		if m.name == control.name {
			t.Log(strings.Join(trial.said, "\n"))
		}
		if !trial.begun {
			t.Fatalf("case %s did not begin: %s", name, strings.Join(trial.said, "\n"))
		}
		killers = append(killers, name)
		if name == m.killer {
			words = trial.words()
		}
	}
	return killers, words
}

// trial runs a case that is expected to fail: what it says against the case is kept, and the test that
// it is part of goes on.
type trial struct {
	*testing.T
	cleanups []func()
	begun    bool // what failed before says nothing about the mutant: it may not even compile

	mu     sync.Mutex
	failed bool
	said   []string
}

func newTrial(t *testing.T) *trial { return &trial{T: t} }

// run runs fn, which may end itself by a fatal error, and then cleans up after it.
func (t *trial) run(fn func()) {
	for _, step := range append([]func(){fn}, func() {
		for len(t.cleanups) > 0 {
			last := t.cleanups[len(t.cleanups)-1]
			t.cleanups = t.cleanups[:len(t.cleanups)-1]
			last()
		}
	}) {
		ended := make(chan struct{})
		go func() { // ends with step, as waited for here
			defer close(ended)
			step()
		}()
		<-ended
	}
}

func (t *trial) note(text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failed = true
	t.said = append(t.said, strings.TrimSpace(text))
}

func (t *trial) words() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	first, _, _ := strings.Cut(strings.Join(t.said, "\n"), "\n")
	return first[:min(len(first), 160)]
}

// What of testing.TB ends or fails a test.

func (t *trial) Cleanup(fn func())                 { t.cleanups = append(t.cleanups, fn) }
func (t *trial) Error(args ...any)                 { t.note(fmt.Sprintln(args...)) }
func (t *trial) Errorf(format string, args ...any) { t.note(fmt.Sprintf(format, args...)) }
func (t *trial) Fail()                             { t.note("failed") }
func (t *trial) FailNow()                          { t.note("failed"); runtime.Goexit() }
func (t *trial) Fatal(args ...any)                 { t.note(fmt.Sprintln(args...)); runtime.Goexit() }
func (t *trial) Fatalf(format string, args ...any) {
	t.note(fmt.Sprintf(format, args...))
	runtime.Goexit()
}
func (t *trial) Failed() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.failed
}

// Log keeps what a failing case says to itself.
func (t *trial) Log(...any)          {}
func (t *trial) Logf(string, ...any) {}
