package loadtest

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Merge adds what another Meter measured, which may go on: second 0 of the one is second 0 of the
// other, whatever their clocks say. Counts, times and gauges of one name add up. A gauge adds 0 before
// its first value and its last value after it.
func (m *Meter) Merge(other *Meter) {
	for name, c := range figures[counter](&other.counts) {
		per := c.seconds()
		figure(&m.counts, name, newCounter).merge(per)
	}
	for name, t := range figures[timer](&other.times) {
		all, per := t.copies()
		figure(&m.times, name, newTimer).merge(all, per)
	}
	for name, g := range figures[gauge](&other.gauges) {
		first, per := g.seconds()
		figure(&m.gauges, name, newGauge).merge(first, per)
	}
}

func (c *counter) merge(per []int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.per = reach(c.per, len(per)-1)
	for i, n := range per {
		c.per[i] += n
	}
}

func (t *timer) merge(all *hdrhistogram.Histogram, per []*hdrhistogram.PackedHistogram) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.total.Merge(all)
	t.per = reach(t.per, len(per)-1)
	for i, h := range per {
		switch {
		case h == nil:
		case t.per[i] == nil:
			t.per[i] = h
		default:
			t.per[i].Merge(h)
		}
	}
}

func (g *gauge) merge(first int, per []float64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(per) == 0 {
		return
	}
	if len(g.per) == 0 {
		g.first, g.per = first, per
		return
	}
	begin, end := min(g.first, first), max(g.first+len(g.per), first+len(per))
	sum := make([]float64, end-begin)
	for i := range sum {
		sum[i] = height(g.first, g.per, begin+i) + height(first, per, begin+i)
	}
	g.first, g.per = begin, sum
}

// height is what a gauge adds in a second.
func height(first int, per []float64, second int) float64 {
	if second < first {
		return 0
	}
	return per[min(second-first, len(per)-1)]
}

// meterVersion is that of a Meter's serial form.
const meterVersion = 1

// meterState is a Meter's serial form. The histogram of all times is in the compressed HDR encoding,
// version 2, in base64. Those of the seconds, of which there are thousands, are not compressed each by
// itself, which would take half a millisecond: they are pairs of varints, how much higher each value is
// than the one before and how often it was. A second without times has none.
type meterState struct {
	Version int                   `json:"version"`
	Begin   time.Time             `json:"begin"`
	Counts  map[string][]int64    `json:"counts"`
	Times   map[string]timerState `json:"times"`
	Gauges  map[string]gaugeState `json:"gauges"`
}

type timerState struct {
	Total   string   `json:"total"`
	Seconds [][]byte `json:"seconds"`
}

type gaugeState struct {
	First   int       `json:"first"`
	Seconds []float64 `json:"seconds"`
}

// MarshalJSON returns everything that was measured, for [Meter.UnmarshalJSON] in another process.
func (m *Meter) MarshalJSON() ([]byte, error) {
	s := meterState{
		Version: meterVersion, Begin: m.begin,
		Counts: map[string][]int64{}, Times: map[string]timerState{}, Gauges: map[string]gaugeState{},
	}
	for name, c := range figures[counter](&m.counts) {
		s.Counts[name] = c.seconds()
	}
	for name, g := range figures[gauge](&m.gauges) {
		first, per := g.seconds()
		s.Gauges[name] = gaugeState{first, per}
	}
	for name, t := range figures[timer](&m.times) {
		state, err := t.state()
		if err != nil {
			return nil, fmt.Errorf("encode the times of %s: %w", name, err)
		}
		s.Times[name] = state
	}
	return json.Marshal(s)
}

func (t *timer) state() (s timerState, err error) {
	all, per := t.copies()
	if s.Total, err = encodeTimes(all); err != nil {
		return s, err
	}
	s.Seconds = make([][]byte, len(per))
	for i, h := range per {
		if h != nil {
			s.Seconds[i] = encodeSecond(h)
		}
	}
	return s, nil
}

