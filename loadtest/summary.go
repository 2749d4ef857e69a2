package loadtest

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
)

// WriteSummary writes tables for people, in one piece.
func (r *Result) WriteSummary(w io.Writer) error {
	var text bytes.Buffer
	tab := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintf(tab, "\n%s: %d viewers, %.1f s\n", r.Scenario, r.Viewers, r.Seconds)
	for _, line := range r.Environment.lines() {
		fmt.Fprintf(tab, "%s\t%s\n", line.Name, line.Value)
	}
	if len(r.Figures)+len(r.Rates) > 0 {
		fmt.Fprintln(tab)
	}
	for _, f := range r.Figures {
		fmt.Fprintf(tab, "%s\t%d\n", f.Name, f.Value)
	}
	for _, rate := range r.Rates {
		fmt.Fprintf(tab, "%s\t%s\n", rate.Name, tellNumber(rate.Value))
	}
	if len(r.Load) > 0 {
		fmt.Fprintf(tab, "\nload\toffered\tsent\n")
		for _, l := range r.Load {
			fmt.Fprintf(tab, "%s\t%d\t%d\n", l.Kind, l.Offered, l.Sent)
		}
	}
	if len(r.Latency) > 0 {
		fmt.Fprintf(tab, "\nlatency, ms\tcount\tp50\tp95\tp99\tp99.9\tmax\n")
	}
	for _, l := range r.Latency {
		fmt.Fprintf(tab, "%s\t%d\t%.1f\t%.1f\t%.1f\t%.1f\t%.1f\n", l.Name, l.Count, l.P50, l.P95, l.P99, l.P999, l.Max)
	}
	if losses := r.losses(); len(losses) > 0 {
		fmt.Fprintf(tab, "\nlost and refused\n")
		for _, f := range losses {
			fmt.Fprintf(tab, "%s\t%d\n", f.Name, f.Value)
		}
	}
	if len(r.Marks) > 0 {
		fmt.Fprintf(tab, "\nsecond\twhat happened\n")
		for _, m := range r.Marks {
			fmt.Fprintf(tab, "%.1f\t%s\n", m.Second, m.Text)
		}
	}
	if len(r.Thresholds) > 0 {
		fmt.Fprintf(tab, "\nthreshold\n")
		for _, t := range r.Thresholds {
			fmt.Fprintf(tab, "%s\t%s\t%s\n", t.Threshold, passOrFail(t.OK), t.Value)
		}
	}
	if len(r.Checks) > 0 {
		fmt.Fprintf(tab, "\ncheck\n")
		for _, c := range r.Checks {
			fmt.Fprintf(tab, "%s\t%s\t%s\n", c.Name, c.Word(), cmp.Or(c.Skipped, c.Detail))
		}
	}
	fmt.Fprintln(tab)
	for _, warning := range r.Environment.Warnings {
		fmt.Fprintf(tab, "warning: %s\n", warning)
	}
	for _, why := range r.Invalid {
		fmt.Fprintf(tab, "invalid: %s\n", why)
	}
	if r.Partial != "" {
		fmt.Fprintf(tab, "partial: %s\n", r.Partial)
	}
	fmt.Fprintln(tab, r.Verdict())
	tab.Flush() // a buffer takes everything
	_, err := w.Write(text.Bytes())
	return err
}

// losses are the counts of what did not reach its end, none of them 0.
func (r *Result) losses() []Figure {
	var losses []Figure
	for _, name := range slices.Sorted(maps.Keys(r.Counts)) {
		head, _, _ := strings.Cut(name, ".")
		if r.Counts[name] != 0 && slices.Contains([]string{"refused", "sampled", "skipped", "slow", "gaps", "reconnects", "join_failed", "closed"}, head) {
			losses = append(losses, Figure{name, r.Counts[name]})
		}
	}
	return losses
}

// Word is how the check came out: pass, FAIL or skipped.
func (c Check) Word() string {
	if c.Skipped != "" {
		return "skipped"
	}
	return passOrFail(c.OK)
}

func passOrFail(ok bool) string {
	if ok {
		return "pass"
	}
	return "FAIL"
}

// tellNumber gives a number at least three digits.
func tellNumber(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}
