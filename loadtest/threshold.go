package loadtest

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Threshold is a limit that a run must keep, such as
//
//	p99(delivery.chat) < 500ms
//	count(closed.4029) == 0
//	rate(delivered) > 1000
//	gauge(server.rss) < 2GiB
//
// Of times there are p0 to p100, with decimals, and max, compared with a duration, and count. Of counts
// there are count and rate, which is a second over the whole run. Of gauges there are gauge, the highest
// value of any second, and last. Units of plain numbers are k, M, G and KiB, MiB, GiB. Spaces count for
// nothing.
type Threshold struct {
	text       string
	function   string
	percentile float64 // with function "p"
	figure     string
	operator   string
	limit      float64 // milliseconds for times
}

func (t Threshold) String() string { return t.text }

// thresholdOperators, each before what it begins with.
var thresholdOperators = []string{"<=", ">=", "==", "!=", "<", ">"}

// thresholdFunctions are what can be asked of each kind; p stands for percentiles.
var thresholdFunctions = map[FigureKind][]string{
	Times: {"p", "max", "count"}, Counts: {"count", "rate"}, Gauges: {"gauge", "last"},
}

// ParseThreshold reads a limit. Its error quotes it and says what is wrong, where that can be said with
// the position, counted from 1.
func ParseThreshold(text string) (Threshold, error) {
	t, err := parseThreshold(text)
	if err != nil {
		return Threshold{}, fmt.Errorf("threshold %q: %w", text, err)
	}
	return t, nil
}

func parseThreshold(text string) (Threshold, error) {
	p := thresholdParser{text: text}
	t := Threshold{text: strings.TrimSpace(text)}
	at := p.skip()
	function := p.take(func(c byte) bool { return c != '(' && c != ' ' })
	if err := t.setFunction(function); err != nil {
		return t, p.wrong(at, err.Error())
	}
	if err := p.expect("("); err != nil {
		return t, err
	}
	at = p.skip()
	t.figure = p.take(func(c byte) bool { return c != ')' && c != ' ' && !strings.ContainsRune("<>=!", rune(c)) })
	if t.figure == "" {
		return t, p.wrong(at, "the name of a figure is missing")
	}
	if err := p.expect(")"); err != nil {
		return t, err
	}
	kinds := kindOf(t.figure)
	if len(kinds) == 0 && !strings.ContainsAny(t.figure, "<>") {
		return t, unknownFigure(t.figure)
	}
	kind, ok := t.kind(kinds)
	if !ok {
		return t, p.wrong(1, fmt.Sprintf("%s is a %s, of which there is %s", t.figure, kinds[0], told(thresholdFunctions[kinds[0]])))
	}
	at = p.skip()
	i := slices.IndexFunc(thresholdOperators, func(op string) bool { return strings.HasPrefix(text[at-1:], op) })
	if i < 0 {
		return t, p.wrong(at, "expected one of < <= > >= == !=")
	}
	t.operator = thresholdOperators[i]
	p.at += len(t.operator)
	at = p.skip()
	limit, err := parseLimit(strings.TrimSpace(text[at-1:]), kind == Times && t.function != "count")
	if err != nil {
		return t, p.wrong(at, err.Error())
	}
	t.limit = limit
	return t, nil
}

// setFunction takes the word before the bracket.
func (t *Threshold) setFunction(word string) error {
	if number, ok := strings.CutPrefix(word, "p"); ok {
		if p, err := strconv.ParseFloat(number, 64); err == nil && p >= 0 && p <= 100 {
			t.function, t.percentile = "p", p
			return nil
		}
	}
	if slices.Contains([]string{"max", "count", "rate", "gauge", "last"}, word) {
		t.function = word
		return nil
	}
	return fmt.Errorf("expected p0 to p100, max, count, rate, gauge or last, not %q", word)
}

// kind returns the kind among those of the figure that the function goes with.
func (t Threshold) kind(kinds []FigureKind) (FigureKind, bool) {
	for _, k := range kinds {
		if slices.Contains(thresholdFunctions[k], t.function) {
			return k, true
		}
	}
	return "", false
}

// told lists functions for people.
func told(functions []string) string {
	return strings.Replace(strings.Join(functions, ", "), "p,", "p0 to p100,", 1)
}

