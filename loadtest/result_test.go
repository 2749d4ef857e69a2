package loadtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"testing"
)

func sampleResult() *Result {
	r := &Result{
		Scenario: "smoke", Seconds: 21.34, Viewers: 200,
		Checks: []Check{
			{Name: "comments_accounted", OK: true, Detail: "240 comments × 180 viewers = 43200 came + 0 sampled + 0 skipped"},
			{Name: "sale_sold_exactly", Detail: "51 orders were confirmed for 50 pieces"},
			{Name: "audit", Skipped: "no database is given"},
		},
		Figures: []Figure{{"comments", 240}, {"closed with 1013", 2}},
		Latency: []Latency{{Name: "join", Count: 200, P50: 1.25, P95: 20, P99: 100.04, P999: 600, Max: 1234.5}},
	}
	r.judge()
	return r
}

func TestSummaryGolden(t *testing.T) {
	const golden = "testdata/summary.golden"
	var got bytes.Buffer
	failed, passed := sampleResult(), sampleResult()
	passed.Checks = passed.Checks[:1]
	passed.judge()
	for _, r := range []*Result{failed, passed} {
		if err := r.WriteSummary(&got); err != nil {
			t.Fatal(err)
		}
	}
	if *update {
		if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Errorf("the summary is\n%s\nwant\n%s", got.Bytes(), want)
	}
}

func TestResultJSON(t *testing.T) {
	var got bytes.Buffer
	if err := sampleResult().WriteJSON(&got); err != nil {
		t.Fatal(err)
	}
	const want = `{"scenario":"smoke","passed":false,"seconds":21.34,"viewers":200,` +
		`"checks":[{"name":"comments_accounted","ok":true,"detail":"240 comments × 180 viewers = 43200 came + 0 sampled + 0 skipped"},` +
		`{"name":"sale_sold_exactly","ok":false,"detail":"51 orders were confirmed for 50 pieces"},` +
		`{"name":"audit","ok":false,"skipped":"no database is given","detail":""}],` +
		`"figures":[{"name":"comments","value":240},{"name":"closed with 1013","value":2}],` +
		`"latency":[{"name":"join","count":200,"p50_ms":1.25,"p95_ms":20,"p99_ms":100.04,"p999_ms":600,"max_ms":1234.5}]}`
	var compact bytes.Buffer
	if err := json.Compact(&compact, got.Bytes()); err != nil {
		t.Fatal(err)
	}
	if compact.String() != want {
		t.Errorf("got\n%s\nwant\n%s", compact.String(), want)
	}
}

// brokenWriter takes nothing.
type brokenWriter struct{}

var errFull = errors.New("disk full")

func (brokenWriter) Write([]byte) (int, error) { return 0, errFull }

func TestResultCannotBeWritten(t *testing.T) {
	r := sampleResult()
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
			if r.judge(); r.Passed != tt.passed {
				t.Errorf("passed is %v", r.Passed)
			}
		})
	}
}
