package loadtest

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// measuredResult is of a run of 2 s.
func measuredResult(t *testing.T) *Result {
	r := &Result{Scenario: "steady", Viewers: 10, Seconds: 2}
	synctest.Test(t, func(t *testing.T) {
		m := NewMeter(time.Now())
		for i := range 100 {
			m.Time("delivery.chat", time.Duration(i+1)*time.Millisecond)
		}
		m.Count("delivered", 3000)
		m.Count("closed.4008", 2)
		m.Gauge("server.rss", 1<<30)
		time.Sleep(time.Second)
		m.Gauge("server.rss", 512<<20)
		r.measure(m)
	})
	return r
}

func TestThresholds(t *testing.T) {
	r := measuredResult(t)
	for _, tt := range []struct {
		text  string
		ok    bool
		value string
	}{
		{"p99(delivery.chat)<500ms", true, "99.01 ms"},
		{"p99(delivery.chat)<99ms", false, "99.01 ms"},
		{"p50(delivery.chat)>=50ms", true, "50.02 ms"},
		{"p99.9(delivery.chat)<=0.1s", false, "100.03 ms"},
		{"p0(delivery.chat)<1.1ms", true, "1.00 ms"},
		{"max(delivery.chat)<1m", true, "100.03 ms"},
		{"count(delivery.chat)==100", true, "100"},
		{"p99(join)<1h", false, "nothing was measured"},
		{"count(closed.4008)==0", false, "2"},
		{"count(closed.4008)!=0", true, "2"},
		{"count(closed.4029)==0", true, "0"},
		{"count(closed.4029)>0", false, "0"},
		{"rate(delivered)>1000", true, "1500.0/s"},
		{"rate(delivered)>1.5k", false, "1500.0/s"},
		{"rate(delivered)>=1.5k", true, "1500.0/s"},
		{"gauge(server.rss)<2GiB", true, "1024.0 MiB"},
		{"gauge(server.rss)<=1GiB", true, "1024.0 MiB"},
		{"gauge(server.rss)<1GB", false, "1024.0 MiB"},
		{"last(server.rss)==512MiB", true, "512.0 MiB"},
		{"gauge(viewers)>0", false, "nothing was measured"},
		{"  p99 ( delivery.chat )  <  500ms ", true, "99.01 ms"},
	} {
		t.Run(tt.text, func(t *testing.T) {
			threshold, err := ParseThreshold(tt.text)
			if err != nil {
				t.Fatal(err)
			}
			if got := threshold.judge(r); got.OK != tt.ok || got.Value != tt.value || got.Threshold != strings.TrimSpace(tt.text) {
				t.Errorf("%+v", got)
			}
		})
	}
}

func TestThresholdsThatAreNone(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"", `position 1: expected p0 to p100, max, count, rate, gauge or last, not ""`},
		{"p101(join)<1s", `position 1: expected p0 to p100`},
		{"pNaN(join)<1s", `position 1: expected p0 to p100`},
		{"avg(join)<1s", `not "avg"`},
		{"p99", `position 4: expected "("`},
		{"p99()<1s", `position 5: the name of a figure is missing`},
		{"p99(join<1s", `position 9: expected ")"`},
		{"p99(join)1s", `position 10: expected one of < <= > >= == !=`},
		{"p99(join)", `position 10: expected one of`},
		{"p99(join)<", `position 11: expected a duration such as 500ms or 2s, not ""`},
		{"p99(join)<500", `position 11: expected a duration such as 500ms or 2s, not "500"`},
		{"p99(join) < 5s5", `position 13: expected a duration`},
		{"rate(delivered)>many", `position 17: expected a number such as 1000, 1.5k or 2GiB, not "many"`},
		{"gauge(server.rss)<InfGiB", `position 19: expected a number`},
		{"gauge(server.rss)<2TiB", `expected a number`},
		{"p99(delivered)<1s", "delivered is a count, of which there is count, rate"},
		{"rate(join)>1", "join is a time, of which there is p0 to p100, max, count"},
		{"max(viewers)>1", "viewers is a gauge, of which there is gauge, last"},
		{"p99(delivery.chatt)<1s", `no run measures "delivery.chatt": did you mean delivery.chat?`},
		{"p99(reply.chat_sent)<1s", `no run measures "reply.chat_sent": did you mean reply.<command>?`},
		{"count(refused.flash_buy.sold_outt)==0", `did you mean refused.<command>.<reason>?`},
		{"count(closed.999)==0", `did you mean closed.<code>?`},
		{"count(closed.5000)==0", `did you mean closed.<code>?`},
		{"count(zzzzzzzzzzzz)==0", `no run measures "zzzzzzzzzzzz"; loadtest figures lists`},
	} {
		t.Run(tt.text, func(t *testing.T) {
			_, err := ParseThreshold(tt.text)
			if err == nil || !strings.HasPrefix(err.Error(), `threshold "`+tt.text) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v", err)
			}
		})
	}
}

// Every figure that is described can be asked for.
func TestMeasuredFigures(t *testing.T) {
	example := strings.NewReplacer("<command>", "flash_buy", "<reason>", "sold_out", "<code>", "1000", "<word>", "comments")
	for _, f := range MeasuredFigures {
		name := example.Replace(f.Name)
		text := map[FigureKind]string{Times: "p50(" + name + ")<1s", Counts: "rate(" + name + ")>1", Gauges: "last(" + name + ")>1"}[f.Kind]
		if _, err := ParseThreshold(text); err != nil {
			t.Error(err)
		}
	}
}
