package cart

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"livecart/proto"
)

// payDesk is a server with the sandbox and a webhook that files notices with file.
type payDesk struct {
	t       *testing.T
	url     string
	sandbox *Sandbox
	// file takes verified notices and returns the status to answer with.
	file func(Notice) int

	mu      sync.Mutex
	notices []Notice
}

func newPayDesk(t *testing.T) *payDesk {
	t.Helper()
	d := &payDesk{t: t, file: func(Notice) int { return http.StatusOK }}
	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	d.url = server.URL
	var err error
	d.sandbox, err = NewSandbox(SandboxConfig{BaseURL: server.URL, Secret: testSecret})
	if err != nil {
		t.Fatal(err)
	}
	mux.Handle("/sandbox/", d.sandbox)
	mux.HandleFunc("POST /v1/webhooks/payments/sandbox", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		n, err := VerifyNotice(testSecret, r.Header, body, time.Now())
		if err != nil {
			t.Error(err)
		}
		d.mu.Lock()
		d.notices = append(d.notices, n)
		d.mu.Unlock()
		w.WriteHeader(d.file(n))
	})
	return d
}

func (d *payDesk) bill(expires time.Time) string {
	d.t.Helper()
	address, err := d.sandbox.Create(d.t.Context(), "pay_1", 1990, "CNY", "Tea <b> & 茶", expires)
	if err != nil {
		d.t.Fatal(err)
	}
	return address
}

func (d *payDesk) do(method, address, accept, language string, form url.Values) (*http.Response, string) {
	d.t.Helper()
	req, err := http.NewRequestWithContext(d.t.Context(), method, address, strings.NewReader(form.Encode()))
	if err != nil {
		d.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", accept)
	req.Header.Set("Accept-Language", language)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		d.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		d.t.Fatal(err)
	}
	return resp, string(body)
}

const (
	html = "text/html,application/xhtml+xml,*/*;q=0.8"
	soon = time.Hour
)

// TestSandboxEndToEnd pays a real order as a bot does: asks to pay, posts to the address.
func TestSandboxEndToEnd(t *testing.T) {
	m := newMarket(t)
	d := newPayDesk(t)
	d.file = func(n Notice) int {
		if err := m.cart.HandleNotice(t.Context(), n); err != nil {
			t.Error(err)
		}
		return http.StatusNoContent
	}
	m.cart.cfg.Provider = d.sandbox
	o := m.order("k", "tea-s", 1)
	p := m.pay(o.Id)
	for range 2 { // a double click
		resp, body := d.do(http.MethodPost, p.Url, "application/json", "", nil)
		var got struct{ Outcome, PaymentID, EventID string }
		if err := json.Unmarshal([]byte(strings.NewReplacer("payment_id", "paymentid", "event_id", "eventid").Replace(body)), &got); err != nil {
			t.Fatal(err)
		}
		m.expect("status", resp.StatusCode, http.StatusOK)
		m.expect("outcome", got.Outcome, "paid")
		m.expect("payment", got.PaymentID, p.PaymentId)
		m.expect("result", m.result(got.EventID), "accepted")
	}
	m.expect("order", m.state(o.Id), paid)
	m.expect("notices sent", len(d.notices), 2)
	m.expect("notices kept", scan[int](m, `SELECT count(*) FROM payment_notice`), 1)

	declined := m.order("k2", "tea-s", 1)
	_, body := d.do(http.MethodPost, m.pay(declined.Id).Url, html, "", url.Values{"action": {"decline"}})
	m.expect("page says so", strings.Contains(body, "Declined"), true)
	m.expect("order", m.state(declined.Id), awaitingPayment)
	_, body = d.do(http.MethodPost, m.pay(declined.Id).Url, html, "", url.Values{"action": {"pay"}}) // after all
	m.expect("page says so", strings.Contains(body, "Paid."), true)
	m.expect("order", m.state(declined.Id), paid)
	again, err := m.cart.Order(t.Context(), "ann", &proto.OrderGet{OrderId: declined.Id})
	m.must(err)
	m.expect("buyer sees it", again.State, proto.OrderState_ORDER_STATE_PAID)
}

func TestSandboxPage(t *testing.T) {
	d := newPayDesk(t)
	address := d.bill(time.Now().Add(soon))
	resp, body := d.do(http.MethodGet, address, html, "en-GB,de;q=0.5", nil)
	policy := resp.Header.Get("Content-Security-Policy")
	if resp.StatusCode != http.StatusOK || strings.Contains(policy, "unsafe") || !strings.Contains(policy, "default-src 'none'") {
		t.Errorf("status %d, policy %q", resp.StatusCode, policy)
	}
	for _, want := range []string{"CNY 19.90", "Tea &lt;b&gt; &amp; 茶", `value="pay"`, `value="decline"`, `lang="en"`, "pay_1", `href="/sandbox/pay.css"`} {
		if !strings.Contains(body, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	for _, never := range []string{"<script", "style=", "<style"} {
		if strings.Contains(body, never) {
			t.Errorf("the page has %s", never)
		}
	}
	if _, body := d.do(http.MethodGet, address, html, "zh-CN,zh;q=0.9,en;q=0.8", nil); !strings.Contains(body, "付款") || !strings.Contains(body, `lang="zh-CN"`) {
		t.Error("the page is not in Chinese")
	}
	if resp, body := d.do(http.MethodGet, d.url+"/sandbox/pay.css", "*/*", "", nil); resp.StatusCode != http.StatusOK || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/css") || !strings.Contains(body, "button") {
		t.Errorf("style: %s %s", resp.Status, resp.Header.Get("Content-Type"))
	}
	for address, want := range map[string]int{"/sandbox/": 404, "/sandbox/other": 404} {
		if resp, _ := d.do(http.MethodGet, d.url+address, html, "", nil); resp.StatusCode != want {
			t.Errorf("%s: %s", address, resp.Status)
		}
	}
	if resp, _ := d.do(http.MethodDelete, address, html, "", nil); resp.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("delete: %s", resp.Status)
	}
	if len(d.notices) != 0 {
		t.Errorf("looking sent %d notices", len(d.notices))
	}
}

