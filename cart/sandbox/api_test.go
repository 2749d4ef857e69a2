package sandbox

import (
	"bytes"
	"context"
	"errors"
	"math"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"livecart/cart"
)

func TestRefunds(t *testing.T) {
	d := newDesk(t)
	ctx := t.Context()
	address := d.bill("pay_1", time.Now().Add(soon))
	_, err := d.client.Refund(ctx, "ref_1", "pay_none", 1, "CNY")
	d.word(err, "not_found")
	_, err = d.client.Refund(ctx, "ref_1", "pay_1", 1, "CNY")
	d.word(err, "refused") // nothing was paid
	d.pay(address)
	for _, row := range []struct {
		name, id string
		amount   int64
		currency string
		word     string // "" for done
	}{
		{"part", "ref_1", 990, "CNY", ""},
		{"the same again", "ref_1", 990, "CNY", ""},
		{"the same id, another amount", "ref_1", 991, "CNY", "conflict"},
		{"the same id, another currency", "ref_1", 990, "USD", "conflict"},
		{"another currency", "ref_2", 1, "USD", "refused"},
		{"more than is left", "ref_2", 1001, "CNY", "refused"},
		{"nothing", "ref_2", 0, "CNY", "refused"},
		{"less than nothing", "ref_2", -1, "CNY", "refused"},
		{"more than there is money", "ref_2", math.MaxInt64, "CNY", "refused"},
		{"no id", "", 1, "CNY", "refused"},
		{"the rest", "ref_2", 1000, "CNY", ""},
		{"one more", "ref_3", 1, "CNY", "refused"},
	} {
		done, err := d.client.Refund(ctx, row.id, "pay_1", row.amount, row.currency)
		if row.word != "" {
			d.word(err, row.word)
		} else if !done || err != nil {
			t.Errorf("%s: %t, %v", row.name, done, err)
		}
	}
}

func TestRefundThatFailsAndWaits(t *testing.T) {
	d := newDesk(t)
	ctx := t.Context()
	d.pay(d.bill("pay_1", time.Now().Add(soon)))
	d.must(d.client.Behave(ctx, "pay_1", Behaviour{RefundFail: 2, RefundDelayMs: 50}))
	for range 2 {
		_, err := d.client.Refund(ctx, "ref_1", "pay_1", 1990, "CNY")
		d.word(err, "unavailable")
	}
	before := time.Now()
	for {
		done, err := d.client.Refund(ctx, "ref_1", "pay_1", 1990, "CNY")
		d.must(err)
		if done {
			break
		}
	}
	if took := time.Since(before); took < 49*time.Millisecond {
		t.Errorf("the refund was done after %v", took)
	}
}

func TestCreateIsIdempotentAndChecked(t *testing.T) {
	d := newDesk(t)
	expires := time.Now().Add(soon)
	if a, b := d.bill("pay_1", expires), d.bill("pay_1", expires); a != b {
		t.Errorf("one payment has the pages %s and %s", a, b)
	}
	for _, row := range []struct {
		id       string
		amount   int64
		currency string
		word     string
	}{
		{"pay_1", 1991, "CNY", "conflict"}, {"pay_1", 1990, "USD", "conflict"}, {"a b", 1, "CNY", "refused"},
		{"pay_2", 0, "CNY", "refused"}, {"pay_2", -1, "CNY", "refused"}, {"pay_2", MaxAmount + 1, "CNY", "refused"},
		{"pay_2", 1, "", "refused"}, {"pay_2", 1, "too long a currency", "refused"},
	} {
		_, err := d.client.Create(t.Context(), row.id, row.amount, row.currency, "Tea <b> & 茶", expires)
		d.word(err, row.word)
	}
	if c := d.charge("pay_2"); c.State != cart.ChargeUnknown {
		t.Errorf("a refused payment is %s", c.State)
	}
	_, err := d.client.Create(t.Context(), "pay_2", MaxAmount, "CNY", "", expires)
	d.must(err)
	_, err = d.client.Create(t.Context(), "pay_3", 1_980_000_000_000_000, "CNY", "the largest order", expires)
	d.must(err)
}

