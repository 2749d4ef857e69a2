package loadtest

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestMeterKeepsSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewMeter(time.Now())
		at := func(ms int) { time.Sleep(time.Duration(ms) * time.Millisecond) }
		m.Count("delivered", 3)
		m.Time("join", 10*time.Millisecond)
		at(999)
		m.Count("delivered", 2)
		m.Time("join", 30*time.Millisecond)
		m.Gauge("viewers", 5)
		m.Gauge("viewers", 7)
		at(1) // second 1 has begun
		m.Count("delivered", 1)
		at(2000)
		m.Time("join", 50*time.Millisecond)
		m.Gauge("viewers", 4)
		m.Count("closed.1013", 0)
		at(1000)
		m.Count("delivered", 4)

		got := m.Series()
		if want := map[string][]int64{"delivered": {5, 1, 0, 0, 4}, "closed.1013": {0, 0, 0, 0, 0}}; !reflect.DeepEqual(got.Counts, want) {
			t.Errorf("counts %v", got.Counts)
		}
		if want := map[string]GaugeSeries{"viewers": {0, []float64{7, 7, 7, 4, 4}}}; !reflect.DeepEqual(got.Gauges, want) {
			t.Errorf("gauges %v", got.Gauges)
		}
		join := got.Times["join"]
		if want := []int64{2, 0, 0, 1, 0}; !reflect.DeepEqual(join.Count, want) {
			t.Errorf("times %v", join.Count)
		}
		for i, want := range []float64{10, 0, 0, 50, 0} {
			if p := join.P50[i]; math.Abs(p-want) > want/100 {
				t.Errorf("p50 of second %d is %g", i, p)
			}
		}
		if p := join.P99[0]; math.Abs(p-30) > 0.3 {
			t.Errorf("p99 of second 0 is %g", p)
		}
		if m.Total("delivered") != 10 || m.Total("never") != 0 {
			t.Errorf("totals %d and %d", m.Total("delivered"), m.Total("never"))
		}
		if want := map[string]int64{"delivered": 10, "closed.1013": 0}; !reflect.DeepEqual(m.Totals(), want) {
			t.Errorf("totals %v", m.Totals())
		}
	})
}

// Reading the series of a second that goes on takes nothing from it.
func TestMeterReadWithinASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewMeter(time.Now())
		for range 3 {
			m.Time("join", time.Millisecond)
			m.Series()
		}
		if got := m.Series().Times["join"].Count; !reflect.DeepEqual(got, []int64{3}) {
			t.Errorf("times %v", got)
		}
	})
}

func TestMeterDistribution(t *testing.T) {
	m := NewMeter(time.Now())
	for i := range 1000 {
		m.Time("reply.ping", time.Duration(i+1)*time.Millisecond)
	}
	got := m.Latencies()
	if len(got) != 1 {
		t.Fatalf("%+v", got)
	}
	l := got[0]
	within := func(ms, want float64) bool { return math.Abs(ms-want) <= want/1000 }
	if l.Name != "reply.ping" || l.Count != 1000 || !within(l.P50, 500) || !within(l.P95, 950) || !within(l.P99, 990) || !within(l.P999, 999) || !within(l.Max, 1000) {
		t.Errorf("%+v", l)
	}
	if empty := NewMeter(time.Now()).Latencies(); empty == nil || len(empty) > 0 {
		t.Errorf("%v", empty)
	}
}

func TestMeterLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, tt := range map[string]struct {
			d       time.Duration
			ms, off float64
		}{
			"two minutes":           {2 * time.Minute, 120_000, 120},
			"more than two minutes": {time.Hour, 120_000, 120},
			"a microsecond":         {time.Microsecond, 0.001, 0},
			"less":                  {time.Nanosecond, 0.001, 0},
			"nothing":               {0, 0.001, 0},
			"before it began":       {-time.Second, 0.001, 0},
		} {
			m := NewMeter(time.Now())
			m.Time("join", tt.d)
			if l := m.Latencies()[0]; l.Count != 1 || math.Abs(l.Max-tt.ms) > tt.off {
				t.Errorf("%s: %+v", name, l)
			}
		}

		soon := NewMeter(time.Now().Add(time.Minute))
		soon.Count("sent.like", 1)
		if got := soon.Series().Counts["sent.like"]; !reflect.DeepEqual(got, []int64{1}) {
			t.Errorf("before the begin: %v", got)
		}
		for name, begin := range map[string]time.Time{
			"the last second":    time.Now().Add(-(maxSeconds - 1) * time.Second),
			"after it":           time.Now().Add(-maxSeconds * time.Second),
			"long after it":      time.Now().Add(-3 * maxSeconds * time.Second),
			"a begin never said": {},
		} {
			m := NewMeter(begin)
			m.Count("sent.like", 1)
			if got := m.Series().Counts["sent.like"]; len(got) != maxSeconds || got[maxSeconds-1] != 1 {
				t.Errorf("%s: %d seconds", name, len(got))
			}
		}

		m := NewMeter(time.Now())
		for _, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
			m.Gauge("viewers", v)
		}
		if got := m.Series().Gauges; len(got) > 0 {
			t.Errorf("gauges %v", got)
		}
	})
}

// twoMeters measure in different seconds, some of them common.
func twoMeters() (a, b *Meter) {
	a, b = NewMeter(time.Now()), NewMeter(time.Now())
	a.Gauge("viewers", 10)
	a.Count("delivered", 1)
	a.Time("join", 10*time.Millisecond)
	time.Sleep(time.Second)
	for i := range 99 {
		b.Time("join", time.Duration(i+1)*time.Millisecond)
	}
	a.Time("join", 100*time.Millisecond)
	b.Gauge("viewers", 5)
	b.Gauge("server.cpu", 1.5)
	b.Count("delivered", 10)
	b.Count("closed.4008", 2)
	time.Sleep(time.Second)
	a.Gauge("viewers", 20)
	b.Time("confirm", time.Second)
	return a, b
}

func TestMeterMerge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := twoMeters()
		sum := NewMeter(time.Now())
		sum.Merge(a)
		sum.Merge(b)
		got := sum.Series()
		if want := map[string][]int64{"delivered": {1, 10, 0}, "closed.4008": {0, 2, 0}}; !reflect.DeepEqual(got.Counts, want) {
			t.Errorf("counts %v", got.Counts)
		}
		want := map[string]GaugeSeries{"viewers": {0, []float64{10, 15, 25}}, "server.cpu": {1, []float64{1.5, 1.5}}}
		if !reflect.DeepEqual(got.Gauges, want) {
			t.Errorf("gauges %v", got.Gauges)
		}
		if join := got.Times["join"].Count; !reflect.DeepEqual(join, []int64{1, 100, 0}) {
			t.Errorf("joins %v", join)
		}
		if p := got.Times["join"].P99[1]; math.Abs(p-99) > 0.99 {
			t.Errorf("p99 of the second is %g", p)
		}
		l := sum.Latencies()
		if len(l) != 2 || l[0].Name != "confirm" || l[1].Count != 101 || math.Abs(l[1].Max-100) > 0.1 {
			t.Errorf("%+v", l)
		}
		// The order makes no difference.
		other := NewMeter(time.Now())
		other.Merge(b)
		other.Merge(a)
		if !reflect.DeepEqual(other.Series(), got) || !reflect.DeepEqual(other.Latencies(), l) {
			t.Error("merged the other way round it differs")
		}
		// What was merged can go on, and what it was merged from is as it was.
		sum.Count("delivered", 1)
		sum.Time("join", time.Millisecond)
		if a.Total("delivered") != 1 || sum.Total("delivered") != 12 {
			t.Errorf("totals %d and %d", a.Total("delivered"), sum.Total("delivered"))
		}
		if got := a.Series().Times["join"].Count; !reflect.DeepEqual(got, []int64{1, 1, 0}) {
			t.Errorf("joins of a %v", got)
		}
	})
}

func TestMeterMergeWithItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, _ := twoMeters()
		m.Merge(m)
		if m.Total("delivered") != 2 || m.Latencies()[0].Count != 4 || m.Series().Gauges["viewers"].Values[2] != 40 {
			t.Errorf("%v %v %v", m.Totals(), m.Latencies(), m.Series().Gauges)
		}
	})
}

