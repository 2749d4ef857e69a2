package loadtest

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

// ResultVersion is that of a result's JSON. Fields may be added to a version; what is there keeps its
// meaning.
const ResultVersion = 1

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
	Version  int       `json:"version"`
	Scenario string    `json:"scenario"`
	Begin    time.Time `json:"begin"`
	Passed   bool      `json:"passed"`
	// Partial says how the run ended before its end; then it was not judged, and what was measured is
	// of the part that was played.
	Partial string `json:"partial,omitempty"`
	// Invalid says why the run tells nothing about the server, a reason each.
	Invalid []string `json:"invalid,omitempty"`
	// Seconds are how long it took, Viewers how many were to join.
	Seconds     float64           `json:"seconds"`
	Viewers     int               `json:"viewers"`
	Environment Environment       `json:"environment"`
	Checks      []Check           `json:"checks"`
	Thresholds  []ThresholdResult `json:"thresholds"`
	Figures     []Figure          `json:"figures"`
	// Load compares what was due with what was sent, where the run had a schedule.
	Load    []Load           `json:"load"`
	Rates   []Rate           `json:"rates"`
	Latency []Latency        `json:"latency"`
	Counts  map[string]int64 `json:"counts"`
	Series  Series           `json:"series"`
	// Marks are what happened at a time, such as faults, in order.
	Marks []Mark `json:"marks"`
}

// Figure is a count worth telling.
type Figure struct {
	Name  string `json:"name"`
	Value int64  `json:"value"`
}

// Load is how much of one kind was due and how much of it was sent.
type Load struct {
	Kind    string `json:"kind"`
	Offered int64  `json:"offered"`
	Sent    int64  `json:"sent"`
}

// Rate is one measure derived from others. Its name says the unit.
type Rate struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
}

// Mark is something that happened in a second of the run: "fault: gateway 2 killed".
type Mark struct {
	Second float64 `json:"second"`
	Text   string  `json:"text"`
}

// measure takes in everything that a meter has. Seconds must be set.
func (r *Result) measure(m *Meter) {
	r.Version, r.Begin = ResultVersion, m.begin.UTC()
	r.Latency, r.Counts, r.Series = m.Latencies(), m.Totals(), m.Series()
	r.Load, r.Rates = r.offered(), r.rates()
}

// offered pairs offered.KIND with sent.KIND.
func (r *Result) offered() []Load {
	load := []Load{}
	for _, name := range slices.Sorted(maps.Keys(r.Counts)) {
		if kind, ok := strings.CutPrefix(name, "offered."); ok {
			load = append(load, Load{kind, r.Counts[name], r.Counts["sent."+kind]})
		}
	}
	return load
}

// rates derives what several figures tell together, as far as they are there.
func (r *Result) rates() []Rate {
	rates := []Rate{}
	add := func(name string, a, b float64) {
		if a > 0 && b > 0 {
			rates = append(rates, Rate{name, a / b})
		}
	}
	delivered := float64(r.Counts["delivered"])
	viewers, cpu, rss := r.Series.Gauges["viewers"], r.Series.Gauges["server.cpu"], r.Series.Gauges["server.rss"]
	add("deliveries a second", delivered, r.Seconds)
	add("deliveries a server CPU second", delivered, cpu.last())
	add("cores that this program used in its busiest second", r.Series.Gauges["client.cpu"].steepest(), 1)
	peak, at := viewers.peak()
	add("bytes a viewer", float64(r.Counts["bytes_in"]), peak)
	if top, _ := rss.peak(); len(rss.Values) > 0 {
		add("server memory a viewer, bytes, above the first value", top-rss.Values[0], peak)
	}
	joins := int64(0)
	for second, n := range r.Series.Times["join"].Count {
		if second <= at {
			joins += n
		}
	}
	// A second's CPU is told by the sample that begins the next one.
	add("server CPU a join, ms, until the most viewers", 1000*cpu.at(at+1), float64(joins))
	return rates
}

// judge compares with the thresholds and sets Passed: the run was valid and played to its end, every
// check that could be looked at held, and there was one.
func (r *Result) judge(thresholds []Threshold) {
	r.Thresholds = []ThresholdResult{}
	r.Passed = r.Partial == "" && len(r.Invalid) == 0
	looked := false
	for _, t := range thresholds {
		result := t.judge(r)
		r.Thresholds = append(r.Thresholds, result)
		looked = true
		r.Passed = r.Passed && result.OK
	}
	for _, c := range r.Checks {
		if c.Skipped == "" {
			looked = true
			r.Passed = r.Passed && c.OK
		}
	}
	r.Passed = r.Passed && looked
}

// Verdict is the result in a word: passed, FAILED, INVALID or INTERRUPTED.
func (r *Result) Verdict() string {
	switch {
	case r.Partial != "":
		return "INTERRUPTED"
	case len(r.Invalid) > 0:
		return "INVALID"
	case r.Passed:
		return "passed"
	}
	return "FAILED"
}

// WriteJSON writes the result as one indented JSON object.
func (r *Result) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}

// ReadResult reads what WriteJSON wrote. It refuses another version, and what is no result.
func ReadResult(from io.Reader) (*Result, error) {
	var r Result
	dec := json.NewDecoder(from)
	if err := dec.Decode(&r); err != nil {
		return nil, fmt.Errorf("no result of a run: %w", err)
	}
	if r.Version != ResultVersion {
		return nil, fmt.Errorf("the result has version %d, this program reads version %d", r.Version, ResultVersion)
	}
	return &r, nil
}
