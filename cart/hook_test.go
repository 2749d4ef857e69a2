package cart

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"livecart/proto"
)

// shopEnd takes what a webhook gets.
type shopEnd struct {
	t      *testing.T
	url    string
	mu     sync.Mutex
	answer func(nth int) int // from 1; nil for 204
	got    []hookBody
	ids    []string
}

func newShopEnd(t *testing.T) *shopEnd {
	e := &shopEnd{t: t}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		if err := Verify(testSecret, r.Header, body, time.Now()); err != nil {
			t.Error(err)
		}
		var b hookBody
		if err := json.Unmarshal(body, &b); err != nil {
			t.Error(err)
		}
		e.mu.Lock()
		defer e.mu.Unlock()
		e.got = append(e.got, b)
		e.ids = append(e.ids, r.Header.Get("webhook-id"))
		status := http.StatusNoContent
		if e.answer != nil {
			status = e.answer(len(e.got))
		}
		if status/100 == 3 {
			w.Header().Set("Location", "/elsewhere")
		}
		w.WriteHeader(status)
	}))
	t.Cleanup(server.Close)
	e.url = server.URL
	return e
}

// types returns what came, in order.
func (e *shopEnd) types() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var types []string
	for _, b := range e.got {
		types = append(types, b.Type)
	}
	return strings.Join(types, " ")
}

// hook registers a webhook and returns its worker, with private addresses allowed.
func (m *market) hook(e *shopEnd) *hookWorker {
	m.t.Helper()
	m.cart.cfg.WebhookAllowPrivate, m.cfg.WebhookAllowPrivate = true, true
	_, err := m.cart.PutWebhook(m.t.Context(), "shop", Webhook{ID: "erp", URL: e.url, Secret: testSecret})
	m.must(err)
	return newHookWorker(m.cfg)
}

var erp = hookAddress{"shop", "erp"}

// sendAll sends until nothing is due, and makes what waits due first.
func (m *market) sendAll(w *hookWorker) {
	m.t.Helper()
	for {
		_, err := m.pool().Exec(m.t.Context(), `UPDATE webhook_delivery SET next_at = clock_timestamp() WHERE state = 'due'`)
		m.must(err)
		n, err := w.send(m.t.Context(), erp)
		if err != nil {
			m.t.Log(err)
		}
		if n == 0 {
			return
		}
	}
}

func (m *market) deliveries() string {
	m.t.Helper()
	return scan[string](m, `SELECT coalesce(string_agg(state || ' ' || tries, ', ' ORDER BY order_id, n), '') FROM webhook_delivery`)
}

func TestWebhookGetsEachMove(t *testing.T) {
	m := newMarket(t)
	e := newShopEnd(t)
	m.order("before", "tea-s", 1) // nobody wants to be told of this one
	w := m.hook(e)
	o := m.order("k", "tea-s", 1)
	m.notice(success(m.pay(o.Id), "e1"))
	gone := m.order("gone", "tea-s", 1)
	m.expire(gone.Id)
	m.sendAll(w)
	m.expect("events", len(e.got), 4)
	for _, id := range []string{o.Id, gone.Id} {
		var types []string
		for i, b := range e.got {
			if b.Data.OrderID == id {
				types = append(types, b.Type)
				m.expect("id", e.ids[i], fmt.Sprintf("%s-%d", id, b.Data.N))
				var order proto.Order
				m.must(proto.Decode(proto.JSON, b.Data.Order, &order))
				m.expect("order", order.Id, id)
			}
		}
		want := "order.awaiting_payment order.paid"
		if id == gone.Id {
			want = "order.awaiting_payment order.expired"
		}
		m.expect("in order", strings.Join(types, " "), want)
	}
	m.sendAll(w)
	m.expect("not again", len(e.got), 4)
}

// TestWebhookAnswers has one event answered in every way.
func TestWebhookAnswers(t *testing.T) {
	for _, row := range []struct {
		name  string
		code  int
		after string
		off   bool
	}{
		{"taken", 200, "taken 1", false},
		{"nothing to say", 204, "taken 1", false},
		{"a redirect is no answer", 302, "due 1", false},
		{"refused", 401, "due 1", false},
		{"broken", 500, "due 1", false},
		{"gone", 410, "given_up 1", true},
	} {
		t.Run(row.name, func(t *testing.T) {
			m := newMarket(t)
			e := newShopEnd(t)
			e.answer = func(int) int { return row.code }
			w := m.hook(e)
			m.order("k", "tea-s", 1)
			_, _ = w.send(t.Context(), erp)
			m.expect("delivery", m.deliveries(), row.after)
			m.expect("sent once", len(e.got), 1)
			h, err := m.cart.Webhook(t.Context(), "shop", "erp")
			m.must(err)
			m.expect("disabled", h.Disabled, row.off)
			if row.after == "due 1" {
				m.expect("in 15 s", scan[bool](m, `SELECT next_at BETWEEN clock_timestamp() + interval '10 s' AND clock_timestamp() + interval '15 s' FROM webhook_delivery`), true)
			}
			m.order("k2", "tea-s", 1)
			m.expect("written for", scan[int](m, `SELECT count(*) FROM webhook_delivery`), map[bool]int{false: 2, true: 1}[row.off])
		})
	}
}

