package cart

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"livecart/session/store"
)

// SandboxConfig says where the sandbox stands and whom it notifies.
type SandboxConfig struct {
	// BaseURL is our own public address, "http://127.0.0.1:8080", under which the handler serves
	// /sandbox/.
	BaseURL string
	// NotifyURL takes the notices; BaseURL + "/v1/webhooks/payments/sandbox" when empty.
	NotifyURL string
	// Secret signs the notices and the addresses of pay pages, see ParseWebhookSecret.
	Secret string
	// Client sends the notices; nil for one with a timeout of 5 s.
	Client *http.Client
	// Log is told of notices that nobody took; nil discards.
	Log *slog.Logger
}

// Sandbox plays a payment provider and the payer: a page with the buttons "Pay" and "Decline" that
// sends a signed notice. It keeps nothing: all it knows of a payment is signed into the page's
// address. It is a [Provider] and the http.Handler of GET and POST /sandbox/pay and of
// /sandbox/pay.css. Safe for concurrent use. No money moves, so it is for trying out only.
//
// A POST to the pay address pays unless its form says action=decline. With "Accept:
// application/json" the answer is {"outcome": "paid", "payment_id", "event_id"}, for programs. The
// page's address may carry return=<address of the same origin> to lead back to.
type Sandbox struct {
	cfg  SandboxConfig
	base *url.URL
	key  []byte
}

// NewSandbox returns a sandbox; it starts nothing.
func NewSandbox(cfg SandboxConfig) (*Sandbox, error) {
	key, err := ParseWebhookSecret(cfg.Secret)
	if err != nil {
		return nil, fmt.Errorf("sandbox: %w", err)
	}
	base, err := url.Parse(strings.TrimSuffix(cfg.BaseURL, "/"))
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" {
		return nil, fmt.Errorf("sandbox: %q is no base URL", cfg.BaseURL)
	}
	if cfg.NotifyURL == "" {
		cfg.NotifyURL = base.String() + "/v1/webhooks/payments/sandbox"
	}
	if cfg.Client == nil {
		cfg.Client = &http.Client{Timeout: 5 * time.Second}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Sandbox{cfg: cfg, base: base, key: key}, nil
}

// bill is what a pay page's address says.
type bill struct {
	paymentID, currency, description string
	amount                           int64
	expires                          time.Time
}

// Create returns the pay page's address; the same arguments give the same address.
func (s *Sandbox) Create(_ context.Context, paymentID string, amount int64, currency, description string, expires time.Time) (string, error) {
	if !store.ValidID(paymentID) || amount < 0 {
		return "", errors.New("sandbox: a payment needs an id and an amount of 0 or more")
	}
	q := url.Values{
		"id": {paymentID}, "amount": {strconv.FormatInt(amount, 10)}, "currency": {currency},
		"for": {description}, "expires": {strconv.FormatInt(expires.UnixMilli(), 10)},
	}
	q.Set("sig", s.sign(q))
	return s.base.String() + "/sandbox/pay?" + q.Encode(), nil
}

// sign covers every field but the signature and the way back.
func (s *Sandbox) sign(q url.Values) string {
	mac := hmac.New(sha256.New, s.key)
	for _, field := range []string{"id", "amount", "currency", "for", "expires"} {
		fmt.Fprintf(mac, "%s=%q;", field, q.Get(field))
	}
	return hex.EncodeToString(mac.Sum(nil))
}

// read checks a pay page's address.
func (s *Sandbox) read(q url.Values) (bill, bool) {
	if !hmac.Equal([]byte(q.Get("sig")), []byte(s.sign(q))) {
		return bill{}, false
	}
	amount, amountErr := strconv.ParseInt(q.Get("amount"), 10, 64)
	expires, expiresErr := strconv.ParseInt(q.Get("expires"), 10, 64)
	return bill{q.Get("id"), q.Get("currency"), q.Get("for"), amount, time.UnixMilli(expires)}, amountErr == nil && expiresErr == nil
}

// ServeHTTP serves /sandbox/.
func (s *Sandbox) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	switch {
	case r.URL.Path == "/sandbox/pay.css" && r.Method == http.MethodGet:
		h.Set("Content-Type", "text/css; charset=utf-8")
		h.Set("Cache-Control", "max-age=3600")
		_, _ = w.Write(payCSS) // the reader has gone if it fails
	case r.URL.Path != "/sandbox/pay":
		http.NotFound(w, r)
	case r.Method == http.MethodGet || r.Method == http.MethodHead:
		s.show(w, r)
	case r.Method == http.MethodPost:
		s.act(w, r)
	default:
		h.Set("Allow", "GET, HEAD, POST")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
	}
}

func (s *Sandbox) show(w http.ResponseWriter, r *http.Request) {
	b, ok := s.read(r.URL.Query())
	switch {
	case !ok:
		s.answer(w, r, b, http.StatusForbidden, "invalid")
	case time.Now().After(b.expires):
		s.answer(w, r, b, http.StatusOK, "expired")
	default:
		s.answer(w, r, b, http.StatusOK, "")
	}
}

