package loadtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"sync"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/prometheus/procfs"
)

// Servers are the processes under test that a run watches, each second. The zero value watches nothing.
type Servers struct {
	// PIDs are of processes on this machine, which must be a Linux; their CPU and memory are read there.
	PIDs []int
	// MetricsURLs are admin addresses, with or without /metrics. They tell connections, drops and, where
	// no PIDs are given, CPU and memory.
	MetricsURLs []string
	// Optional leaves out, with a warning in the result, those that do not answer before the run, as where
	// a ready file of another machine names them. Else they are an error.
	Optional bool

	gone []string // those that were left out, and why
}

// Bounds of looking at the servers.
const (
	watchInterval = time.Second
	scrapeTimeout = 5 * time.Second
	maxScrape     = 8 << 20
)

// reach looks at each of them once, so that one that is not there is found out before the run, and
// returns those that are there.
func (s Servers) reach(ctx context.Context) (Servers, error) {
	found := Servers{Optional: s.Optional}
	for _, pid := range s.PIDs {
		if _, err := lookAt(pid); err == nil {
			found.PIDs = append(found.PIDs, pid)
		} else if err := fmt.Errorf("server process %d: %w", pid, err); !s.Optional {
			return s, err
		} else {
			found.gone = append(found.gone, err.Error())
		}
	}
	for _, address := range s.MetricsURLs {
		if _, err := scrape(ctx, address); err == nil {
			found.MetricsURLs = append(found.MetricsURLs, address)
		} else if err := fmt.Errorf("server metrics: %w", err); !s.Optional || ctx.Err() != nil {
			return s, err
		} else {
			found.gone = append(found.gone, err.Error())
		}
	}
	return found, nil
}

// usage is what one process uses: seconds of CPU since it began, and resident bytes.
type usage struct{ cpu, rss float64 }

func lookAt(pid int) (usage, error) {
	p, err := procfs.NewProc(pid)
	if err != nil {
		return usage{}, err
	}
	stat, err := p.Stat()
	if err != nil {
		return usage{}, err
	}
	if stat.State == "Z" {
		return usage{}, errors.New("it has ended")
	}
	return usage{cpu: stat.CPUTime(), rss: float64(stat.ResidentMemory())}, nil
}

// scraped is what one metrics address told.
type scraped map[string]*dto.MetricFamily

// scraper connects anew each time: what it finds out is whether the server answers.
var scraper = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

func scrape(ctx context.Context, address string) (scraped, error) {
	ctx, cancel := context.WithTimeout(ctx, scrapeTimeout)
	defer cancel()
	u, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = "/metrics"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	resp, err := scraper.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", u, resp.Status)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(io.LimitReader(resp.Body, maxScrape))
	if err != nil {
		return nil, fmt.Errorf("%s: no metrics: %w", u, err)
	}
	return families, nil
}

// each calls f with every value of a counter or gauge, and the value of one of its labels.
func (s scraped) each(name, label string, f func(label string, v float64)) {
	for _, metric := range s[name].GetMetric() {
		value := ""
		for _, pair := range metric.GetLabel() {
			if pair.GetName() == label {
				value = pair.GetValue()
			}
		}
		f(value, metric.GetCounter().GetValue()+metric.GetGauge().GetValue())
	}
}

func (s scraped) sum(name string) (sum float64) {
	s.each(name, "", func(_ string, v float64) { sum += v })
	return sum
}

// build says which version a server is of and with which Go it was built, as far as it tells.
func (s Servers) build(ctx context.Context, address string) string {
	families, err := scrape(ctx, address)
	if err != nil {
		return "no answer"
	}
	name, compiler := "livecart", "an unknown Go version"
	families.each("go_build_info", "version", func(label string, _ float64) { name += " " + label })
	families.each("go_info", "version", func(label string, _ float64) { compiler = label })
	return name + " built with " + compiler
}

// watcher keeps what was last known of each process and address, so that what is gone still counts.
type watcher struct {
	Servers
	meter *Meter

	used    map[string]usage
	told    map[string]scraped
	missing map[string]bool
	first   map[string]float64 // the first values of what only grows
	marks   []Mark
}

