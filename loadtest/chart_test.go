package loadtest

import (
	"math"
	"reflect"
	"strings"
	"testing"
)

func labels(ticks []tick) string {
	var all []string
	for _, t := range ticks {
		all = append(all, t.Label)
	}
	return strings.Join(all, " ")
}

func TestScales(t *testing.T) {
	for _, tt := range []struct {
		name string
		s    scale
		want string
		v    float64
		at   float64
	}{
		{"up to 40", linearScale(40), "0 10 20 30 40", 20, 88},
		{"up to 41", linearScale(41), "0 20 40 60", 0, plotBottom},
		{"thousands", linearScale(15000), "0 5k 10k 15k", 15000, plotTop},
		{"less than one", linearScale(0.4), "0 0.1 0.2 0.3 0.4", 0.4, plotTop},
		{"nothing", linearScale(0), "0 0.00025", 0, plotBottom},
		{"decades", logScale(5, 600), "1 10 100 1k", 10, plotBottom - 152.0/3},
		{"one decade", logScale(1, 1), "1 10", 1, plotBottom},
		{"lower than the lowest", logScale(10, 100), "10 100", 1, plotBottom},
		{"no time at all", logScale(math.Inf(1), 0), "1 10", 0, plotBottom},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := labels(tt.s.ticks); tt.name != "nothing" && got != tt.want {
				t.Errorf("ticks %s, want %s", got, tt.want)
			}
			if got := tt.s.y(tt.v); math.Abs(got-tt.at) > 1e-6 {
				t.Errorf("%g is at %g, want %g", tt.v, got, tt.at)
			}
		})
	}
}

func TestTimeTicks(t *testing.T) {
	for seconds, want := range map[int]string{
		0: "0 s", 1: "0 s", 5: "0 s 1 s 2 s 3 s 4 s", 61: "0 s 10 s 20 s 30 s 40 s 50 s 1:00",
		7201: "0 s 15:00 30:00 45:00 1:00:00 1:15:00 1:30:00 1:45:00 2:00:00",
	} {
		var got []string
		for _, s := range timeTicks(seconds) {
			got = append(got, tellSeconds(s))
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%d: %s, want %s", seconds, strings.Join(got, " "), want)
		}
	}
	for seconds := range 3 * maxPoints {
		if n := len(timeTicks(seconds)); n < 1 || n > 11 {
			t.Fatalf("%d seconds have %d ticks", seconds, n)
		}
	}
}

// Seconds share a point from 601 on, with their mean or their worst.
func TestTracksShorten(t *testing.T) {
	if stepOf(maxPoints) != 1 || stepOf(maxPoints+1) != 2 || stepOf(0) != 1 {
		t.Errorf("steps %d, %d, %d", stepOf(maxPoints), stepOf(maxPoints+1), stepOf(0))
	}
	nan := math.NaN()
	values := []float64{1, 3, nan, 5, nan, nan, 7}
	same := func(got, want []float64) bool {
		for i := range got {
			if got[i] != want[i] && !(math.IsNaN(got[i]) && math.IsNaN(want[i])) {
				return false
			}
		}
		return len(got) == len(want)
	}
	if got := (track{values: values}).points(2); !same(got, []float64{2, 5, nan, 7}) {
		t.Errorf("mean %v", got)
	}
	if got := (track{values: values, worst: true}).points(2); !same(got, []float64{3, 5, nan, 7}) {
		t.Errorf("worst %v", got)
	}
	if got := (track{values: values}).points(1); !same(got, values) {
		t.Errorf("alone %v", got)
	}
}

func TestLinesHaveGaps(t *testing.T) {
	nan := math.NaN()
	at := func(v float64) float64 { return v }
	l := track{name: "a", values: []float64{1, 2, nan, 3, nan, 4, 5, nan}}.line(3, func(i int) float64 { return float64(10 * i) }, at)
	if want := "M0.0 1.0L10.0 2.0M28.0 3.0a2 2 0 1 0 4 0a2 2 0 1 0 -4 0M50.0 4.0L60.0 5.0"; l.Path != want || l.Number != 3 {
		t.Errorf("path %s, want %s", l.Path, want)
	}
	if len(l.Values) != 8 || l.Values[2] != nil || *l.Values[6] != 5 {
		t.Errorf("values %v", l.Values)
	}
}

func TestTimeChartKeepsTheHighestLines(t *testing.T) {
	tracks := []track{{name: "none", values: []float64{math.NaN()}}}
	for i := range maxLines + 3 {
		tracks = append(tracks, track{name: string(rune('z' - i)), values: []float64{float64(i)}})
	}
	c := timeChart("x", "X", "ms", 1, false, []Mark{{0.5, "fault"}, {99, "after the end"}}, tracks)
	var names []string
	for _, l := range c.Lines {
		names = append(names, l.Name)
	}
	if want := strings.Split("p q r s t u v w", " "); !reflect.DeepEqual(names, want) {
		t.Errorf("%v", names)
	}
	if len(c.Marks) != 2 || c.Marks[1].At != plotRight {
		t.Errorf("%v", c.Marks)
	}
	if empty := timeChart("x", "X", "ms", 0, true, nil, tracks[:1]); len(empty.Lines) > 0 {
		t.Errorf("%v", empty.Lines)
	}
}
