package cart

import (
	"encoding/base64"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

const testSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

const testBody = `{"type":"payment.succeeded","payment_id":"pay_1","amount":1990,"currency":"CNY","event_id":"evt_1","paid_at_ms":1614265330000}`

var testTime = time.Unix(1614265330, 0)

func signed(t *testing.T, secret, body string) http.Header {
	t.Helper()
	h := http.Header{}
	if err := Sign(secret, h, "msg_1", testTime, []byte(body)); err != nil {
		t.Fatal(err)
	}
	return h
}

// TestSignatureIsStandard takes the example that Standard Webhooks publishes for its libraries.
func TestSignatureIsStandard(t *testing.T) {
	h := http.Header{}
	if err := Sign(testSecret, h, "msg_p5jXN8AQM9LWM0D4loKWxJek", testTime, []byte(`{"test": 2432232314}`)); err != nil {
		t.Fatal(err)
	}
	if got := h.Get("webhook-signature"); got != "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=" {
		t.Errorf("signature is %s", got)
	}
}

func TestVerifyNotice(t *testing.T) {
	n, err := VerifyNotice(testSecret, signed(t, testSecret, testBody), []byte(testBody), testTime)
	want := Notice{EventID: "evt_1", PaymentID: "pay_1", Kind: PaymentSucceeded, Amount: 1990, Currency: "CNY", PaidAt: testTime}
	if err != nil || n != want {
		t.Errorf("got %+v, %v", n, err)
	}
}

func TestVerifyNoticeRefusals(t *testing.T) {
	otherSecret := "whsec_" + base64.StdEncoding.EncodeToString([]byte("another secret of 16"))
	for _, row := range []struct {
		name   string
		change func(h http.Header, body *string, now *time.Time)
		want   error
	}{
		{"4:59 old", func(_ http.Header, _ *string, now *time.Time) { *now = now.Add(NoticeTolerance - time.Second) }, nil},
		{"as old as may be", func(_ http.Header, _ *string, now *time.Time) { *now = now.Add(NoticeTolerance) }, nil},
		{"replayed later", func(_ http.Header, _ *string, now *time.Time) { *now = now.Add(NoticeTolerance + time.Second) }, ErrNoticeStale},
		{"of the future", func(_ http.Header, _ *string, now *time.Time) { *now = now.Add(-NoticeTolerance - time.Second) }, ErrNoticeStale},
		{"new time under the old signature", func(h http.Header, _ *string, now *time.Time) {
			*now = now.Add(time.Hour)
			h.Set("webhook-timestamp", strconv.FormatInt(now.Unix(), 10))
		}, ErrNoticeForged},
		{"another id", func(h http.Header, _ *string, _ *time.Time) { h.Set("webhook-id", "msg_2") }, ErrNoticeForged},
		{"another amount", func(_ http.Header, body *string, _ *time.Time) { *body = strings.Replace(*body, "1990", "1", 1) }, ErrNoticeForged},
		{"another's secret", func(h http.Header, _ *string, _ *time.Time) {
			h.Set("webhook-signature", signed(t, otherSecret, testBody).Get("webhook-signature"))
		}, ErrNoticeForged},
		{"two signatures, the second fits", func(h http.Header, _ *string, _ *time.Time) {
			h.Set("webhook-signature", signed(t, otherSecret, testBody).Get("webhook-signature")+" "+h.Get("webhook-signature"))
		}, nil},
		{"two signatures, the first fits", func(h http.Header, _ *string, _ *time.Time) {
			h.Set("webhook-signature", h.Get("webhook-signature")+" v1a,xyz")
		}, nil},
		{"another version of signature", func(h http.Header, _ *string, _ *time.Time) {
			h.Set("webhook-signature", strings.Replace(h.Get("webhook-signature"), "v1,", "v2,", 1))
		}, ErrNoticeForged},
		{"no signature", func(h http.Header, _ *string, _ *time.Time) { h.Del("webhook-signature") }, ErrNoticeForged},
		{"empty signature", func(h http.Header, _ *string, _ *time.Time) { h.Set("webhook-signature", "v1,") }, ErrNoticeForged},
		{"no headers", func(h http.Header, _ *string, _ *time.Time) { clear(h) }, ErrNoticeForged},
		{"not JSON", resign(t, "hello"), ErrNoticeInvalid},
		{"no amount", resign(t, `{"type":"payment.succeeded","payment_id":"pay_1","currency":"CNY","event_id":"e"}`), ErrNoticeInvalid},
		{"broken amount", resign(t, strings.Replace(testBody, "1990", "19.9", 1)), ErrNoticeInvalid},
		{"negative amount", resign(t, strings.Replace(testBody, "1990", "-1990", 1)), ErrNoticeInvalid},
		{"huge amount", resign(t, strings.Replace(testBody, "1990", "19900000000000000000", 1)), ErrNoticeInvalid},
		{"unknown type", resign(t, strings.Replace(testBody, "succeeded", "dreamt", 1)), ErrNoticeInvalid},
		{"unknown fields", resign(t, strings.Replace(testBody, "{", `{"note":"x",`, 1)), nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			h, body, now := signed(t, testSecret, testBody), testBody, testTime
			row.change(h, &body, &now)
			n, err := VerifyNotice(testSecret, h, []byte(body), now)
			if row.want == nil {
				if err != nil || n.PaymentID != "pay_1" {
					t.Errorf("got %+v, %v", n, err)
				}
				return
			}
			if !errors.Is(err, row.want) || err.Error() != row.want.Error() || n != (Notice{}) {
				t.Errorf("got %+v, %v; want %v", n, err, row.want)
			}
		})
	}
}

// resign replaces the body under a proper signature.
func resign(t *testing.T, body string) func(h http.Header, b *string, now *time.Time) {
	return func(h http.Header, b *string, _ *time.Time) {
		*b = body
		h.Set("webhook-signature", signed(t, testSecret, body).Get("webhook-signature"))
	}
}

func TestWebhookSecretForm(t *testing.T) {
	for _, bad := range []string{"", "whsec_", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_not base64", "whsec_" + base64.StdEncoding.EncodeToString([]byte("15 bytes, short"))} {
		if _, err := ParseWebhookSecret(bad); err == nil {
			t.Errorf("%q passed", bad)
		}
		if _, err := VerifyNotice(bad, signed(t, testSecret, testBody), []byte(testBody), testTime); err == nil {
			t.Errorf("a notice was verified with %q", bad)
		}
	}
}