func TestMeterSurvivesSerialisation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := twoMeters()
		a.Merge(b)
		data, err := json.Marshal(a)
		if err != nil {
			t.Fatal(err)
		}
		var back Meter
		if err := json.Unmarshal(data, &back); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(back.Series(), a.Series()) || !reflect.DeepEqual(back.Latencies(), a.Latencies()) || !back.begin.Equal(a.begin) {
			t.Errorf("%+v, want %+v", back.Series(), a.Series())
		}
		// It can be merged and goes on.
		back.Merge(b)
		back.Count("delivered", 1)
		back.Time("join", time.Millisecond)
		if back.Total("delivered") != 22 || back.Latencies()[1].Count != a.Latencies()[1].Count+100 {
			t.Errorf("%v %v", back.Totals(), back.Latencies())
		}
	})
}

func TestMeterRefusesWhatNoMeterWrites(t *testing.T) {
	none, err := encodeTimes(newTimer().total)
	if err != nil {
		t.Fatal(err)
	}
	second := func(data ...byte) string {
		return fmt.Sprintf(`{"version": 1, "times": {"join": {"total": %q, "seconds": [null, %q]}}}`, none, base64.StdEncoding.EncodeToString(data))
	}
	coarse, err := encodeTimes(newTimer().now) // of two digits, where three belong
	if err != nil {
		t.Fatal(err)
	}
	long := "[" + strings.Repeat("0,", maxSeconds) + "0]"
	for name, tt := range map[string]struct{ data, want string }{
		"no JSON":                   {`{`, "unexpected end"},
		"another version":           {`{"version": 2}`, "it has version 2, this program reads version 1"},
		"no version":                {`{}`, "it has version 0"},
		"broken histogram":          {`{"version": 1, "times": {"join": {"total": "SGlzdA=="}}}`, "join: histogram"},
		"another precision":         {`{"version": 1, "times": {"join": {"total": "` + coarse + `"}}}`, "another range or precision"},
		"second cut off":            {second(1), "join: second 1: a varint is cut off"},
		"second of a broken varint": {second(bytes.Repeat([]byte{0xff}, 11)...), "a varint is cut off or too long"},
		"second out of range":       {second(binary.AppendUvarint(binary.AppendUvarint(nil, uint64(maxTime.Microseconds()+1)), 1)...), "1 times of 120000001 µs more than 0 are out of range"},
		"second beyond":             {second(append(binary.AppendUvarint([]byte{2, 1}, math.MaxUint64), 1)...), "more than 2 are out of range"},
		"second with too many":      {second(binary.AppendUvarint([]byte{1}, math.MaxUint64)...), "are out of range"},
		"counts too long":           {`{"version": 1, "counts": {"delivered": ` + long + `}}`, "delivered: a run has at most 604800 seconds"},
		"gauge too long":            {`{"version": 1, "gauges": {"viewers": {"first": 1, "seconds": ` + long[:len(long)-3] + `]}}}`, "at most 604800 seconds"},
		"gauge before the run":      {`{"version": 1, "gauges": {"viewers": {"first": -1, "seconds": [1]}}}`, "at most 604800 seconds"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := json.Unmarshal([]byte(tt.data), new(Meter)); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestMeterTakesFromManyAtOnce(t *testing.T) {
	const writers, each = 8, 1000
	m, other := NewMeter(time.Now()), NewMeter(time.Now())
	var writing sync.WaitGroup
	for range writers {
		writing.Go(func() {
			for i := range each {
				m.Count("delivered", 1)
				m.Time("join", time.Duration(i)*time.Microsecond)
				m.Gauge("viewers", float64(i))
				if i%100 == 0 {
					m.Series()
					other.Merge(m)
					m.Latencies()
				}
			}
		})
	}
	writing.Wait()
	if m.Total("delivered") != writers*each || m.Latencies()[0].Count != writers*each {
		t.Errorf("%v %v", m.Totals(), m.Latencies())
	}
	var inSeconds int64
	for _, n := range m.Series().Times["join"].Count {
		inSeconds += n
	}
	if inSeconds != writers*each {
		t.Errorf("the seconds have %d times", inSeconds)
	}
}
