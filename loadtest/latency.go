package loadtest

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// latencies keeps one histogram a figure, in microseconds up to two minutes. Safe for concurrent use.
type latencies struct {
	mu   sync.Mutex
	each map[string]*hdrhistogram.Histogram
}

func newLatencies() *latencies { return &latencies{each: map[string]*hdrhistogram.Histogram{}} }

func (l *latencies) record(name string, d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	h := l.each[name]
	if h == nil {
		h = hdrhistogram.New(1, (2 * time.Minute).Microseconds(), 3)
		l.each[name] = h
	}
	h.RecordValue(min(max(d.Microseconds(), 1), h.HighestTrackableValue()))
}

// Latency is the distribution of one figure, in milliseconds.
type Latency struct {
	Name  string  `json:"name"`
	Count int64   `json:"count"`
	P50   float64 `json:"p50_ms"`
	P95   float64 `json:"p95_ms"`
	P99   float64 `json:"p99_ms"`
	Max   float64 `json:"max_ms"`
}

// summary returns every figure by name.
func (l *latencies) summary() []Latency {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := []Latency{}
	for _, name := range slices.Sorted(maps.Keys(l.each)) {
		h := l.each[name]
		at := func(q float64) float64 { return float64(h.ValueAtQuantile(q)) / 1000 }
		out = append(out, Latency{Name: name, Count: h.TotalCount(), P50: at(50), P95: at(95), P99: at(99), Max: float64(h.Max()) / 1000})
	}
	return out
}
