package loadtest

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

func TestComparisonGolden(t *testing.T) {
	a, b := sampleResult(t), sampleResult(t)
	b.Seconds *= 2
	b.Latency = b.Latency[:2]
	b.Counts["delivered"] /= 2
	b.Rates = b.rates()
	b.judge(nil)
	var got bytes.Buffer
	if err := WriteComparison(&got, a, b); err != nil {
		t.Fatal(err)
	}
	compareGolden(t, "testdata/compare.golden", got.Bytes())
	if err := WriteComparison(brokenWriter{}, a, b); !errors.Is(err, errFull) {
		t.Errorf("%v", err)
	}
}

// What only one of two runs watched is not 0 in the other.
func TestComparisonWithoutAFigure(t *testing.T) {
	a, b := sampleResult(t), sampleResult(t)
	delete(b.Series.Gauges, "server.cpu")
	delete(a.Series.Gauges, "viewers")
	a.Rates, b.Rates = a.rates(), b.rates()
	var got bytes.Buffer
	if err := WriteComparison(&got, a, b); err != nil {
		t.Fatal(err)
	}
	lines := map[string]bool{}
	for line := range strings.Lines(got.String()) {
		lines[strings.Join(strings.Fields(line), " ")] = true
	}
	for _, want := range []string{"server.cpu 2.00 - -", "viewers - 200 -", "deliveries a server CPU second 30000 - -", "bytes a viewer - 27000 -"} {
		if !lines[want] {
			t.Errorf("%q is missing in\n%s", want, got.String())
		}
	}
}

func TestIncomparable(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*Result)
		want   string
	}{
		"nothing differs":   {func(*Result) {}, ""},
		"figures differ":    {func(r *Result) { r.Seconds, r.Counts["delivered"] = 1, 7 }, ""},
		"another scenario":  {func(r *Result) { r.Scenario = "talk" }, "the scenario differs: smoke and talk"},
		"fewer viewers":     {func(r *Result) { r.Viewers = 10 }, "the number of viewers differs: 200 and 10"},
		"another machine":   {func(r *Result) { r.Environment.CPU = "4 CPUs" }, "the machine differs"},
		"by agents":         {func(r *Result) { r.Environment.Agents = []string{"a", "b"} }, "the number of agents differs: 0 and 2"},
		"a real Redis":      {func(r *Result) { r.Environment.Backends[1] = "Redis 8.0" }, "what the servers stand on differs: Postgres 17.4, Redis (miniredis) and Postgres 17.4, Redis 8.0"},
		"partial":           {func(r *Result) { r.Partial = "Ctrl-C" }, "B is partial: Ctrl-C"},
		"invalid":           {func(r *Result) { r.Invalid = []string{"late"} }, "B is invalid: late"},
		"less load offered": {func(r *Result) { r.Load[0].Offered = 3 }, "the offered load of comment differs: 240 and 3"},
		"no load offered":   {func(r *Result) { r.Load = nil }, "the offered load of comment differs: 240 and 0"},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := sampleResult(t), sampleResult(t)
			tt.change(b)
			if got := strings.Join(Incomparable(a, b), "; "); !strings.HasPrefix(got, tt.want) || (tt.want == "") != (got == "") {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}
