package loadtest

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Geometry of a chart, in units of its view box; the template has the same numbers.
const (
	plotLeft   = 64
	plotRight  = 948
	plotTop    = 12
	plotBottom = 164
	// A line has at most as many points; more seconds share one.
	maxPoints = 600
	// A chart has at most as many lines, the highest ones, so that they can be told apart.
	maxLines = 8
)

// chart is a drawing of lines over a common x axis.
type chart struct {
	ID, Title, Unit string
	Lines           []chartLine
	Y, X            []tick
	Marks           []chartMark
	// Times says that x is the time of the run, on which all such charts share a cursor.
	Times bool
}

// chartLine is one line of a chart. Number chooses its colour.
type chartLine struct {
	Name   string
	Number int
	Path   string
	// Values are what the cursor tells, a point each; nil where there is none.
	Values []*float64
}

// tick is a number at an axis.
type tick struct {
	At    float64
	Label string
}

// chartMark is something that happened at a place of the x axis.
type chartMark struct {
	At   float64
	Text string
}

// track is what a line is drawn from: one value a second, NaN for none.
type track struct {
	name   string
	values []float64
	// worst keeps the highest of the seconds that share a point; else it is their mean.
	worst bool
}

// timeChart draws tracks over the seconds of a run. It has no lines where all tracks are empty.
func timeChart(id, title, unit string, seconds int, log bool, marks []Mark, tracks []track) chart {
	c := chart{ID: id, Title: title, Unit: unit, Times: true}
	tracks = slices.DeleteFunc(slices.Clone(tracks), func(t track) bool { return math.IsNaN(highest(t.values)) })
	slices.SortStableFunc(tracks, func(a, b track) int { return cmp.Compare(highest(b.values), highest(a.values)) })
	tracks = tracks[:min(len(tracks), maxLines)]
	slices.SortStableFunc(tracks, func(a, b track) int { return strings.Compare(a.name, b.name) })
	step := stepOf(seconds)
	high, low := 0.0, math.Inf(1)
	for i := range tracks {
		tracks[i].values = tracks[i].points(step)
		for _, v := range tracks[i].values {
			if v > 0 {
				high, low = math.Max(high, v), math.Min(low, v)
			}
		}
	}
	scale := linearScale(high)
	if log {
		scale = logScale(low, high)
	}
	x := func(second float64) float64 {
		return plotLeft + (plotRight-plotLeft)*min(second/float64(max(seconds-1, 1)), 1)
	}
	for i, t := range tracks {
		c.Lines = append(c.Lines, t.line(i+1, func(point int) float64 { return x(float64(point * step)) }, scale.y))
	}
	c.Y = scale.ticks
	for _, second := range timeTicks(seconds) {
		c.X = append(c.X, tick{x(float64(second)), tellSeconds(second)})
	}
	for _, m := range marks {
		c.Marks = append(c.Marks, chartMark{x(m.Second), m.Text})
	}
	return c
}

// stepOf is how many seconds share a point.
func stepOf(seconds int) int { return max((seconds+maxPoints-1)/maxPoints, 1) }

// highest returns the highest value, NaN where there is none.
func highest(values []float64) float64 {
	high := math.NaN()
	for _, v := range values {
		if !math.IsNaN(v) && !(v <= high) {
			high = v
		}
	}
	return high
}

// points puts each step seconds into one.
func (t track) points(step int) []float64 {
	var points []float64
	for part := range slices.Chunk(t.values, step) {
		if t.worst {
			points = append(points, highest(part))
			continue
		}
		sum, n := 0.0, 0
		for _, v := range part {
			if !math.IsNaN(v) {
				sum += v
				n++
			}
		}
		points = append(points, sum/float64(n)) // NaN of none
	}
	return points
}

// line draws the points, with a gap where there is no value. A point between gaps is a ring.
func (t track) line(number int, x func(point int) float64, y func(float64) float64) chartLine {
	l := chartLine{Name: t.name, Number: number}
	var path strings.Builder
	for i, v := range t.values {
		if math.IsNaN(v) {
			l.Values = append(l.Values, nil)
			continue
		}
		l.Values = append(l.Values, &t.values[i])
		pen, alone := "L", false
		if i == 0 || math.IsNaN(t.values[i-1]) {
			pen = "M"
			alone = i+1 == len(t.values) || math.IsNaN(t.values[i+1])
		}
		if alone {
			fmt.Fprintf(&path, "M%.1f %.1fa2 2 0 1 0 4 0a2 2 0 1 0 -4 0", x(i)-2, y(v))
			continue
		}
		fmt.Fprintf(&path, "%s%.1f %.1f", pen, x(i), y(v))
	}
	l.Path = path.String()
	return l
}

// scale is a y axis.
type scale struct {
	y     func(float64) float64
	ticks []tick
}