// TestWebhookIsTriedForADay refuses everything: the same id comes 16 times, and the next event of the
// order not before.
func TestWebhookIsTriedForADay(t *testing.T) {
	m := newMarket(t)
	e := newShopEnd(t)
	sendings := len(RetrySchedule) + 1
	e.answer = func(nth int) int {
		if nth <= sendings {
			return 503
		}
		return 204
	}
	w := m.hook(e)
	o := m.order("k", "tea-s", 1)
	m.notice(success(m.pay(o.Id), "e1"))
	for i := range sendings {
		m.expect("delivery", m.deliveries(), fmt.Sprintf("due %d, due 0", i))
		m.sendAll(w)
		if i < sendings-1 {
			m.expect("pause", scan[bool](m, `
				SELECT next_at - clock_timestamp() BETWEEN make_interval(secs => $1) - interval '5 s' AND make_interval(secs => $1)
				FROM webhook_delivery WHERE n = 1`, RetrySchedule[i].Seconds()), true)
		}
	}
	m.expect("given up", scan[string](m, `SELECT state FROM webhook_delivery WHERE n = 1`), "given_up")
	m.sendAll(w)
	m.expect("then the next one", m.deliveries(), fmt.Sprintf("given_up %d, taken 1", sendings))
	if ids := slices.Compact(slices.Clone(e.ids)); len(ids) != 2 {
		t.Errorf("the ids are %v", e.ids)
	}
}

// TestTwoWebhookWorkers share what is due, and one event is sent by one of them.
func TestTwoWebhookWorkers(t *testing.T) {
	m := newMarket(t)
	e := newShopEnd(t)
	w := m.hook(e)
	for i := range 9 {
		m.order(fmt.Sprint("k", i), "tea-s", 1)
	}
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			_, err := w.send(context.WithoutCancel(t.Context()), erp)
			m.ok(err)
		})
	}
	wg.Wait()
	slices.Sort(e.ids)
	m.expect("each once", len(slices.Compact(e.ids)), 9)
	m.expect("sendings", len(e.got), 9)
}

// TestWebhookWorkerRuns lets the loop find, send and end.
func TestWebhookWorkerRuns(t *testing.T) {
	m := newMarket(t)
	e := newShopEnd(t)
	m.cfg.SweepEvery = 5 * time.Millisecond
	w := m.hook(e)
	m.order("k", "tea-s", 1)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- w.run(ctx) }()
	for deadline := time.Now().Add(10 * time.Second); m.deliveries() != "taken 1"; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal(m.deliveries())
		}
	}
	stop()
	m.must(<-done)
	m.expect("came", e.types(), "order.awaiting_payment")
}

func TestDeletedWebhookGetsNothing(t *testing.T) {
	m := newMarket(t)
	e := newShopEnd(t)
	w := m.hook(e)
	m.order("k", "tea-s", 1)
	m.must(m.cart.DeleteWebhook(t.Context(), "shop", "erp"))
	m.must(m.cart.DeleteWebhook(t.Context(), "shop", "erp"))
	due, err := w.due(t.Context())
	m.must(err)
	m.expect("due", len(due), 0)
	m.sendAll(w)
	m.must(w.sweep(t.Context()))
	m.expect("given up", m.deliveries(), "given_up 0")
	m.exec(`UPDATE webhook_delivery SET done_at = clock_timestamp() - interval '8 days'`)
	m.must(w.prune(t.Context()))
	m.expect("pruned", m.deliveries(), "")
	_, err = m.cart.Webhook(t.Context(), "shop", "erp")
	m.refused(err, ErrWebhookNotFound)
	m.order("k2", "tea-s", 1)
	m.expect("nothing is written", m.deliveries(), "")
}

