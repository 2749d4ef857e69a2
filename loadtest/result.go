package loadtest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
)

// Check is one thing that had to hold.
type Check struct {
	Name string `json:"name"`
	OK   bool   `json:"ok"`
	// Skipped says why it could not be looked at; then OK says nothing.
	Skipped string `json:"skipped,omitempty"`
	// Detail counts what was compared, or tells what is wrong.
	Detail string `json:"detail"`
}

// Result is what a run found.
type Result struct {
	Scenario string    `json:"scenario"`
	Passed   bool      `json:"passed"`
	Seconds  float64   `json:"seconds"`
	Viewers  int       `json:"viewers"`
	Checks   []Check   `json:"checks"`
	Figures  []Figure  `json:"figures"`
	Latency  []Latency `json:"latency"`
}

// Figure is a count worth telling.
type Figure struct {
	Name  string `json:"name"`
	Value int64  `json:"value"`
}

// judge sets Passed: every check that could be looked at held, and there was one.
func (r *Result) judge() {
	looked := false
	r.Passed = true
	for _, c := range r.Checks {
		if c.Skipped == "" {
			looked = true
			r.Passed = r.Passed && c.OK
		}
	}
	r.Passed = r.Passed && looked
}

// WriteJSON writes the result as one indented JSON object.
func (r *Result) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}

// WriteSummary writes tables for people, in one piece.
func (r *Result) WriteSummary(w io.Writer) error {
	var text bytes.Buffer
	tab := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintf(tab, "\n%s: %d viewers, %.1f s\n\n", r.Scenario, r.Viewers, r.Seconds)
	for _, f := range r.Figures {
		fmt.Fprintf(tab, "%s\t%d\n", f.Name, f.Value)
	}
	fmt.Fprintf(tab, "\nlatency, ms\tcount\tp50\tp95\tp99\tp99.9\tmax\n")
	for _, l := range r.Latency {
		fmt.Fprintf(tab, "%s\t%d\t%.1f\t%.1f\t%.1f\t%.1f\t%.1f\n", l.Name, l.Count, l.P50, l.P95, l.P99, l.P999, l.Max)
	}
	fmt.Fprintf(tab, "\ncheck\n")
	for _, c := range r.Checks {
		word := "FAIL"
		switch {
		case c.Skipped != "":
			word = "skipped"
		case c.OK:
			word = "pass"
		}
		detail := c.Detail
		if c.Skipped != "" {
			detail = c.Skipped
		}
		fmt.Fprintf(tab, "%s\t%s\t%s\n", c.Name, word, detail)
	}
	verdict := "FAILED"
	if r.Passed {
		verdict = "passed"
	}
	fmt.Fprintf(tab, "\n%s\n", verdict)
	tab.Flush() // a buffer takes everything
	_, err := w.Write(text.Bytes())
	return err
}