// watch looks at the servers, and at this program itself, each second until ctx ends. It returns when
// which of the servers stopped or began to answer.
func (s Servers) watch(ctx context.Context, m *Meter) []Mark {
	w := &watcher{Servers: s, meter: m, used: map[string]usage{}, told: map[string]scraped{}, missing: map[string]bool{}, first: map[string]float64{}}
	tick := time.NewTicker(watchInterval)
	defer tick.Stop()
	for ctx.Err() == nil {
		w.look(ctx)
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
	return w.marks
}

// look takes one sample of everything.
func (w *watcher) look(ctx context.Context) {
	answers, errs := make([]scraped, len(w.MetricsURLs)), make([]error, len(w.MetricsURLs))
	var asking sync.WaitGroup
	for i, address := range w.MetricsURLs {
		asking.Go(func() { answers[i], errs[i] = scrape(ctx, address) })
	}
	asking.Wait()
	if ctx.Err() != nil {
		return // the end of the run is no fault of theirs
	}
	if own, err := lookAt(os.Getpid()); err == nil { // there is no /proc everywhere
		w.meter.Gauge("client.cpu", w.since("client", own.cpu))
		w.meter.Gauge("client.rss", own.rss)
	}
	for _, pid := range w.PIDs {
		name := fmt.Sprintf("process %d", pid)
		u, err := lookAt(pid)
		w.note(name, err)
		w.use(name, u, err)
	}
	for i, address := range w.MetricsURLs {
		w.note(address, errs[i])
		if errs[i] == nil {
			w.told[address] = answers[i]
		}
		if len(w.PIDs) == 0 {
			u := usage{answers[i].sum("process_cpu_seconds_total"), answers[i].sum("process_resident_memory_bytes")}
			w.use(w.process(address), u, errs[i])
		}
	}
	w.tell()
}

// process names the process behind an address: two addresses of one host whose process began at one
// moment, to a fraction of a second, are one.
func (w *watcher) process(address string) string {
	u, err := url.Parse(address)
	began := w.told[address].sum("process_start_time_seconds")
	if err != nil || began == 0 {
		return address
	}
	return fmt.Sprintf("%s began at %f", u.Hostname(), began)
}

// use notes what a process uses; one that is gone used what it used and holds no memory.
func (w *watcher) use(name string, u usage, err error) {
	if err != nil {
		u = usage{cpu: w.used[name].cpu}
	}
	w.used[name] = u
}

// note marks a server that stops or begins to answer.
func (w *watcher) note(name string, err error) {
	if (err != nil) == w.missing[name] {
		return
	}
	w.missing[name] = err != nil
	text := name + " answers again"
	if err != nil {
		text = name + " is gone"
	}
	w.marks = append(w.marks, Mark{time.Since(w.meter.begin).Seconds(), text})
}

// tell gives the sums to the meter.
func (w *watcher) tell() {
	var all usage
	for name, u := range w.used {
		all.cpu += w.since(name, u.cpu)
		all.rss += u.rss
	}
	if len(w.used) > 0 {
		w.meter.Gauge("server.cpu", all.cpu)
		w.meter.Gauge("server.rss", all.rss)
	}
	if len(w.told) == 0 {
		return
	}
	connections, closed, degraded := 0.0, 0.0, 0.0
	dropped := map[string]float64{}
	for address, t := range w.told {
		if !w.missing[address] {
			connections += t.sum("livecart_ws_connections")
			degraded += t.sum("livecart_degraded")
		}
		closed += w.since(address+" closed", t.sum("livecart_ws_slow_closed_total"))
		t.each("livecart_ws_dropped_total", "class", func(class string, v float64) {
			dropped[class] += w.since(address+" dropped "+class, v)
		})
	}
	w.meter.Gauge("server.connections", connections)
	w.meter.Gauge("server.degraded", degraded)
	w.meter.Gauge("server.slow_closed", closed)
	for class, v := range dropped {
		w.meter.Gauge("server.dropped."+class, v)
	}
}

// since returns how much more it is than at first. A process that began anew counts from there on.
func (w *watcher) since(name string, v float64) float64 {
	first, ok := w.first[name]
	if !ok || v < first {
		first = v
		w.first[name] = v
	}
	return v - first
}