func TestWebhookLimits(t *testing.T) {
	m := newMarket(t)
	put := func(id, url, secret string) error {
		_, err := m.cart.PutWebhook(t.Context(), "shop", Webhook{ID: id, URL: url, Secret: secret})
		return err
	}
	const good = "https://shop.example/hooks?x=1"
	for i := range MaxWebhooks {
		m.must(put(fmt.Sprint("h", i), good, testSecret))
	}
	m.refused(put("h10", good, testSecret), ErrInvalid)
	m.must(put("h9", "https://shop.example/"+strings.Repeat("x", maxWebhookURL-len("https://shop.example/")), testSecret))
	for name, url := range map[string]string{
		"none": "", "too long": "https://shop.example/" + strings.Repeat("x", maxWebhookURL), "plain": "http://shop.example/",
		"no host": "https:///x", "a user": "https://me:pw@shop.example/", "a fragment": good + "#x", "a file": "file:///etc/passwd",
		"loopback": "https://127.0.0.1/", "private": "https://10.1.2.3/", "link-local": "https://169.254.169.254/", "IPv6 loopback": "https://[::1]/",
		"not UTF-8": "https://shop.example/\xff",
	} {
		if err := put("h9", url, testSecret); err == nil {
			t.Errorf("%s passed", name)
		}
	}
	m.refused(put("h9", good, "secret"), ErrInvalid)
	m.refused(put("a b", good, testSecret), ErrInvalid)
	_, err := m.cart.PutWebhook(t.Context(), "none", Webhook{ID: "h", URL: good, Secret: testSecret})
	m.refused(err, ErrShopNotFound)
	h, err := m.cart.Webhook(t.Context(), "shop", "h0")
	m.must(err)
	m.expect("secret", h.Secret, "")
	m.expect("url", h.URL, good)
	m.exec(`UPDATE webhook SET disabled_at = clock_timestamp(), since = '2000-01-01' WHERE id = 'h0'`)
	m.must(put("h0", good, testSecret))
	m.expect("on again, from now on", scan[bool](m, `SELECT disabled_at IS NULL AND since > '2001-01-01' FROM webhook WHERE id = 'h0'`), true)
}

// TestPrivateAddressesAreNotDialled has a name that stands for this machine.
func TestPrivateAddressesAreNotDialled(t *testing.T) {
	e := newShopEnd(t)
	e.answer = func(int) int { t.Error("it was called"); return 204 }
	for _, url := range []string{e.url, strings.Replace(e.url, "127.0.0.1", "localhost", 1)} {
		resp, err := newHookClient(false).Post(url, "application/json", nil)
		if err == nil {
			resp.Body.Close()
		}
		if err == nil || !strings.Contains(err.Error(), "private address") {
			t.Errorf("%s: %v", url, err)
		}
	}
	for address, public := range map[string]bool{
		"8.8.8.8": true, "2606:4700::1111": true, "::ffff:8.8.8.8": true,
		"127.0.0.1": false, "10.0.0.1": false, "172.16.0.1": false, "192.168.0.1": false, "169.254.169.254": false, "100.64.0.1": false,
		"0.0.0.0": false, "255.255.255.255": false, "224.0.0.1": false, "::": false, "::1": false, "fe80::1": false, "fe80::1%eth0": false,
		"fd00::1": false, "::ffff:127.0.0.1": false, "64:ff9b::7f00:1": false, "2002:7f00:1::": false, "198.18.0.1": false,
		"::127.0.0.1": false, "::a00:1": false, "192.88.99.1": false, "3fff::1": false, "5f00::1": false,
	} {
		if got := publicAddress(netip.MustParseAddr(address)); got != public {
			t.Errorf("%s is public: %t", address, got)
		}
	}
}

// TestWebhookThatIsBackBeginsAnew puts a webhook again at once that was deleted, or that answered 410: of
// what was to be sent to the one before it gets nothing, and of what happens from then on everything.
func TestWebhookThatIsBackBeginsAnew(t *testing.T) {
	for name, end := range map[string]func(m *market){
		"deleted": func(m *market) { m.must(m.cart.DeleteWebhook(t.Context(), "shop", "erp")) },
		"gone":    func(m *market) { m.exec(`UPDATE webhook SET disabled_at = clock_timestamp()`) },
	} {
		t.Run(name, func(t *testing.T) {
			m := newMarket(t)
			m.hook(newShopEnd(t))
			m.order("before", "tea-s", 1)
			end(m)
			e := newShopEnd(t)
			w := m.hook(e)
			due, err := w.due(t.Context())
			m.must(err)
			m.expect("due", len(due), 0)
			m.sendAll(w)
			m.expect("of before", e.types(), "")
			m.must(w.sweep(t.Context()))
			m.expect("given up", m.deliveries(), "given_up 0")
			m.order("after", "tea-s", 1)
			m.sendAll(w)
			m.expect("of after", e.types(), "order.awaiting_payment")
		})
	}
}

// TestWebhookAddressIsNotTold looks at what is kept and logged where nobody answers.
func TestWebhookAddressIsNotTold(t *testing.T) {
	m := newMarket(t)
	w := m.hook(newShopEnd(t))
	m.exec(`UPDATE webhook SET url = 'http://127.0.0.1:1/hooks?token=hush'`) // port 1 refuses
	m.order("k", "tea-s", 1)
	_, err := w.send(t.Context(), erp)
	if err == nil {
		t.Fatal("somebody answered")
	}
	kept := scan[string](m, `SELECT last_error FROM webhook_delivery`)
	for _, said := range []string{err.Error(), kept} {
		if !strings.Contains(said, "refused") || strings.Contains(said, "hush") {
			t.Errorf("it says %q", said)
		}
	}
}
