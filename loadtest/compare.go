package loadtest

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
)

// Incomparable says why two results should not be compared, a reason each; nil when they can be.
func Incomparable(a, b *Result) []string {
	var why []string
	differ := func(what string, a, b any) {
		if a != b {
			why = append(why, fmt.Sprintf("%s differs: %v and %v", what, a, b))
		}
	}
	differ("the scenario", a.Scenario, b.Scenario)
	differ("the number of viewers", a.Viewers, b.Viewers)
	differ("the machine", a.Environment.CPU, b.Environment.CPU)
	differ("the number of agents", len(a.Environment.Agents), len(b.Environment.Agents))
	differ("what the servers stand on", strings.Join(a.Environment.Backends, ", "), strings.Join(b.Environment.Backends, ", "))
	for i, r := range []*Result{a, b} {
		name := []string{"A", "B"}[i]
		if r.Partial != "" {
			why = append(why, fmt.Sprintf("%s is partial: %s", name, r.Partial))
		}
		for _, reason := range r.Invalid {
			why = append(why, fmt.Sprintf("%s is invalid: %s", name, reason))
		}
	}
	offered := [2]map[string]int64{{}, {}}
	for i, r := range []*Result{a, b} {
		for _, l := range r.Load {
			offered[i][l.Kind] = l.Offered
		}
	}
	for _, kind := range bothKeys(offered[0], offered[1]) {
		differ("the offered load of "+kind, offered[0][kind], offered[1][kind])
	}
	return why
}

// bothKeys returns the names that either has, in order.
func bothKeys[V any](a, b map[string]V) []string {
	names := slices.AppendSeq(slices.Collect(maps.Keys(a)), maps.Keys(b))
	slices.Sort(names)
	return slices.Compact(names)
}

// WriteComparison writes two results side by side, with B as a multiple of A. What makes them hard to
// compare comes first.
func WriteComparison(w io.Writer, a, b *Result) error {
	var text bytes.Buffer
	for _, why := range Incomparable(a, b) {
		fmt.Fprintf(&text, "not comparable: %s\n", why)
	}
	tab := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintf(tab, "\n\tA\tB\tB/A\n")
	fmt.Fprintf(tab, "verdict\t%s\t%s\n", a.Verdict(), b.Verdict())
	// A figure that a run has not is no 0.
	part := func(name string, a, b float64, hasA, hasB bool, tell func(float64) string) {
		said, ratio := [2]string{"-", "-"}, "-"
		if hasA {
			said[0] = tell(a)
		}
		if hasB {
			said[1] = tell(b)
		}
		if hasA && hasB && a != 0 {
			ratio = fmt.Sprintf("%.2f", b/a)
		}
		fmt.Fprintf(tab, "%s\t%s\t%s\t%s\n", name, said[0], said[1], ratio)
	}
	row := func(name string, a, b float64, tell func(float64) string) { part(name, a, b, true, true, tell) }
	row("seconds", a.Seconds, b.Seconds, tellNumber)
	rates := [2]map[string]float64{{}, {}}
	latency := [2]map[string]Latency{{}, {}}
	for i, r := range []*Result{a, b} {
		for _, rate := range r.Rates {
			rates[i][rate.Name] = rate.Value
		}
		for _, l := range r.Latency {
			latency[i][l.Name] = l
		}
	}
	for _, name := range bothKeys(rates[0], rates[1]) {
		x, hasA := rates[0][name]
		y, hasB := rates[1][name]
		part(name, x, y, hasA, hasB, tellNumber)
	}
	fmt.Fprintf(tab, "\nlatency, ms\tA\tB\tB/A\n")
	for _, name := range bothKeys(latency[0], latency[1]) {
		a, b := latency[0][name], latency[1][name]
		if a.Count == 0 || b.Count == 0 {
			fmt.Fprintf(tab, "%s count\t%d\t%d\t-\n", name, a.Count, b.Count)
			continue
		}
		row(name+" count", float64(a.Count), float64(b.Count), tellWhole)
		row(name+" p50", a.P50, b.P50, tellNumber)
		row(name+" p95", a.P95, b.P95, tellNumber)
		row(name+" p99", a.P99, b.P99, tellNumber)
		row(name+" p99.9", a.P999, b.P999, tellNumber)
		row(name+" max", a.Max, b.Max, tellNumber)
	}
	fmt.Fprintf(tab, "\ncount\tA\tB\tB/A\n")
	for _, name := range bothKeys(a.Counts, b.Counts) {
		row(name, float64(a.Counts[name]), float64(b.Counts[name]), tellWhole)
	}
	fmt.Fprintf(tab, "\nhighest value\tA\tB\tB/A\n")
	for _, name := range bothKeys(a.Series.Gauges, b.Series.Gauges) {
		high, higher := a.Series.Gauges[name], b.Series.Gauges[name]
		x, _ := high.peak()
		y, _ := higher.peak()
		part(name, x, y, len(high.Values) > 0, len(higher.Values) > 0, tellNumber)
	}
	writeVerdicts(tab, a, b)
	tab.Flush() // a buffer takes everything
	_, err := w.Write(text.Bytes())
	return err
}

// writeVerdicts puts thresholds and checks side by side.
func writeVerdicts(w io.Writer, a, b *Result) {
	words := [2]map[string]string{{}, {}}
	for i, r := range []*Result{a, b} {
		for _, t := range r.Thresholds {
			words[i][t.Threshold] = passOrFail(t.OK) + " " + t.Value
		}
		for _, c := range r.Checks {
			words[i][c.Name] = c.Word()
		}
	}
	names := bothKeys(words[0], words[1])
	if len(names) == 0 {
		return
	}
	fmt.Fprintf(w, "\nthreshold or check\tA\tB\n")
	for _, name := range names {
		said := [2]string{"-", "-"}
		for i := range said {
			if word, ok := words[i][name]; ok {
				said[i] = word
			}
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", name, said[0], said[1])
	}
}

func tellWhole(v float64) string { return fmt.Sprintf("%.0f", v) }