// thresholdParser walks over the text; at is the index of what comes next.
type thresholdParser struct {
	text string
	at   int
}

// skip passes spaces and returns the position.
func (p *thresholdParser) skip() int {
	for p.at < len(p.text) && p.text[p.at] == ' ' {
		p.at++
	}
	return p.at + 1
}

func (p *thresholdParser) take(belongs func(byte) bool) string {
	begin := p.at
	for p.at < len(p.text) && belongs(p.text[p.at]) {
		p.at++
	}
	return p.text[begin:p.at]
}

func (p *thresholdParser) expect(word string) error {
	at := p.skip()
	if !strings.HasPrefix(p.text[p.at:], word) {
		return p.wrong(at, fmt.Sprintf("expected %q", word))
	}
	p.at += len(word)
	return nil
}

func (p *thresholdParser) wrong(at int, why string) error {
	return fmt.Errorf("position %d: %s", at, why)
}

// limitUnits are what a plain number may end with, longer ones first.
var limitUnits = []struct {
	unit   string
	factor float64
}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"kB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"k", 1e3}, {"M", 1e6}, {"G", 1e9}, {"", 1}}

// parseLimit reads a duration, in milliseconds, or a number.
func parseLimit(text string, duration bool) (float64, error) {
	if duration {
		d, err := time.ParseDuration(text)
		if err != nil || text == "0" {
			return 0, fmt.Errorf("expected a duration such as 500ms or 2s, not %q", text)
		}
		return float64(d) / float64(time.Millisecond), nil
	}
	for _, u := range limitUnits {
		if number, ok := strings.CutSuffix(text, u.unit); ok {
			v, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
			if err == nil && !math.IsNaN(v) && !math.IsInf(v, 0) {
				return v * u.factor, nil
			}
		}
	}
	return 0, fmt.Errorf("expected a number such as 1000, 1.5k or 2GiB, not %q", text)
}

// ThresholdResult is what came of a threshold.
type ThresholdResult struct {
	Threshold string `json:"threshold"`
	OK        bool   `json:"ok"`
	// Value is what was measured, for people. A figure without any value keeps no limit but one of a count.
	Value string `json:"value"`
}

const notMeasured = "nothing was measured"

// judge compares the result with the limit.
func (t Threshold) judge(r *Result) ThresholdResult {
	out := ThresholdResult{Threshold: t.text, Value: notMeasured}
	v, value, ok := t.measure(r)
	if !ok {
		return out
	}
	out.Value = value
	c := cmp.Compare(v, t.limit)
	out.OK = map[string]bool{"<": c < 0, "<=": c <= 0, ">": c > 0, ">=": c >= 0, "==": c == 0, "!=": c != 0}[t.operator]
	return out
}

// measure returns the value in the limit's unit and as people read it.
func (t Threshold) measure(r *Result) (float64, string, bool) {
	plain := func(v float64) (float64, string, bool) {
		if strings.HasSuffix(t.figure, ".rss") {
			return v, fmt.Sprintf("%.1f MiB", v/(1<<20)), true
		}
		return v, strconv.FormatFloat(v, 'f', -1, 64), true
	}
	switch t.function {
	case "p", "max":
		i := slices.IndexFunc(r.Latency, func(l Latency) bool { return l.Name == t.figure })
		if i < 0 || r.Latency[i].Count == 0 {
			return 0, "", false
		}
		v := r.Latency[i].Max
		if t.function == "p" {
			v = r.Latency[i].Percentile(t.percentile)
		}
		return v, tellMilliseconds(v), true
	case "count":
		if i := slices.IndexFunc(r.Latency, func(l Latency) bool { return l.Name == t.figure }); i >= 0 {
			return plain(float64(r.Latency[i].Count))
		}
		return plain(float64(r.Counts[t.figure]))
	case "rate":
		if r.Seconds <= 0 {
			return 0, "", false
		}
		v := float64(r.Counts[t.figure]) / r.Seconds
		return v, fmt.Sprintf("%.1f/s", v), true
	}
	g := r.Series.Gauges[t.figure].Values
	if len(g) == 0 {
		return 0, "", false
	}
	if t.function == "last" {
		return plain(g[len(g)-1])
	}
	return plain(slices.Max(g))
}

func tellMilliseconds(ms float64) string { return fmt.Sprintf("%.2f ms", ms) }