// linearScale goes from 0 to at least high, in steps of 1, 2 or 5.
func linearScale(high float64) scale {
	step := math.Pow(10, math.Floor(math.Log10(max(high, 1e-3)/4)))
	for _, factor := range []float64{1, 2, 5, 10} {
		if high/(step*factor) <= 4 {
			step *= factor
			break
		}
	}
	top := step * math.Ceil(max(high, step)/step)
	s := scale{y: func(v float64) float64 { return plotBottom - (plotBottom-plotTop)*v/top }}
	for n := 0.0; n*step <= top*1.0001; n++ {
		s.ticks = append(s.ticks, tick{s.y(n * step), tellShort(n * step)})
	}
	return s
}

// logScale has whole decades from low to high; what is lower lies on its lower edge.
func logScale(low, high float64) scale {
	if high <= 0 {
		low, high = 1, 10
	}
	bottom := math.Floor(math.Log10(low))
	top := max(math.Ceil(math.Log10(high)), bottom+1)
	s := scale{y: func(v float64) float64 {
		at := bottom
		if v > 0 {
			at = max(math.Log10(v), bottom)
		}
		return plotBottom - (plotBottom-plotTop)*(at-bottom)/(top-bottom)
	}}
	for decade := bottom; decade <= top; decade++ {
		v := math.Pow(10, decade)
		s.ticks = append(s.ticks, tick{s.y(v), tellShort(v)})
	}
	return s
}

// timeTicks are at most ten seconds with round numbers.
func timeTicks(seconds int) []int {
	step := 1
	for _, s := range []int{1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400} {
		step = s
		if seconds/s <= 10 {
			break
		}
	}
	var ticks []int
	for at := 0; at < max(seconds, 1); at += step {
		ticks = append(ticks, at)
	}
	return ticks
}

// tellSeconds writes 75 as 1:15.
func tellSeconds(s int) string {
	switch {
	case s < 60:
		return strconv.Itoa(s) + " s"
	case s < 3600:
		return fmt.Sprintf("%d:%02d", s/60, s%60)
	}
	return fmt.Sprintf("%d:%02d:%02d", s/3600, s/60%60, s%60)
}

// tellShort writes 1500 as 1.5k.
func tellShort(v float64) string {
	for _, u := range []struct {
		factor float64
		letter string
	}{{1e9, "G"}, {1e6, "M"}, {1e3, "k"}} {
		if v >= u.factor {
			return strconv.FormatFloat(v/u.factor, 'g', 4, 64) + u.letter
		}
	}
	return strconv.FormatFloat(v, 'g', 4, 64)
}

// percentileAxis are the shares at which a distribution is drawn and, where named, labelled. Each nine
// takes the same room.
var percentileAxis = []float64{0, 50, 90, 99, 99.9, 99.99, 99.999}

// distributionChart draws how long the fastest part of each figure took, on two logarithmic axes. A line
// ends where there are too few times to tell.
func distributionChart(latency []Latency) chart {
	c := chart{ID: "distribution", Title: "Latency by percentile", Unit: "ms"}
	most := int64(0)
	for _, l := range latency {
		most = max(most, l.Count)
	}
	nines := min(max(math.Ceil(math.Log10(float64(max(most, 10)))), 1), float64(len(percentileAxis)-2))
	x := func(percentile float64) float64 {
		at := -math.Log10(1 - percentile/100)
		return plotLeft + (plotRight-plotLeft)*min(at/nines, 1)
	}
	for _, p := range percentileAxis {
		if -math.Log10(1-p/100) <= nines {
			c.X = append(c.X, tick{x(p), strconv.FormatFloat(p, 'f', -1, 64) + " %"})
		}
	}
	shown := slices.Clone(latency)
	slices.SortStableFunc(shown, func(a, b Latency) int { return cmp.Compare(b.P99, a.P99) })
	shown = shown[:min(len(shown), maxLines)]
	slices.SortStableFunc(shown, func(a, b Latency) int { return strings.Compare(a.Name, b.Name) })
	low, high := math.Inf(1), 0.0
	for _, l := range shown {
		low, high = math.Min(low, max(l.Percentile(0), 0.001)), math.Max(high, l.Max)
	}
	scale := logScale(low, high)
	c.Y = scale.ticks
	const steps = 120
	for i, l := range shown {
		t := track{name: l.Name}
		var at []float64
		for step := range steps + 1 {
			left := math.Pow(10, -nines*float64(step)/steps) // the share that was slower
			if left*float64(l.Count) < 1 && step > 0 {
				break
			}
			at = append(at, 100*(1-left))
			t.values = append(t.values, l.Percentile(100*(1-left)))
		}
		c.Lines = append(c.Lines, t.line(i+1, func(point int) float64 { return x(at[point]) }, scale.y))
	}
	return c
}
