package loadtest

import (
	"encoding/json"
	"fmt"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Latency is the distribution of one figure, in milliseconds.
type Latency struct {
	Name  string  `json:"name"`
	Count int64   `json:"count"`
	P50   float64 `json:"p50_ms"`
	P95   float64 `json:"p95_ms"`
	P99   float64 `json:"p99_ms"`
	P999  float64 `json:"p999_ms"`
	Max   float64 `json:"max_ms"`

	// All of it, in microseconds.
	histogram *hdrhistogram.Histogram
}

func newLatency(name string, h *hdrhistogram.Histogram) Latency {
	l := Latency{Name: name, Count: h.TotalCount(), Max: milliseconds(h.Max()), histogram: h}
	l.P50, l.P95, l.P99, l.P999 = l.Percentile(50), l.Percentile(95), l.Percentile(99), l.Percentile(99.9)
	return l
}

// Percentile returns the time that this share of all times, 0 to 100, did not exceed, in milliseconds.
func (l Latency) Percentile(p float64) float64 {
	if l.histogram == nil {
		return 0
	}
	return milliseconds(l.histogram.ValueAtPercentile(p))
}

// milliseconds are what a histogram's microseconds are told in.
func milliseconds(us int64) float64 { return float64(us) / 1000 }

// latencyState is a Latency in JSON: the figures to read, and the histogram as [Meter] writes it.
type latencyState struct {
	plainLatency
	Histogram string `json:"hdr_histogram"`
}

type plainLatency Latency

// MarshalJSON writes the whole distribution.
func (l Latency) MarshalJSON() ([]byte, error) {
	s := latencyState{plainLatency: plainLatency(l)}
	if l.histogram != nil {
		var err error
		if s.Histogram, err = encodeTimes(l.histogram); err != nil {
			return nil, fmt.Errorf("latency %s: %w", l.Name, err)
		}
	}
	return json.Marshal(s)
}

// UnmarshalJSON reads it back. The figures are those of the histogram.
func (l *Latency) UnmarshalJSON(data []byte) error {
	var s latencyState
	if err := json.Unmarshal(data, &s); err != nil {
		return err
	}
	packed, err := decodeTimes(s.Histogram)
	if err != nil {
		return fmt.Errorf("latency %s: %w", s.Name, err)
	}
	h := newTimer().total
	packed.MergeInto(h)
	*l = newLatency(s.Name, h)
	return nil
}
