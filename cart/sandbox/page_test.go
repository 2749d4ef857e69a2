package sandbox

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"livecart/cart"
)

func TestPage(t *testing.T) {
	d := newDesk(t)
	address := d.bill("pay_1", time.Now().Add(soon))
	resp, err := http.Get(address)
	d.must(err)
	resp.Body.Close()
	policy := resp.Header.Get("Content-Security-Policy")
	if resp.StatusCode != http.StatusOK || strings.Contains(policy, "unsafe") || !strings.Contains(policy, "default-src 'none'") {
		t.Errorf("status %d, policy %q", resp.StatusCode, policy)
	}
	_, body := d.do(http.MethodGet, address, html, "en-GB,de;q=0.5", nil)
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
	base := d.server.cfg.BaseURL
	if status, body := d.do(http.MethodGet, base+"/sandbox/pay.css", "*/*", "", nil); status != http.StatusOK || !strings.Contains(body, "button") {
		t.Errorf("style: %d", status)
	}
	if status, _ := d.do(http.MethodGet, base+"/sandbox/other", html, "", nil); status != http.StatusNotFound {
		t.Errorf("another address: %d", status)
	}
	if status, _ := d.do(http.MethodDelete, address, html, "", nil); status != http.StatusMethodNotAllowed {
		t.Errorf("delete: %d", status)
	}
	if d.count() != 0 {
		t.Errorf("looking sent %d notices", d.count())
	}
}

// TestPayTwiceTakesOnce clicks twice; the answers are those that programs read.
func TestPayTwiceTakesOnce(t *testing.T) {
	d := newDesk(t)
	address := d.bill("pay_1", time.Now().Add(soon))
	status, first := d.pay(address)
	n := d.next()
	want := `{"event_id":"` + n.EventID + `","outcome":"paid","payment_id":"pay_1"}` + "\n"
	if status != http.StatusOK || first != want {
		t.Errorf("%d %s, want %s", status, first, want)
	}
	if n.Amount != 1990 || n.Currency != "CNY" || n.Kind != cart.PaymentSucceeded || n.TransactionID == "" {
		t.Errorf("the notice is %+v", n)
	}
	if status, again := d.pay(address); status != http.StatusOK || again != first {
		t.Errorf("the second click: %d %s", status, again)
	}
	if _, body := d.do(http.MethodGet, address, html, "", nil); !strings.Contains(body, `class="outcome paid"`) || strings.Contains(body, "<form") {
		t.Error("the page still asks")
	}
	if c := d.charge("pay_1"); c.State != cart.ChargePaid || len(c.Receipts) != 1 || c.Receipts[0].EventID != n.EventID || d.count() != 1 {
		t.Errorf("the charge is %+v after %d notices", c, d.count())
	}
}

func TestDeclineAndPayAfterAll(t *testing.T) {
	d := newDesk(t)
	address := d.bill("pay_1", time.Now().Add(soon))
	if _, body := d.do(http.MethodPost, address, html, "", url.Values{"action": {"decline"}}); !strings.Contains(body, "Declined") {
		t.Error("the page does not say so")
	}
	if n := d.next(); n.Kind != cart.PaymentDeclined {
		t.Errorf("the notice is %+v", n)
	}
	if c := d.charge("pay_1"); c.State != cart.ChargeUnpaid {
		t.Errorf("the charge is %+v", c)
	}
	if _, body := d.do(http.MethodPost, address, html, "", url.Values{"action": {"pay"}}); !strings.Contains(body, "Paid.") {
		t.Error("the page does not say so")
	}
	if n := d.next(); n.Kind != cart.PaymentSucceeded {
		t.Errorf("the notice is %+v", n)
	}
}

func TestForgedAddress(t *testing.T) {
	d := newDesk(t)
	d.bill("pay_10", time.Now().Add(soon))
	for _, field := range []string{"id", "sig"} {
		u, err := url.Parse(d.bill("pay_1", time.Now().Add(soon).Truncate(time.Hour)))
		d.must(err)
		q := u.Query()
		q.Set(field, q.Get(field)+"0")
		u.RawQuery = q.Encode()
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			if status, body := d.do(method, u.String(), html, "", nil); status != http.StatusForbidden || !strings.Contains(body, "no valid payment address") {
				t.Errorf("%s with another %s: %d", method, field, status)
			}
		}
	}
	if d.count() != 0 {
		t.Errorf("forged addresses sent %d notices", d.count())
	}
}

func TestNothingIsTakenAfterTheEnd(t *testing.T) {
	d := newDesk(t)
	over := d.bill("pay_over", time.Now().Add(-time.Second))
	shut := d.bill("pay_shut", time.Now().Add(soon))
	d.must(d.client.Close(t.Context(), "pay_shut"))
	for address, want := range map[string]string{over: "expired", shut: "closed"} {
		if _, body := d.do(http.MethodGet, address, html, "", nil); strings.Contains(body, "<form") {
			t.Errorf("%s: the page still asks", want)
		}
		if status, body := d.pay(address); status != http.StatusConflict || !strings.Contains(body, want) {
			t.Errorf("%s: %d %s", want, status, body)
		}
	}
	if d.count() != 0 {
		t.Error("money was taken")
	}
}

func TestWayBack(t *testing.T) {
	d := newDesk(t)
	for address, want := range map[string]string{
		"/rooms/demo?x=1#cart":                      d.shopURL + "/rooms/demo?x=1#cart",
		d.shopURL + "/rooms/demo":                   d.shopURL + "/rooms/demo",
		"https://evil.test/":                        "",
		"//evil.test/":                              "",
		"/\\evil.test":                              "",
		d.shopURL + "//evil.test":                   "",
		"javascript:alert(1)":                       "",
		"/a/..//evil.test":                          d.shopURL + "/evil.test",
		"/%2f/evil.test":                            d.shopURL + "/%2f/evil.test",
		strings.Replace(d.shopURL, "//", "//u@", 1): "",
		"": "",
	} {
		if got := d.server.wayBack(address); got != want {
			t.Errorf("%q leads back to %q, want %q", address, got, want)
		}
	}
	address := d.bill("pay_1", time.Now().Add(soon))
	if _, body := d.do(http.MethodGet, address+"&return=%2Frooms%2Fdemo", html, "", nil); !strings.Contains(body, `href="`+d.shopURL+`/rooms/demo"`) {
		t.Error("there is no way back")
	}
	if _, body := d.do(http.MethodGet, address+"&return=https%3A%2F%2Fevil.test", html, "", nil); strings.Contains(body, `href="https://evil`) {
		t.Error("the way leads elsewhere")
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