// UnmarshalJSON replaces an empty Meter by one that was serialised. It refuses what no Meter writes.
func (m *Meter) UnmarshalJSON(data []byte) error {
	var s meterState
	if err := json.Unmarshal(data, &s); err != nil {
		return fmt.Errorf("meter: %w", err)
	}
	if s.Version != meterVersion {
		return fmt.Errorf("meter: it has version %d, this program reads version %d", s.Version, meterVersion)
	}
	m.begin = s.Begin
	for name, per := range s.Counts {
		if len(per) > maxSeconds {
			return fmt.Errorf("meter: %s: %w", name, errTooLong)
		}
		m.counts.Store(name, &counter{per: per})
	}
	for name, g := range s.Gauges {
		if g.First < 0 || g.First > maxSeconds || len(g.Seconds) > maxSeconds-g.First {
			return fmt.Errorf("meter: %s: %w", name, errTooLong)
		}
		m.gauges.Store(name, &gauge{first: g.First, per: g.Seconds})
	}
	for name, state := range s.Times {
		t, err := state.timer()
		if err != nil {
			return fmt.Errorf("meter: %s: %w", name, err)
		}
		m.times.Store(name, t)
	}
	return nil
}

var errTooLong = fmt.Errorf("a run has at most %d seconds", maxSeconds)

func (s timerState) timer() (*timer, error) {
	if len(s.Seconds) > maxSeconds {
		return nil, errTooLong
	}
	t := newTimer()
	all, err := decodeTimes(s.Total)
	if err != nil {
		return nil, err
	}
	all.MergeInto(t.total)
	t.per = make([]*hdrhistogram.PackedHistogram, len(s.Seconds))
	for i, data := range s.Seconds {
		if len(data) == 0 {
			continue
		}
		if t.per[i], err = decodeSecond(data); err != nil {
			return nil, fmt.Errorf("second %d: %w", i, err)
		}
	}
	return t, nil
}

func encodeTimes(h *hdrhistogram.Histogram) (string, error) {
	text, err := h.EncodeV2()
	return string(text), err
}

func encodeSecond(h *hdrhistogram.PackedHistogram) []byte {
	var data []byte
	last := int64(0)
	h.ForEachBucket(func(value, count int64) bool {
		data = binary.AppendUvarint(data, uint64(value-last))
		data = binary.AppendUvarint(data, uint64(count))
		last = value
		return true
	})
	return data
}

func decodeSecond(data []byte) (*hdrhistogram.PackedHistogram, error) {
	h := newPacked()
	for value := uint64(0); len(data) > 0; {
		higher, n := binary.Uvarint(data)
		count, m := binary.Uvarint(data[max(n, 0):])
		if n <= 0 || m <= 0 {
			return nil, errors.New("a varint is cut off or too long")
		}
		data = data[n+m:]
		// Compared without adding, which could overflow.
		if higher > uint64(maxTime.Microseconds())-value || count > math.MaxInt64 {
			return nil, fmt.Errorf("%d times of %d µs more than %d are out of range", count, higher, value)
		}
		value += higher
		if err := h.RecordValues(int64(value), int64(count)); err != nil {
			return nil, err
		}
	}
	return h, nil
}

// decodeTimes reads the histogram of all times, of the range and precision that all of ours have.
func decodeTimes(text string) (*hdrhistogram.PackedHistogram, error) {
	h, err := hdrhistogram.DecodePacked([]byte(text))
	if err != nil {
		return nil, fmt.Errorf("histogram: %w", err)
	}
	if h.LowestTrackableValue() != 1 || h.HighestTrackableValue() != maxTime.Microseconds() || h.SignificantFigures() != totalDigits {
		return nil, errors.New("histogram: it has another range or precision")
	}
	if h.TotalCount() == math.MaxInt64 {
		return nil, errors.New("histogram: its count overflows")
	}
	return h, nil
}
