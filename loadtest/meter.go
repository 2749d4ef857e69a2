package loadtest

import (
	"maps"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Limits of what a Meter tells apart.
const (
	// A longer time counts as this one, a shorter than a microsecond as a microsecond.
	maxTime = 2 * time.Minute
	// Significant digits of a time in all and within one second of the run; the second is only drawn,
	// and there are many of them.
	totalDigits, secondDigits = 3, 2
	// What comes later than this many seconds after the begin counts as having come in the last of them.
	maxSeconds = 7 * 24 * 60 * 60
)

// Meter keeps what a run measured: counts, times and gauges by name, each for every second of the run
// and in all. A name may stand for one of each kind. Safe for concurrent use: each figure has a lock
// of its own.
type Meter struct {
	begin  time.Time
	counts sync.Map // name to *counter
	times  sync.Map // name to *timer
	gauges sync.Map // name to *gauge
}

// NewMeter returns a Meter of a run whose second 0 begins at begin. What comes before it counts there.
func NewMeter(begin time.Time) *Meter { return &Meter{begin: begin} }

// second is the number of the second that it is.
func (m *Meter) second() int {
	return int(min(max(time.Since(m.begin)/time.Second, 0), maxSeconds-1))
}

// figure returns what a name stands for, making it when it is new.
func figure[T any](all *sync.Map, name string, fresh func() *T) *T {
	if f, ok := all.Load(name); ok {
		return f.(*T)
	}
	f, _ := all.LoadOrStore(name, fresh())
	return f.(*T)
}

// figures returns those of one kind by name.
func figures[T any](all *sync.Map) map[string]*T {
	out := map[string]*T{}
	all.Range(func(name, f any) bool {
		out[name.(string)] = f.(*T)
		return true
	})
	return out
}

// Count adds n, which may be 0 to have the count told though nothing happened.
func (m *Meter) Count(name string, n int64) {
	figure(&m.counts, name, newCounter).add(m.second(), n)
}

// Time records one duration in the second that it is now, which is that of the outcome. It is kept to
// the microsecond or three digits, up to two minutes.
func (m *Meter) Time(name string, d time.Duration) {
	t := figure(&m.times, name, newTimer)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.record(m.second(), d) // asked for under the lock, so that seconds come in order
}

// Gauge says how high something is now. The last value of a second is the second's, and stays so until
// there is another. A value that is no number or infinite is left out.
func (m *Meter) Gauge(name string, v float64) {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return
	}
	figure(&m.gauges, name, newGauge).set(m.second(), v)
}

// now returns how high a gauge is, 0 where nothing was said of it.
func (m *Meter) now(name string) float64 {
	if g, ok := m.gauges.Load(name); ok {
		if _, per := g.(*gauge).seconds(); len(per) > 0 {
			return per[len(per)-1]
		}
	}
	return 0
}

// Total returns a count in all, 0 where nothing was counted.
func (m *Meter) Total(name string) int64 {
	if c, ok := m.counts.Load(name); ok {
		return c.(*counter).total()
	}
	return 0
}

// Totals returns every count in all.
func (m *Meter) Totals() map[string]int64 {
	out := map[string]int64{}
	for name, c := range figures[counter](&m.counts) {
		out[name] = c.total()
	}
	return out
}

// Latencies returns the distribution of every time in all, by name.
func (m *Meter) Latencies() []Latency {
	all := figures[timer](&m.times)
	out := []Latency{}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		total, _ := all[name].copies()
		out = append(out, newLatency(name, total))
	}
	return out
}

// counter is a count: per second.
type counter struct {
	mu  sync.Mutex
	per []int64
}

func newCounter() *counter { return new(counter) }

func (c *counter) add(second int, n int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.per = reach(c.per, second)
	c.per[second] += n
}

func (c *counter) total() (n int64) {
	for _, each := range c.seconds() {
		n += each
	}
	return n
}

func (c *counter) seconds() []int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.per)
}

// reach makes a series long enough to have the second.
func reach[T any](series []T, second int) []T {
	if second < len(series) {
		return series
	}
	return append(series, make([]T, second+1-len(series))...)
}

// gauge is a height: per second, beginning with the first that had a value.
type gauge struct {
	mu    sync.Mutex
	first int
	per   []float64
}

func newGauge() *gauge { return new(gauge) }

func (g *gauge) set(second int, v float64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.per) == 0 {
		g.first = second
	}
	at := max(second-g.first, 0)
	for len(g.per) <= at {
		g.per = append(g.per, v)
		if n := len(g.per); n > 1 && n <= at { // nothing was said in this second
			g.per[n-1] = g.per[n-2]
		}
	}
	g.per[at] = v
}

func (g *gauge) seconds() (first int, per []float64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.first, slices.Clone(g.per)
}

// timer is a distribution of times. A second's times go to a dense histogram, which is fast, and are
// packed when the second is over.
type timer struct {
	mu     sync.Mutex
	total  *hdrhistogram.Histogram
	second int
	now    *hdrhistogram.Histogram
	per    []*hdrhistogram.PackedHistogram // nil for a second without any
}

func newTimer() *timer {
	return &timer{
		total: hdrhistogram.New(1, maxTime.Microseconds(), totalDigits),
		now:   hdrhistogram.New(1, maxTime.Microseconds(), secondDigits),
	}
}

// record takes one in. The caller holds mu.
func (t *timer) record(second int, d time.Duration) {
	if second > t.second {
		t.pack()
		t.second = second
	}
	us := min(max(d.Microseconds(), 1), maxTime.Microseconds())
	t.total.RecordValue(us) // within the range, which is the one thing it may refuse
	t.now.RecordValue(us)
}

// pack moves the dense histogram into its second. The caller holds mu.
func (t *timer) pack() {
	if t.now.TotalCount() == 0 {
		return
	}
	t.per = reach(t.per, t.second)
	if t.per[t.second] == nil {
		t.per[t.second] = newPacked()
	}
	t.per[t.second].MergeFrom(t.now)
	t.now.Reset()
}

func newPacked() *hdrhistogram.PackedHistogram {
	return hdrhistogram.NewPacked(1, maxTime.Microseconds(), secondDigits)
}

// copies returns the whole distribution and that of each second, of one moment.
func (t *timer) copies() (*hdrhistogram.Histogram, []*hdrhistogram.PackedHistogram) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.pack()
	per := make([]*hdrhistogram.PackedHistogram, len(t.per))
	for i, h := range t.per {
		if h != nil {
			per[i] = h.Clone()
		}
	}
	return t.total.Clone(), per
}