func TestSandboxForgedAddress(t *testing.T) {
	d := newPayDesk(t)
	for _, field := range []string{"id", "amount", "currency", "for", "expires", "sig"} {
		u, err := url.Parse(d.bill(time.Now().Add(soon)))
		if err != nil {
			t.Fatal(err)
		}
		q := u.Query()
		q.Set(field, q.Get(field)+"0")
		u.RawQuery = q.Encode()
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			if resp, body := d.do(method, u.String(), html, "", nil); resp.StatusCode != http.StatusForbidden || !strings.Contains(body, "no valid payment address") {
				t.Errorf("%s with another %s: %s", method, field, resp.Status)
			}
		}
	}
	if len(d.notices) != 0 {
		t.Errorf("forged addresses sent %d notices", len(d.notices))
	}
}

func TestSandboxExpiredBill(t *testing.T) {
	d := newPayDesk(t)
	address := d.bill(time.Now().Add(-time.Second))
	if _, body := d.do(http.MethodGet, address, html, "", nil); !strings.Contains(body, "time to pay is over") || strings.Contains(body, "<form") {
		t.Error("the page still asks")
	}
	if resp, body := d.do(http.MethodPost, address, "application/json", "", nil); resp.StatusCode != http.StatusConflict || !strings.Contains(body, `"expired"`) {
		t.Errorf("pay: %s %s", resp.Status, body)
	}
	if len(d.notices) != 0 {
		t.Error("an expired bill was paid")
	}
}

func TestSandboxSendsAgain(t *testing.T) {
	for _, row := range []struct {
		name    string
		answers []int // the last one repeats
		sent    int
		status  int
	}{
		{"taken at the third try", []int{500, 503, 200}, 3, http.StatusOK},
		{"refused for good", []int{403}, 1, http.StatusBadGateway},
		{"asked to slow down", []int{429, 200}, 2, http.StatusOK},
		{"never taken", []int{500}, notifyTries, http.StatusBadGateway},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			d := newPayDesk(t)
			d.file = func(Notice) int {
				d.mu.Lock()
				defer d.mu.Unlock()
				return row.answers[min(len(d.notices), len(row.answers))-1]
			}
			resp, _ := d.do(http.MethodPost, d.bill(time.Now().Add(soon)), html, "", nil)
			if resp.StatusCode != row.status || len(d.notices) != row.sent {
				t.Errorf("%s after %d notices", resp.Status, len(d.notices))
			}
			for _, n := range d.notices {
				if n.EventID != d.notices[0].EventID {
					t.Error("the same payment was told of as two events")
				}
			}
		})
	}
}

func TestSandboxWayBack(t *testing.T) {
	d := newPayDesk(t)
	for address, want := range map[string]string{
		"/rooms/demo?x=1#cart":                  "/rooms/demo?x=1#cart",
		d.url + "/rooms/demo":                   "/rooms/demo",
		"https://evil.test/":                    "",
		"//evil.test/":                          "",
		"/\\evil.test":                          "",
		d.url + "//evil.test":                   "",
		"javascript:alert(1)":                   "",
		"/a/..//evil.test":                      "/evil.test",
		"/%2f/evil.test":                        "/%2f/evil.test",
		strings.Replace(d.url, "//", "//u@", 1): "",
		"":                                      "",
	} {
		if got := d.sandbox.sameOrigin(address); got != want {
			t.Errorf("%q leads back to %q, want %q", address, got, want)
		}
	}
	_, body := d.do(http.MethodGet, d.bill(time.Now().Add(soon))+"&return=%2Frooms%2Fdemo", html, "", nil)
	if !strings.Contains(body, `href="/rooms/demo"`) {
		t.Error("there is no way back")
	}
	_, body = d.do(http.MethodGet, d.bill(time.Now().Add(soon))+"&return=https%3A%2F%2Fevil.test", html, "", nil)
	if strings.Contains(body, `href="https`) {
		t.Error("the way leads elsewhere")
	}
}

func TestSandboxSettings(t *testing.T) {
	for name, cfg := range map[string]SandboxConfig{
		"no secret":    {BaseURL: "http://127.0.0.1:1"},
		"no base":      {Secret: testSecret},
		"base of file": {BaseURL: "file:///x", Secret: testSecret},
	} {
		if _, err := NewSandbox(cfg); err == nil {
			t.Errorf("%s passed", name)
		}
	}
}

func TestFormatMoney(t *testing.T) {
	for _, row := range []struct {
		amount   int64
		currency string
		want     string
	}{
		{1990, "CNY", "CNY 19.90"}, {5, "CNY", "CNY 0.05"}, {0, "USD", "USD 0.00"}, {1990, "JPY", "JPY 1990"},
		{1234, "KWD", "KWD 1.234"}, {100, "ZZZZ", "ZZZZ 1.00"}, {9_007_199_254_740_993, "CNY", "CNY 90071992547409.93"},
	} {
		if got := formatMoney(row.amount, row.currency); got != row.want {
			t.Errorf("%d %s is %s, want %s", row.amount, row.currency, got, row.want)
		}
	}
}
