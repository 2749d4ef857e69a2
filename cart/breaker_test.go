package cart

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestBreakerOpensAfterSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker()
		stop := make(chan struct{})
		b.pass(stop)
		time.Sleep(time.Second)
		b.silent()
		b.pass(stop)
		time.Sleep(breakAfter - time.Second - time.Nanosecond)
		if b.open() {
			t.Error("open before its time")
		}
		time.Sleep(time.Nanosecond)
		if !b.open() {
			t.Error("closed after 2 s of silence")
		}
		b.silent()

		// One envelope a second.
		began := time.Now()
		for range 3 {
			b.pass(stop)
			b.silent()
		}
		if took := time.Since(began); took < 2*probeEvery || took > 3*probeEvery {
			t.Errorf("three envelopes passed in %v", took)
		}

		// Those who wait go on with the first answer.
		passed := make(chan time.Time, 1)
		go func() { b.pass(stop); passed <- time.Now() }()
		synctest.Wait()
		b.pass(stop)
		b.answered()
		at := time.Now()
		if got := <-passed; got.After(at) {
			t.Errorf("the wait went on for %v after the answer", got.Sub(at))
		}
		if b.open() {
			t.Error("open after an answer")
		}
	})
}

func TestBreakerIdleStaysClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker()
		b.pass(nil)
		b.answered()
		time.Sleep(time.Hour)
		if b.open() {
			t.Error("open without anybody asking")
		}
	})
}

func TestBreakerStopEndsTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker()
		b.pass(nil)
		time.Sleep(breakAfter)
		b.pass(nil)
		stop := make(chan struct{})
		close(stop)
		if b.pass(stop) {
			t.Error("passed although stopped")
		}
	})
}

// Without any ledger the room sees its sale paused and new attempts are turned away; with one again
// what was reserved is decided, and the sale goes on.
func TestSilentLedgerPausesTheSale(t *testing.T) {
	s := newStall(t, 5, 0)
	registry := prometheus.NewRegistry()
	s.cfg.Registerer = registry
	gateway := s.gateway()
	degraded := func(want int) func() bool {
		return func() bool {
			return testutil.GatherAndCompare(registry, strings.NewReader(fmt.Sprintf(`
# HELP livecart_degraded Whether a part works with less than it should, 1 or 0.
# TYPE livecart_degraded gauge
livecart_degraded{part="ledger"} %d
`, want)), "livecart_degraded") == nil
		}
	}
	s.expect("in working order", degraded(0)(), true)
	events := s.roomEvents()
	got := make(chan error, 1)
	go func() {
		_, err := s.buy(gateway, "ann", "k", 1)
		got <- err
	}()
	stock := func(paused bool) func() bool {
		return func() bool {
			all := events()
			for i := len(all) - 1; i >= 0; i-- {
				if told := all[i].GetFlashStock(); told != nil {
					return told.Paused == paused
				}
			}
			return false
		}
	}
	s.until("the room sees a pause", stock(true))
	s.until("the metric says so", degraded(1))
	_, err := s.buy(gateway, "bob", "k", 1)
	s.refused(err, ErrTryAgain)
	s.expect("recorded", scan[int64](s.market, `SELECT count(*) FROM attempt`), int64(0))
	s.ledger()
	s.must(<-got)
	s.until("the room sees the sale go on", stock(false))
	s.until("the metric says so", degraded(0))
	_, err = s.buy(gateway, "bob", "k", 1)
	s.must(err)
	s.expect("sold", s.sold(), int64(2))
	last := struct{ epoch, rev int64 }{}
	for _, ev := range events() {
		if told := ev.GetFlashStock(); told != nil {
			if told.Epoch < last.epoch || told.Epoch == last.epoch && told.Rev <= last.rev {
				t.Errorf("flash_stock (%d, %d) after (%d, %d)", told.Epoch, told.Rev, last.epoch, last.rev)
			}
			last.epoch, last.rev = told.Epoch, told.Rev
		}
	}
}
