package loadtest

import (
	"bytes"
	"errors"
	"math"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// sampleResult is of a run in which everything happened that a report can tell, the same each time.
func sampleResult(t *testing.T) *Result {
	r := &Result{
		Scenario: "smoke", Seconds: 6.34, Viewers: 200,
		Checks: []Check{
			{Name: "comments_accounted", OK: true, Detail: "240 comments × 180 viewers = 43200 came + 0 sampled + 0 skipped"},
			{Name: "sale_sold_exactly", Detail: "51 orders were confirmed for 50 pieces"},
			{Name: "audit", Skipped: "no database is given"},
		},
		Figures: []Figure{{"comments", 240}, {"closed with 1013", 2}},
		Environment: Environment{
			Go: "go1.26.8", OS: "linux/amd64 6.1", CPU: "2 CPUs, a model", Servers: []string{"http://127.0.0.1:1: livecart built with go1.26.8"},
			Backends: []string{"Postgres 17.4", "Redis " + miniredis}, Warnings: []string{"Redis was miniredis"},
		},
		Marks: []Mark{{2.5, "process 7 is gone"}},
	}
	synctest.Test(t, func(t *testing.T) {
		m := NewMeter(time.Now())
		for second := range 6 {
			n := 50 * (1 + second%3)
			m.Gauge("viewers", float64(min(200, 80*(second+1))))
			m.Gauge("client.cpu", 0.05*float64(second*second))
			m.Gauge("server.cpu", 0.4*float64(second))
			m.Gauge("server.rss", 50e6+5e6*float64(second))
			m.Gauge("server.dropped.sampled", float64(second*second))
			m.Count("delivered", int64(n*100))
			m.Count("bytes_in", int64(n*9000))
			m.Count("offered.comment", 40)
			m.Count("sent.comment", 39)
			m.Count("refused.flash_buy.sold_out", int64(second))
			for i := range n {
				m.Time("join", time.Duration(i+1)*time.Millisecond)
				m.Time("delivery.chat", time.Duration((i+1)*(second+1))*200*time.Microsecond)
			}
			time.Sleep(time.Second)
		}
		m.Count("closed.1013", 2)
		m.Time("reply.flash_buy", 250*time.Millisecond)
		r.measure(m)
	})
	var limits []Threshold
	for _, text := range []string{"p99(delivery.chat)<500ms", "count(closed.1013)==0"} {
		limit, err := ParseThreshold(text)
		if err != nil {
			t.Fatal(err)
		}
		limits = append(limits, limit)
	}
	r.judge(limits)
	return r
}

func TestSummaryGolden(t *testing.T) {
	const golden = "testdata/summary.golden"
	var got bytes.Buffer
	failed, passed, invalid := sampleResult(t), &Result{Scenario: "smoke", Viewers: 20}, &Result{Scenario: "talk", Viewers: 1, Invalid: []string{"the load came 60 ms late"}}
	passed.Checks = failed.Checks[:1]
	passed.judge(nil)
	partial := &Result{Scenario: "talk", Partial: "the run was interrupted while talking"}
	for _, r := range []*Result{failed, passed, invalid, partial} {
		if err := r.WriteSummary(&got); err != nil {
			t.Fatal(err)
		}
	}
	compareGolden(t, golden, got.Bytes())
}

func compareGolden(t *testing.T, golden string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("got\n%s\nwhich is not %s; -update writes it anew", got, golden)
	}
}

// What was written is read again, and written again is the same.
func TestResultJSONGolden(t *testing.T) {
	const golden = "testdata/result.golden.json"
	var got, again bytes.Buffer
	r := sampleResult(t)
	if err := r.WriteJSON(&got); err != nil {
		t.Fatal(err)
	}
	compareGolden(t, golden, got.Bytes())
	back, err := ReadResult(bytes.NewReader(got.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	if err := back.WriteJSON(&again); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), again.Bytes()) {
		t.Errorf("read and written again it is\n%s", again.String())
	}
	if p := back.Latency[0].Percentile(90); p == 0 || p != r.Latency[0].Percentile(90) {
		t.Errorf("p90 is %g", p)
	}
}

func TestNoResult(t *testing.T) {
	for name, tt := range map[string]struct{ text, want string }{
		"nothing":          {"", "no result of a run: EOF"},
		"no JSON":          {"ready!", "no result of a run: invalid character"},
		"another JSON":     {`{"passed": "yes"}`, "no result of a run: json"},
		"no version":       {`{"passed": true}`, "the result has version 0, this program reads version 1"},
		"a later version":  {`{"version": 2}`, "the result has version 2"},
		"broken histogram": {`{"version": 1, "latency": [{"name": "join", "hdr_histogram": "x"}]}`, "latency join: histogram"},
		"cut off":          {`{"version": 1, "checks": [`, "unexpected EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			if r, err := ReadResult(strings.NewReader(tt.text)); r != nil || err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, %v", r, err)
			}
		})
	}
}