func TestClose(t *testing.T) {
	d := newDesk(t)
	ctx := t.Context()
	d.bill("pay_1", time.Now().Add(soon))
	d.must(d.client.Close(ctx, "pay_1"))
	d.must(d.client.Close(ctx, "pay_1"))
	if c := d.charge("pay_1"); c.State != cart.ChargeClosed {
		t.Errorf("the charge is %+v", c)
	}
	d.must(d.client.Close(ctx, "pay_later"))
	_, err := d.client.Create(ctx, "pay_later", 1, "CNY", "", time.Now().Add(soon))
	d.word(err, "closed")
	d.pay(d.bill("pay_2", time.Now().Add(soon)))
	if err := d.client.Close(ctx, "pay_2"); !errors.Is(err, cart.ErrChargePaid) {
		t.Errorf("closing what was paid: %v", err)
	}
}

// TestCallsAreProven sends calls that no shop would send.
func TestCallsAreProven(t *testing.T) {
	d := newDesk(t)
	const body = `{"type":"payment.close","payment_id":"pay_1"}`
	d.bill("pay_1", time.Now().Add(soon))
	for _, row := range []struct {
		name, path, secret, body string
		at                       time.Time
		status                   int
	}{
		{"forged", "/sandbox/payments/close", otherSecret(), body, time.Now(), 401},
		{"unsigned", "/sandbox/payments/close", "", body, time.Now(), 401},
		{"stale", "/sandbox/payments/close", testSecret, body, time.Now().Add(-cart.NoticeTolerance - time.Minute), 401},
		{"replayed at another address", "/sandbox/payments/query", testSecret, body, time.Now(), 400},
		{"no JSON", "/sandbox/payments/close", testSecret, "close it", time.Now(), 400},
		{"a number for an id", "/sandbox/payments/close", testSecret, `{"type":"payment.close","payment_id":7}`, time.Now(), 400},
		{"too large", "/sandbox/payments/close", testSecret, body + strings.Repeat(" ", maxCall), time.Now(), 400},
		{"no id", "/sandbox/payments/close", testSecret, `{"type":"payment.close"}`, time.Now(), 404},
	} {
		req, err := http.NewRequest(http.MethodPost, d.server.cfg.BaseURL+row.path, strings.NewReader(row.body))
		d.must(err)
		if row.secret != "" {
			d.must(cart.Sign(row.secret, req.Header, "id", row.at, []byte(row.body)))
		}
		resp, err := http.DefaultClient.Do(req)
		d.must(err)
		resp.Body.Close()
		if resp.StatusCode != row.status {
			t.Errorf("%s: %s", row.name, resp.Status)
		}
	}
	if c := d.charge("pay_1"); c.State != cart.ChargeUnpaid {
		t.Errorf("the charge is %+v", c)
	}
}

// TestRestartForgetsNothing compares the books before and after, and sends what was not taken.
func TestRestartForgetsNothing(t *testing.T) {
	d := newDesk(t)
	ctx := t.Context()
	d.answer = func(nth int) int {
		if nth == 2 {
			return http.StatusServiceUnavailable // pay_2 is not taken
		}
		return http.StatusOK
	}
	d.must(d.client.Behave(ctx, "", Behaviour{PayAgain: true}))
	d.must(d.client.Behave(ctx, "pay_2", Behaviour{Amount: 7}))
	d.pay(d.bill("pay_1", time.Now().Add(soon)))
	first := d.next()
	_, err := d.client.Refund(ctx, "ref_1", "pay_1", 5, "CNY")
	d.must(err)
	d.server.cfg.Speedup = 1 // what is not taken now waits
	address := d.bill("pay_2", time.Now().Add(soon))
	d.pay(address)
	untaken := d.next()
	d.bill("pay_3", time.Now().Add(soon))
	d.must(d.client.Close(ctx, "pay_3"))
	d.do(http.MethodPost, d.bill("pay_4", time.Now().Add(soon)), html, "", map[string][]string{"action": {"decline"}})
	d.next()
	before := d.server.books.dump()
	d.restart()
	if after := d.server.books.dump(); after != before {
		t.Errorf("before\n%s\nafter\n%s", before, after)
	}
	if again := d.next(); again != untaken || again == first {
		t.Errorf("after the restart came %+v, want %+v", again, untaken)
	}
	if _, err := New(d.server.cfg); err == nil {
		t.Error("two have one journal")
	}
}

