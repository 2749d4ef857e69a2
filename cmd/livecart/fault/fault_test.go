package fault

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"
)

// faultCase is one way for something to go wrong. After run the runner ends all faults and checks
// Redis against Postgres, every invariant, and the clients' history.
type faultCase struct {
	name     string
	injected string // what goes wrong
	holds    string // what must hold all the same, besides the checks of every case
	setup    setup
	run      func(w *world)
	// source is in place of setup and run for a case that needs no processes, only a variant's source.
	source func(t testing.TB, v variant)
}

// cases are all of them; a file of cases adds its own list here.
var cases = slices.Concat(gatewayCases, ledgerCases, retryCases, serverCases, paymentCases, orderCases, giftCases, modelCases)

// TestFaults is the suite in its short form.
func TestFaults(t *testing.T) {
	report := newReport(t, "case", "injected", "held", "result", "time")
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			build(t, variant{}) // takes no time of the case
			began := time.Now()
			t.Cleanup(func() {
				result := "ok"
				if t.Failed() {
					result = "FAILED"
				}
				report.row(c.name, c.injected, c.holds, result, time.Since(began).Round(10*time.Millisecond).String())
			})
			c.play(t, variant{})
		})
	}
}

// play runs a case with a variant.
func (c faultCase) play(t testing.TB, v variant) {
	if c.source != nil {
		c.source(t, v)
		return
	}
	w := newWorld(t, c.setup, build(t, v))
	begin(t)
	c.run(w)
	if !t.Failed() {
		w.finish()
	}
}

// begin marks that what fails from here on says something against the variant.
func begin(t testing.TB) {
	if trial, ok := t.(*trial); ok {
		trial.begun = true
	}
}

// begun reports whether a mutant's trial has begun.
func begun(t testing.TB) bool {
	trial, ok := t.(*trial)
	return ok && trial.begun
}

// report is a table that is shown when its test ends.
type report struct {
	mu   sync.Mutex
	head []string
	rows [][]string
}

func newReport(t *testing.T, head ...string) *report {
	r := &report{head: head}
	t.Cleanup(func() {
		if *table {
			fmt.Print(r)
			return
		}
		t.Logf("\n%s", r)
	})
	return r
}

func (r *report) row(cells ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rows = append(r.rows, cells)
}

// String is the table as text, sorted by its first column.
func (r *report) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	slices.SortFunc(r.rows, func(a, b []string) int { return strings.Compare(a[0], b[0]) })
	var text strings.Builder
	out := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	for _, cells := range append([][]string{r.head}, r.rows...) {
		fmt.Fprintln(out, strings.Join(cells, "\t"))
	}
	out.Flush()
	return text.String()
}