func TestRates(t *testing.T) {
	got := map[string]float64{}
	for _, rate := range sampleResult(t).Rates {
		got[rate.Name] = rate.Value
	}
	want := map[string]float64{
		"deliveries a second":                                  60000 / 6.34,
		"deliveries a server CPU second":                       60000 / 2.0,
		"cores that this program used in its busiest second":   0.45,
		"bytes a viewer":                                       5400000 / 200,
		"server memory a viewer, bytes, above the first value": 25e6 / 200,
		"server CPU a join, ms, until the most viewers":        1000 * 1.2 / 300,
	}
	if len(got) != len(want) {
		t.Errorf("%v", got)
	}
	for name, v := range want {
		if math.Abs(got[name]-v) > v/1e9 {
			t.Errorf("%s: %g, want %g", name, got[name], v)
		}
	}
	nothing := &Result{Seconds: 1}
	nothing.measure(NewMeter(time.Now()))
	if len(nothing.Rates) > 0 || nothing.Rates == nil || nothing.Load == nil {
		t.Errorf("%v, %v", nothing.Rates, nothing.Load)
	}
}

// brokenWriter takes nothing.
type brokenWriter struct{}

var errFull = errors.New("disk full")

func (brokenWriter) Write([]byte) (int, error) { return 0, errFull }

func TestResultCannotBeWritten(t *testing.T) {
	r := sampleResult(t)
	if err := r.WriteSummary(brokenWriter{}); !errors.Is(err, errFull) {
		t.Errorf("summary: %v", err)
	}
	if err := r.WriteJSON(brokenWriter{}); !errors.Is(err, errFull) {
		t.Errorf("JSON: %v", err)
	}
}

func TestJudge(t *testing.T) {
	ok, bad, skipped := Check{Name: "a", OK: true}, Check{Name: "b"}, Check{Name: "c", Skipped: "no database"}
	for name, tt := range map[string]struct {
		checks []Check
		passed bool
	}{
		"all held":                {[]Check{ok, ok}, true},
		"one failed":              {[]Check{ok, bad, ok}, false},
		"the last failed":         {[]Check{ok, bad}, false},
		"skipped does not count":  {[]Check{ok, skipped}, true},
		"skipped hides no fail":   {[]Check{skipped, bad, ok}, false},
		"none looked at":          {[]Check{skipped, skipped}, false},
		"none":                    {nil, false},
		"skipped is never a pass": {[]Check{{Name: "d", OK: true, Skipped: "why"}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := &Result{Checks: tt.checks, Passed: !tt.passed}
			if r.judge(nil); r.Passed != tt.passed {
				t.Errorf("passed is %v", r.Passed)
			}
		})
	}
}

func TestVerdict(t *testing.T) {
	held, broken := []Check{{Name: "a", OK: true}}, []Check{{Name: "a"}}
	kept, err := ParseThreshold("count(closed.4008)==0")
	if err != nil {
		t.Fatal(err)
	}
	crossed, err := ParseThreshold("count(closed.4008)>0")
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		result Result
		limits []Threshold
		want   string
	}{
		"checks held":               {Result{Checks: held}, nil, "passed"},
		"a check failed":            {Result{Checks: broken}, nil, "FAILED"},
		"a limit kept":              {Result{}, []Threshold{kept}, "passed"},
		"a limit crossed":           {Result{Checks: held}, []Threshold{kept, crossed}, "FAILED"},
		"the first limit crossed":   {Result{Checks: held}, []Threshold{crossed, kept}, "FAILED"},
		"nothing to hold":           {Result{}, nil, "FAILED"},
		"invalid":                   {Result{Checks: held, Invalid: []string{"late"}}, nil, "INVALID"},
		"invalid and failed":        {Result{Checks: broken, Invalid: []string{"late"}}, nil, "INVALID"},
		"interrupted":               {Result{Checks: held, Partial: "Ctrl-C"}, []Threshold{kept}, "INTERRUPTED"},
		"interrupted while invalid": {Result{Partial: "Ctrl-C", Invalid: []string{"late"}}, nil, "INTERRUPTED"},
	} {
		t.Run(name, func(t *testing.T) {
			r := &tt.result
			if r.judge(tt.limits); r.Verdict() != tt.want || r.Passed != (tt.want == "passed") || len(r.Thresholds) != len(tt.limits) {
				t.Errorf("%s, passed %v, %v", r.Verdict(), r.Passed, r.Thresholds)
			}
		})
	}
}