func TestJournalCutShort(t *testing.T) {
	d := newDesk(t)
	d.bill("pay_1", time.Now().Add(soon))
	d.bill("pay_2", time.Now().Add(soon))
	d.stop()
	data, err := os.ReadFile(d.journal)
	d.must(err)
	d.must(os.WriteFile(d.journal, data[:len(data)-2], 0o600)) // a torn write
	d.start(d.server.cfg.BaseURL)
	if c := d.charge("pay_2"); c.State != cart.ChargeUnknown {
		t.Errorf("the torn payment is %s", c.State)
	}
	d.bill("pay_3", time.Now().Add(soon))
	d.restart()
	if a, b := d.charge("pay_1"), d.charge("pay_3"); a.State != cart.ChargeUnpaid || b.State != cart.ChargeUnpaid {
		t.Errorf("the whole payments are %s and %s", a.State, b.State)
	}
	d.stop()
	data, err = os.ReadFile(d.journal)
	d.must(err)
	d.must(os.WriteFile(d.journal, append([]byte("{\"create\":\n"), data...), 0o600))
	if _, err := New(d.server.cfg); err == nil {
		t.Error("a broken journal was read")
	}
	d.must(os.WriteFile(d.journal, bytes.Replace(data, []byte("create"), []byte("invent"), 1), 0o600))
	if _, err := New(d.server.cfg); err == nil {
		t.Error("a journal of another kind was read")
	}
}

// refuseAll is a transport that takes the time of each request and refuses it.
type refuseAll struct {
	mu sync.Mutex
	at []time.Time
}

func (r *refuseAll) RoundTrip(*http.Request) (*http.Response, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.at = append(r.at, time.Now())
	return nil, errors.New("away")
}

// TestSchedule has a notice refused for a day.
func TestSchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		away := new(refuseAll)
		s, err := New(Config{BaseURL: "http://bank.test", NotifyURL: "http://shop.test/", Secret: testSecret, Client: &http.Client{Transport: away}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- s.Run(ctx) }()
		defer func() {
			stop()
			if err := <-done; err != nil {
				t.Error(err)
			}
		}()
		began := time.Now()
		s.mu.Lock()
		p := s.books.payment("pay_1")
		p.bill, p.known = bill{ID: "pay_1", Amount: 1, Currency: "CNY", ExpiresMs: began.Add(soon).UnixMilli()}, true
		_, _, err = s.take(p, Behaviour{}, began)
		s.mu.Unlock()
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(48 * time.Hour)
		synctest.Wait()
		var got []string
		for _, at := range away.at {
			got = append(got, at.Sub(began).Round(time.Second).String())
		}
		want := strings.Fields("0s 15s 30s 1m0s 4m0s 14m0s 34m0s 1h4m0s 1h34m0s 2h4m0s 3h4m0s 6h4m0s 9h4m0s 12h4m0s 18h4m0s 24h4m0s")
		if !slices.Equal(got, want) {
			t.Errorf("sent at\n%v, want\n%v", got, want)
		}
		s.mu.Lock()
		left := len(s.queue)
		s.mu.Unlock()
		if left != 0 {
			t.Error("the notice is still to be sent")
		}
	})
}

func TestSettings(t *testing.T) {
	for name, cfg := range map[string]Config{
		"no secret":      {BaseURL: "http://127.0.0.1:1", NotifyURL: "http://127.0.0.1:1"},
		"no base":        {NotifyURL: "http://127.0.0.1:1", Secret: testSecret},
		"base of file":   {BaseURL: "file:///x", NotifyURL: "http://127.0.0.1:1", Secret: testSecret},
		"nobody to tell": {BaseURL: "http://127.0.0.1:1", Secret: testSecret},
		"backwards":      {BaseURL: "http://127.0.0.1:1", NotifyURL: "http://127.0.0.1:1", Secret: testSecret, Speedup: -1},
	} {
		if _, err := New(cfg); err == nil {
			t.Errorf("%s passed", name)
		}
	}
	if _, err := NewClient("http://127.0.0.1:1", "x"); err == nil {
		t.Error("a client without a secret")
	}
	if _, err := NewClient("bank", testSecret); err == nil {
		t.Error("a client of nobody")
	}
}