// act notifies of what the payer chose. A second click sends the same event again, which the other
// side takes once.
func (s *Sandbox) act(w http.ResponseWriter, r *http.Request) {
	b, ok := s.read(r.URL.Query())
	if !ok {
		s.answer(w, r, b, http.StatusForbidden, "invalid")
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, 4<<10)
	kind, outcome := PaymentSucceeded, "paid"
	if r.PostFormValue("action") == "decline" {
		kind, outcome = PaymentDeclined, "declined"
	}
	if outcome == "paid" && time.Now().After(b.expires) {
		s.answer(w, r, b, http.StatusConflict, "expired")
		return
	}
	if err := s.notify(r.Context(), b, kind); err != nil {
		s.cfg.Log.Warn("sandbox: a notice was not taken", "payment", b.paymentID, "err", err)
		s.answer(w, r, b, http.StatusBadGateway, "failed")
		return
	}
	s.answer(w, r, b, http.StatusOK, outcome)
}

// Notices are sent at most so often, with growing pauses.
const (
	notifyTries = 4
	notifyPause = 200 * time.Millisecond
)

func (s *Sandbox) notify(ctx context.Context, b bill, kind string) error {
	body, err := json.Marshal(noticeBody{
		Type: kind, PaymentID: b.paymentID, Amount: &b.amount, Currency: b.currency,
		EventID: s.eventID(b.paymentID, kind), PaidAtMs: time.Now().UnixMilli(),
	})
	if err != nil {
		return err
	}
	for try := 1; ; try++ {
		final, err := s.send(ctx, s.eventID(b.paymentID, kind), body)
		if err == nil || final || try == notifyTries {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-time.After(notifyPause << (try - 1)):
		}
	}
}

// eventID is the same each time for a payment and what happened to it.
func (s *Sandbox) eventID(paymentID, kind string) string {
	mac := hmac.New(sha256.New, s.key)
	fmt.Fprintf(mac, "event %s %s", paymentID, kind)
	return "evt_" + hex.EncodeToString(mac.Sum(nil)[:16])
}

// send posts a notice once; final says that sending it again is no use.
func (s *Sandbox) send(ctx context.Context, id string, body []byte) (final bool, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.cfg.NotifyURL, bytes.NewReader(body))
	if err != nil {
		return true, err
	}
	req.Header.Set("Content-Type", "application/json")
	if err := SignNotice(s.cfg.Secret, req.Header, id, time.Now(), body); err != nil {
		return true, err
	}
	resp, err := s.cfg.Client.Do(req)
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)); err != nil {
		return false, err
	}
	if resp.StatusCode/100 == 2 {
		return false, nil
	}
	return resp.StatusCode/100 == 4 && resp.StatusCode != http.StatusTooManyRequests, fmt.Errorf("notice answered with %s", resp.Status)
}

// answer writes the outcome ("" for the page that asks) as a page or as JSON.
func (s *Sandbox) answer(w http.ResponseWriter, r *http.Request, b bill, status int, outcome string) {
	if wantsJSON(r) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		answer := map[string]any{"outcome": outcome, "payment_id": b.paymentID}
		if outcome == "paid" {
			answer["event_id"] = s.eventID(b.paymentID, PaymentSucceeded)
		}
		_ = json.NewEncoder(w).Encode(answer) // the reader has gone if it fails
		return
	}
	words := wordsFor(r.Header.Get("Accept-Language"))
	page := payPage{
		Words: words, Style: "/sandbox/pay.css", Action: "/sandbox/pay?" + r.URL.RawQuery, Outcome: outcome, Message: words.outcome(outcome),
		PaymentID: b.paymentID, Description: b.description, Return: s.sameOrigin(r.URL.Query().Get("return")),
	}
	if b.paymentID != "" {
		page.Amount = formatMoney(b.amount, b.currency)
	}
	var html bytes.Buffer
	if err := payTemplate.Execute(&html, page); err != nil {
		s.cfg.Log.Error("sandbox: page", "err", err)
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(html.Bytes()) // the reader has gone if it fails
}

func wantsJSON(r *http.Request) bool {
	for part := range strings.SplitSeq(r.Header.Get("Accept"), ",") {
		if kind, _, err := mime.ParseMediaType(part); err == nil && kind == "application/json" {
			return true
		}
	}
	return false
}

// sameOrigin returns an address of our own origin as a path, "" for any other.
func (s *Sandbox) sameOrigin(address string) string {
	if address == "" || strings.ContainsAny(address, "\\\r\n\t") {
		return ""
	}
	u, err := s.base.Parse(address)
	if err != nil || u.Scheme != s.base.Scheme || u.Host != s.base.Host || u.User != nil || !strings.HasPrefix(u.EscapedPath(), "/") || strings.HasPrefix(u.EscapedPath(), "//") {
		return ""
	}
	back := url.URL{Path: u.Path, RawPath: u.RawPath, RawQuery: u.RawQuery, Fragment: u.Fragment}
	return back.String()
}

//go:embed sandbox/pay.html
var payHTML string

//go:embed sandbox/pay.css
var payCSS []byte

var payTemplate = template.Must(template.New("pay").Parse(payHTML))

type payPage struct {
	Words                                                                   payWords
	Style, Action, Outcome, Message, PaymentID, Description, Amount, Return string
}
