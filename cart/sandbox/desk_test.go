package sandbox

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"livecart/cart"
)

const testSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// desk is a running sandbox and the shop that it notifies.
type desk struct {
	t       *testing.T
	server  *Server
	client  *Client
	journal string
	stop    func() // ends the sandbox as a signal would
	came    chan cart.Notice
	shopURL string
	handler *swap

	mu sync.Mutex
	// answer returns the status for the nth notice that came, from 1.
	answer  func(nth int) int
	notices []cart.Notice
	forged  int
}

// swap is a handler that can be exchanged: the sandbox of a restart has the address of the one before.
type swap struct {
	mu sync.Mutex
	h  http.Handler
}

func (s *swap) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	h := s.h
	s.mu.Unlock()
	h.ServeHTTP(w, r)
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	t.Parallel()
	d := &desk{t: t, journal: filepath.Join(t.TempDir(), "journal"), came: make(chan cart.Notice, 1000), handler: new(swap)}
	shop := httptest.NewServer(http.HandlerFunc(d.take))
	t.Cleanup(shop.Close)
	d.shopURL = shop.URL
	bank := httptest.NewServer(d.handler)
	t.Cleanup(bank.Close)
	d.start(bank.URL)
	t.Cleanup(func() { d.stop() })
	var err error
	d.client, err = NewClient(bank.URL, testSecret)
	d.must(err)
	return d
}

// start opens the journal and runs a sandbox on it.
func (d *desk) start(base string) {
	d.t.Helper()
	server, err := New(Config{BaseURL: base, NotifyURL: d.shopURL + "/notices", Secret: testSecret, Journal: d.journal, Speedup: 10_000})
	d.must(err)
	d.server = server
	d.handler.mu.Lock()
	d.handler.h = server
	d.handler.mu.Unlock()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }() // ends with stop
	d.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			d.t.Error(err)
		}
	})
}

func (d *desk) restart() {
	d.t.Helper()
	base := d.server.cfg.BaseURL
	d.stop()
	d.start(base)
}

// take is the shop's end of the notices.
func (d *desk) take(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		d.t.Error(err)
	}
	n, err := cart.VerifyNotice(testSecret, r.Header, body, time.Now())
	d.mu.Lock()
	defer d.mu.Unlock()
	if errors.Is(err, cart.ErrNoticeForged) {
		d.forged++
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	if err != nil {
		d.t.Error(err)
	}
	d.notices = append(d.notices, n)
	d.came <- n
	if d.answer != nil {
		w.WriteHeader(d.answer(len(d.notices)))
	}
}

func (d *desk) must(err error) {
	d.t.Helper()
	if err != nil {
		d.t.Fatal(err)
	}
}

// word checks that a call was refused with a word.
func (d *desk) word(err error, word string) {
	d.t.Helper()
	var refusal *callError
	if !errors.As(err, &refusal) || refusal.Word != word {
		d.t.Errorf("got %v, want %s", err, word)
	}
}

// bill registers a payment of 19.90 and returns its pay page.
func (d *desk) bill(id string, expires time.Time) string {
	d.t.Helper()
	address, err := d.client.Create(d.t.Context(), id, 1990, "CNY", "Tea <b> & 茶", expires)
	d.must(err)
	return address
}

func (d *desk) do(method, address, accept, language string, form url.Values) (int, string) {
	d.t.Helper()
	req, err := http.NewRequestWithContext(d.t.Context(), method, address, strings.NewReader(form.Encode()))
	d.must(err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", accept)
	req.Header.Set("Accept-Language", language)
	resp, err := http.DefaultClient.Do(req)
	d.must(err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	d.must(err)
	return resp.StatusCode, string(body)
}

// pay pays as a program does and returns the outcome.
func (d *desk) pay(address string) (status int, body string) {
	d.t.Helper()
	return d.do(http.MethodPost, address, "application/json", "", nil)
}

// next waits for a notice.
func (d *desk) next() cart.Notice {
	d.t.Helper()
	select {
	case n := <-d.came:
		return n
	case <-time.After(10 * time.Second):
		d.t.Fatal("no notice came")
		panic("unreachable")
	}
}

func (d *desk) charge(id string) cart.Charge {
	d.t.Helper()
	c, err := d.client.Query(d.t.Context(), id)
	d.must(err)
	return c
}

// count returns how many notices came.
func (d *desk) count() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.notices)
}

// quiet waits until the sandbox has nothing of a payment left to send.
func (d *desk) quiet(id string) {
	d.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		d.server.mu.Lock()
		left := 0
		for _, n := range d.server.queue {
			if n.paymentID == id {
				left++
			}
		}
		d.server.mu.Unlock()
		if left == 0 {
			return
		}
		if time.Now().After(deadline) {
			d.t.Fatal("notices are left")
		}
	}
}

func otherSecret() string {
	return "whsec_" + base64.StdEncoding.EncodeToString([]byte("another secret of 16"))
}

const (
	html = "text/html,application/xhtml+xml,*/*;q=0.8"
	soon = time.Hour
)

// dump writes the books as text, the same for the same books, so that a test can compare.
func (b *books) dump() string {
	var out strings.Builder
	for _, id := range slices.Sorted(maps.Keys(b.payments)) {
		p := b.payments[id]
		fmt.Fprintf(&out, "%+v known=%t closed=%t declines=%d receipts=%+v", p.bill, p.known, p.closed, p.declines, p.receipts)
		for _, r := range p.refunds {
			fmt.Fprintf(&out, " refund=%s %d%s %d", r.ID, r.Amount, r.Currency, r.DoneAtMs)
		}
		out.WriteByte('\n')
	}
	for _, id := range slices.Sorted(maps.Keys(b.own)) {
		fmt.Fprintf(&out, "%s %+v\n", id, b.own[id])
	}
	fmt.Fprintf(&out, "standard %+v\n", b.standard)
	return out.String()
}
