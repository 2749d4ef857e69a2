package loadtest

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
)

//go:embed report.html
var reportHTML string

var reportTemplate = template.Must(template.New("report").Funcs(template.FuncMap{
	"number": tellNumber, "word": passOrFail, "ms": func(v float64) string { return fmt.Sprintf("%.1f", v) },
}).Parse(reportHTML))

// page is what the template draws.
type page struct {
	*Result
	Facts        []line
	Machine      []line
	Charts       []chart
	Distribution *chart
	Losses       []Figure
	AllCounts    []Figure
	Cursor       cursor
}

// cursor is what the script tells about a time.
type cursor struct {
	Left, Right, Seconds, Step int
	Charts                     map[string][]cursorLine
}

type cursorLine struct {
	Name   string
	Values []*float64
}

// WriteHTML writes one page that needs no other file and no network: what the summary tells, with charts.
func (r *Result) WriteHTML(w io.Writer) error {
	p := page{Result: r, Facts: r.facts(), Machine: r.Environment.lines(), Charts: r.charts(), Losses: r.losses()}
	if len(r.Latency) > 0 {
		c := distributionChart(r.Latency)
		p.Distribution = &c
	}
	for _, name := range slices.Sorted(maps.Keys(r.Counts)) {
		p.AllCounts = append(p.AllCounts, Figure{name, r.Counts[name]})
	}
	seconds := r.Series.seconds()
	p.Cursor = cursor{Left: plotLeft, Right: plotRight, Seconds: seconds, Step: stepOf(seconds), Charts: map[string][]cursorLine{}}
	for _, c := range p.Charts {
		for _, l := range c.Lines {
			p.Cursor.Charts[c.ID] = append(p.Cursor.Charts[c.ID], cursorLine{l.Name, l.Values})
		}
	}
	var text bytes.Buffer
	if err := reportTemplate.Execute(&text, p); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	_, err := w.Write(text.Bytes())
	return err
}

// facts are the few figures that matter most.
func (r *Result) facts() []line {
	peak, _ := r.Series.Gauges["viewers"].peak()
	if peak == 0 {
		peak = float64(r.Viewers)
	}
	facts := []line{{"viewers", tellWhole(peak)}, {"seconds", tellNumber(r.Seconds)}}
	for _, rate := range r.Rates {
		if strings.HasPrefix(rate.Name, "deliveries") {
			facts = append(facts, line{rate.Name, tellShort(math.Round(rate.Value))})
		}
	}
	for _, l := range r.Latency {
		if slices.Contains([]string{"join", "back", "delivery.chat", "confirm", "reply.flash_buy"}, l.Name) {
			facts = append(facts, line{l.Name + " p99, ms", tellNumber(l.P99)})
		}
	}
	if rss, _ := r.Series.Gauges["server.rss"].peak(); rss > 0 {
		facts = append(facts, line{"server memory, MiB", tellWhole(rss / (1 << 20))})
	}
	return facts
}

// charts draws everything over one time axis, leaving out what was not measured.
func (r *Result) charts() []chart {
	seconds := r.Series.seconds()
	var charts []chart
	add := func(id, title, unit string, log bool, tracks []track) {
		if c := timeChart(id, title, unit, seconds, log, r.Marks, tracks); len(c.Lines) > 0 {
			charts = append(charts, c)
		}
	}
	add("viewers", "Viewers", "connections", false, r.gaugeTracks(false, "viewers", "server.connections"))
	add("deliveries", "Deliveries", "a second", false, r.countTracks(false, "delivered"))
	add("commands", "Offered, and sent where that differs", "a second", false, r.arrivalTracks())
	add("p99", "Latency, p99 of each second", "ms", true, r.timeTracks(func(t TimeSeries) []float64 { return t.P99 }))
	add("p50", "Latency, p50 of each second", "ms", true, r.timeTracks(func(t TimeSeries) []float64 { return t.P50 }))
	losses := slices.Concat(
		r.countTracks(true, "refused", "sampled", "skipped", "gaps", "reconnects", "join_failed", "closed"),
		r.gaugeTracks(true, "server.dropped", "server.slow_closed"))
	add("losses", "Drops, refusals and disconnects", "a second", false, losses)
	add("cpu", "CPU of this program and of the servers", "cores", false, r.gaugeTracks(true, "client.cpu", "server.cpu"))
	rss := r.gaugeTracks(false, "client.rss", "server.rss")
	for _, t := range rss {
		for i := range t.values {
			t.values[i] /= 1 << 20
		}
	}
	add("rss", "Memory of this program and of the servers", "MiB", false, rss)
	return charts
}

// belongs reports whether a figure has one of the names or is of one of the families.
func belongs(name string, families []string) bool {
	return slices.ContainsFunc(families, func(f string) bool { return name == f || strings.HasPrefix(name, f+".") })
}

// countTracks draws counts a second. One that is always 0 is left out.
func (r *Result) countTracks(worst bool, families ...string) []track {
	var tracks []track
	for _, name := range slices.Sorted(maps.Keys(r.Series.Counts)) {
		if !belongs(name, families) || r.Counts[name] == 0 {
			continue
		}
		t := track{name: name, worst: worst}
		for _, n := range r.Series.Counts[name] {
			t.values = append(t.values, float64(n))
		}
		tracks = append(tracks, t)
	}
	return tracks
}

// arrivalTracks draws the load: what was offered, and of that what was sent where it is not the same second by
// second. Commands, some of which are sent again, have names of their own.
func (r *Result) arrivalTracks() []track {
	return slices.DeleteFunc(r.countTracks(false, "offered", "sent"), func(t track) bool {
		kind, sent := strings.CutPrefix(t.name, "sent.")
		offered, ok := r.Series.Counts["offered."+kind]
		return sent && (!ok || slices.Equal(offered, r.Series.Counts[t.name]))
	})
}

// gaugeTracks draws gauges or, where they only grow, by how much they grew in each second.
func (r *Result) gaugeTracks(growth bool, families ...string) []track {
	var tracks []track
	for _, name := range slices.Sorted(maps.Keys(r.Series.Gauges)) {
		g := r.Series.Gauges[name]
		if !belongs(name, families) || growth && g.last() == 0 {
			continue
		}
		t := track{name: name, values: slices.Repeat([]float64{math.NaN()}, g.First)}
		for i, v := range g.Values {
			switch {
			case !growth:
				t.values = append(t.values, v)
			case i == 0:
				t.values = append(t.values, v)
			default:
				t.values = append(t.values, max(v-g.Values[i-1], 0))
			}
		}
		tracks = append(tracks, t)
	}
	return tracks
}

func (r *Result) timeTracks(percentile func(TimeSeries) []float64) []track {
	var tracks []track
	for _, name := range slices.Sorted(maps.Keys(r.Series.Times)) {
		ts := r.Series.Times[name]
		t := track{name: name, worst: true, values: slices.Clone(percentile(ts))}
		for i, n := range ts.Count {
			if n == 0 {
				t.values[i] = math.NaN()
			}
		}
		tracks = append(tracks, t)
	}
	return tracks
}
