package loadtest

import (
	"slices"
)

// Series is what a run measured in each of its seconds, for drawing. Every list has one value a second.
type Series struct {
	Counts map[string][]int64     `json:"counts"`
	Times  map[string]TimeSeries  `json:"times"`
	Gauges map[string]GaugeSeries `json:"gauges"`
}

// TimeSeries tells about the times of each second; percentiles are 0 in a second without any.
type TimeSeries struct {
	Count []int64   `json:"count"`
	P50   []float64 `json:"p50_ms"`
	P99   []float64 `json:"p99_ms"`
}

// GaugeSeries has no value before second First.
type GaugeSeries struct {
	First  int       `json:"first"`
	Values []float64 `json:"values"`
}

// Series returns what was measured up to now, all lists ending with the same second.
func (m *Meter) Series() Series {
	s := Series{Counts: map[string][]int64{}, Times: map[string]TimeSeries{}, Gauges: map[string]GaugeSeries{}}
	length := 0
	for name, c := range figures[counter](&m.counts) {
		s.Counts[name] = c.seconds()
		length = max(length, len(s.Counts[name]))
	}
	for name, g := range figures[gauge](&m.gauges) {
		first, per := g.seconds()
		s.Gauges[name] = GaugeSeries{first, per}
		length = max(length, first+len(per))
	}
	for name, t := range figures[timer](&m.times) {
		_, per := t.copies()
		var ts TimeSeries
		for _, h := range per {
			n, p50, p99 := int64(0), 0.0, 0.0
			if h != nil {
				n, p50, p99 = h.TotalCount(), milliseconds(h.ValueAtPercentile(50)), milliseconds(h.ValueAtPercentile(99))
			}
			ts.Count, ts.P50, ts.P99 = append(ts.Count, n), append(ts.P50, p50), append(ts.P99, p99)
		}
		s.Times[name] = ts
		length = max(length, len(per))
	}
	s.pad(length)
	return s
}

// pad makes all lists end with the same second: nothing was counted or timed, gauges stayed.
func (s Series) pad(length int) {
	for name, per := range s.Counts {
		s.Counts[name] = reach(per, length-1)
	}
	for name, ts := range s.Times {
		s.Times[name] = TimeSeries{reach(ts.Count, length-1), reach(ts.P50, length-1), reach(ts.P99, length-1)}
	}
	for name, g := range s.Gauges {
		if n := len(g.Values); n > 0 {
			g.Values = append(g.Values, slices.Repeat(g.Values[n-1:], length-g.First-n)...)
		}
		s.Gauges[name] = g
	}
}

// last returns the newest value, 0 where there is none.
func (g GaugeSeries) last() float64 { return g.at(g.First + len(g.Values) - 1) }

// at returns the value of a second, 0 where there was none.
func (g GaugeSeries) at(second int) float64 {
	if second < g.First || len(g.Values) == 0 {
		return 0
	}
	return g.Values[min(second-g.First, len(g.Values)-1)]
}

// steepest returns the most that the value grew in a second.
func (g GaugeSeries) steepest() float64 {
	most := 0.0
	for i := 1; i < len(g.Values); i++ {
		most = max(most, g.Values[i]-g.Values[i-1])
	}
	return most
}

// peak returns the highest value and the first second that had it, 0 where there is none.
func (g GaugeSeries) peak() (float64, int) {
	if len(g.Values) == 0 {
		return 0, 0
	}
	top := slices.Max(g.Values)
	return top, g.First + slices.Index(g.Values, top)
}

// seconds is how many the lists have.
func (s Series) seconds() int {
	n := 0
	for _, per := range s.Counts {
		n = max(n, len(per))
	}
	for _, ts := range s.Times {
		n = max(n, len(ts.Count))
	}
	for _, g := range s.Gauges {
		n = max(n, g.First+len(g.Values))
	}
	return n
}
