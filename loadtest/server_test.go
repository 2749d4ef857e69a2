package loadtest

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// adminOf serves metrics as a gateway does; the figures grow with each look.
func adminOf(t *testing.T, began float64, looks *atomic.Int64) *httptest.Server {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path != "/metrics" {
			http.NotFound(w, req)
			return
		}
		n := looks.Add(1)
		fmt.Fprintf(w, "# TYPE go_build_info gauge\ngo_build_info{path=\"livecart\",version=\"v1.2.3\"} 1\n# TYPE go_info gauge\ngo_info{version=\"go1.26.8\"} 1\n"+
			"# TYPE process_cpu_seconds_total counter\nprocess_cpu_seconds_total %d\n"+
			"# TYPE process_resident_memory_bytes gauge\nprocess_resident_memory_bytes 1000\n"+
			"# TYPE process_start_time_seconds gauge\nprocess_start_time_seconds %f\n"+
			"# TYPE livecart_ws_connections gauge\nlivecart_ws_connections 7\n"+
			"# TYPE livecart_degraded gauge\nlivecart_degraded{part=\"redis\"} 1\nlivecart_degraded{part=\"ledger\"} 0\n"+
			"# TYPE livecart_ws_slow_closed_total counter\nlivecart_ws_slow_closed_total %d\n"+
			"# TYPE livecart_ws_dropped_total counter\nlivecart_ws_dropped_total{class=\"sampled\"} %d\nlivecart_ws_dropped_total{class=\"skipped\"} 5\n",
			100+n, began, n, 10*n)
	}))
	t.Cleanup(s.Close)
	return s
}

// newWatcher is one that has not looked yet.
func newWatcher(s Servers) *watcher {
	return &watcher{Servers: s, meter: NewMeter(time.Now()), used: map[string]usage{}, told: map[string]scraped{}, missing: map[string]bool{}, first: map[string]float64{}}
}

func (w *watcher) last(name string) float64 { return w.meter.Series().Gauges[name].last() }

func TestWatchMetrics(t *testing.T) {
	var a, b atomic.Int64
	// Two addresses of one process, and another process that began later.
	one, same, other := adminOf(t, 1000.25, &a), adminOf(t, 1000.25, &a), adminOf(t, 1000.5, &b)
	w := newWatcher(Servers{MetricsURLs: []string{one.URL, same.URL + "/metrics", other.URL + "/"}})
	for range 3 {
		w.look(t.Context())
	}
	// The first two share a counter: 1 or 2 at first, 5 or 6 at last.
	for name, want := range map[string][2]float64{
		"server.rss":             {2000, 2000},
		"server.cpu":             {5, 7},
		"server.connections":     {21, 21},
		"server.degraded":        {3, 3},
		"server.slow_closed":     {8, 12},
		"server.dropped.sampled": {80, 120},
		"server.dropped.skipped": {0, 0},
	} {
		if got := w.last(name); got < want[0] || got > want[1] {
			t.Errorf("%s is %g, want %v", name, got, want)
		}
	}
	if len(w.marks) > 0 {
		t.Errorf("%v", w.marks)
	}
	other.Close()
	w.look(t.Context())
	if w.last("server.rss") != 1000 || w.last("server.connections") != 14 || len(w.marks) != 1 || w.marks[0].Text != other.URL+"/ is gone" {
		t.Errorf("a server is gone: %v, %v", w.meter.Series().Gauges, w.marks)
	}
	w.look(t.Context())
	if len(w.marks) != 1 {
		t.Errorf("%v", w.marks)
	}
}

func TestWatchProcess(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("there is no /proc")
	}
	child := exec.Command("sleep", "60")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	s := Servers{PIDs: []int{os.Getpid(), child.Process.Pid}}
	if _, err := s.reach(t.Context()); err != nil {
		t.Fatal(err)
	}
	w := newWatcher(s)
	w.look(t.Context())
	used := func() float64 {
		u, err := lookAt(os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		return u.cpu
	}
	for begin := used(); used() < begin+0.1; { // whoever else has the processors meanwhile
	}
	w.look(t.Context())
	both := w.last("server.rss")
	if cpu := w.last("server.cpu"); cpu < 0.05 || cpu > 10 {
		t.Errorf("%g s of CPU", cpu)
	}
	if cpu, own := w.last("client.cpu"), w.last("client.rss"); cpu < 0.05 || own < 5e6 || own >= both {
		t.Errorf("this program used %g s of CPU and %g bytes of %g", cpu, own, both)
	}
	if both < 5e6 || both > 5e9 {
		t.Errorf("%g bytes", both)
	}
	child.Process.Kill()
	child.Wait()
	w.look(t.Context())
	if want := fmt.Sprintf("process %d is gone", child.Process.Pid); len(w.marks) != 1 || w.marks[0].Text != want {
		t.Errorf("%v, want %s", w.marks, want)
	}
	if _, err := s.reach(t.Context()); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("server process %d: ", child.Process.Pid)) {
		t.Errorf("%v", err)
	}
}

// A process that began anew under its old name does not take CPU back.
func TestWatchTakesNothingBack(t *testing.T) {
	w := newWatcher(Servers{})
	for _, step := range []struct{ v, want float64 }{{10, 0}, {15, 5}, {2, 0}, {4, 2}} {
		if got := w.since("cpu", step.v); got != step.want {
			t.Errorf("at %g it is %g, want %g", step.v, got, step.want)
		}
	}
}

func TestServersThatDoNotAnswer(t *testing.T) {
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "<html>") }))
	defer page.Close()
	none := httptest.NewServer(http.NotFoundHandler())
	defer none.Close()
	for name, tt := range map[string]struct{ url, want string }{
		"nobody there": {"http://127.0.0.1:1", "connection refused"},
		"no metrics":   {page.URL, "/metrics: no metrics: text format parsing error in line 1"},
		"not found":    {none.URL, "/metrics: 404 Not Found"},
		"no address":   {"http://[", "missing ']'"},
		"no scheme":    {"localhost:9090", "unsupported protocol scheme"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Servers{MetricsURLs: []string{tt.url}}.reach(t.Context())
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v", err)
			}
			var looks atomic.Int64
			here := adminOf(t, 1, &looks)
			found, err := Servers{MetricsURLs: []string{tt.url, here.URL}, PIDs: []int{999999999}, Optional: true}.reach(t.Context())
			if err != nil || len(found.PIDs) > 0 || !slices.Equal(found.MetricsURLs, []string{here.URL}) || len(found.gone) != 2 || !strings.Contains(found.gone[1], tt.want) {
				t.Errorf("optional: %+v: %v", found, err)
			}
			e := describe(t.Context(), Target{Servers: found})
			if len(e.Servers) != 1 || len(e.Warnings) != 2 || !strings.HasPrefix(e.Warnings[1], "figures of a server are left out: server metrics: ") {
				t.Errorf("%+v", e)
			}
		})
	}
}

func TestWatchEndsWithItsContext(t *testing.T) {
	var looks atomic.Int64
	admin := adminOf(t, 1, &looks)
	ctx, cancel := context.WithCancel(t.Context())
	m, ended := NewMeter(time.Now()), make(chan []Mark)
	go func() { ended <- Servers{MetricsURLs: []string{admin.URL}}.watch(ctx, m) }()
	for looks.Load() == 0 {
		runtime.Gosched()
	}
	cancel()
	if marks := <-ended; len(marks) > 0 {
		t.Errorf("%v", marks)
	}
}
