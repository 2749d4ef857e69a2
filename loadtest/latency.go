package loadtest

import "github.com/HdrHistogram/hdrhistogram-go"

// Latency is the distribution of one figure, in milliseconds.
type Latency struct {
	Name  string  `json:"name"`
	Count int64   `json:"count"`
	P50   float64 `json:"p50_ms"`
	P95   float64 `json:"p95_ms"`
	P99   float64 `json:"p99_ms"`
	P999  float64 `json:"p999_ms"`
	Max   float64 `json:"max_ms"`
}

func newLatency(name string, h *hdrhistogram.Histogram) Latency {
	at := func(percentile float64) float64 { return milliseconds(h.ValueAtPercentile(percentile)) }
	return Latency{Name: name, Count: h.TotalCount(), P50: at(50), P95: at(95), P99: at(99), P999: at(99.9), Max: milliseconds(h.Max())}
}

// milliseconds are what a histogram's microseconds are told in.
func milliseconds(us int64) float64 { return float64(us) / 1000 }
