package sandbox

import (
	"bytes"
	"crypto/hmac"
	_ "embed"
	"encoding/json"
	"html/template"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"
)

//go:embed pay.html
var payHTML string

//go:embed pay.css
var payCSS []byte

var payTemplate = template.Must(template.New("pay").Parse(payHTML))

type payPage struct {
	Words                                                                   payWords
	Style, Action, Outcome, Message, PaymentID, Description, Amount, Return string
}

// page sets what every page has, and checks the address.
func (s *Server) page(serve func(w http.ResponseWriter, r *http.Request, id string)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-store")
		q := r.URL.Query()
		if id := q.Get("id"); hmac.Equal([]byte(q.Get("sig")), []byte(s.sign(id))) {
			serve(w, r, id)
			return
		}
		s.answer(w, r, http.StatusForbidden, result{outcome: "invalid"})
	}
}

func (s *Server) style(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/css; charset=utf-8")
	w.Header().Set("Cache-Control", "max-age=3600")
	_, _ = w.Write(payCSS) // the reader has gone if it fails
}

// result is what the page says: outcome is empty while it asks.
type result struct {
	bill    bill
	outcome string
	eventID string
}

// unpayable returns why a payment takes no money now, "" when it does. The lock is held.
func unpayable(p *payment, b Behaviour, now time.Time) string {
	switch {
	case p == nil || !p.known:
		return "invalid"
	case len(p.receipts) > 0 && !b.PayAgain:
		return "paid"
	case b.NeverCloses:
		return ""
	case p.closed:
		return "closed"
	case now.After(p.expires()):
		return "expired"
	}
	return ""
}

func (s *Server) show(w http.ResponseWriter, r *http.Request, id string) {
	s.mu.Lock()
	p := s.books.payments[id]
	res := result{outcome: unpayable(p, s.books.behaviour(id), time.Now())}
	if p != nil {
		res.bill = p.bill
		if len(p.receipts) > 0 {
			res.eventID = p.receipts[0].EventID
		}
	}
	s.mu.Unlock()
	s.answer(w, r, http.StatusOK, res)
}

// act does what the payer chose. A second click on Pay is answered like the first.
func (s *Server) act(w http.ResponseWriter, r *http.Request, id string) {
	r.Body = http.MaxBytesReader(w, r.Body, 4<<10)
	res, notice, err := s.choose(id, r.PostFormValue("action") == "decline")
	if err != nil {
		s.cfg.Log.Error("sandbox: a payment was not kept", "payment", id, "err", err)
		s.answer(w, r, http.StatusInternalServerError, result{bill: res.bill, outcome: "failed"})
		return
	}
	s.first(r.Context(), notice)
	status := http.StatusOK
	switch res.outcome {
	case "invalid":
		status = http.StatusForbidden
	case "expired", "closed":
		status = http.StatusConflict
	}
	s.answer(w, r, status, res)
}

// choose books a payer's choice.
func (s *Server) choose(id string, decline bool) (result, *notice, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	p, b := s.books.payments[id], s.books.behaviour(id)
	why := unpayable(p, b, now)
	if why == "invalid" {
		return result{outcome: why}, nil, nil
	}
	res := result{bill: p.bill, outcome: why}
	switch {
	case why == "paid":
		res.eventID = p.receipts[0].EventID
		return res, nil, nil
	case decline && why != "closed":
		n, err := s.decline(p, b, now)
		res.outcome = "declined"
		return res, n, err
	case why != "":
		return res, nil, nil
	}
	receipt, n, err := s.take(p, b, now)
	res.outcome, res.eventID = "paid", receipt.EventID
	return res, n, err
}

// answer writes a result as a page or as JSON.
func (s *Server) answer(w http.ResponseWriter, r *http.Request, status int, res result) {
	if wantsJSON(r) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		answer := map[string]any{"outcome": res.outcome, "payment_id": res.bill.ID}
		if res.eventID != "" {
			answer["event_id"] = res.eventID
		}
		_ = json.NewEncoder(w).Encode(answer) // the reader has gone if it fails
		return
	}
	words := wordsFor(r.Header.Get("Accept-Language"))
	page := payPage{
		Words: words, Style: "/sandbox/pay.css", Action: "/sandbox/pay?" + r.URL.RawQuery, Outcome: res.outcome, Message: words.outcome(res.outcome),
		PaymentID: res.bill.ID, Description: res.bill.Description, Return: s.wayBack(r.URL.Query().Get("return")),
	}
	if res.bill.ID != "" {
		page.Amount = formatMoney(res.bill.Amount, res.bill.Currency)
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

// wayBack returns an address at the shop, whose origin takes the notices, "" for any other.
func (s *Server) wayBack(address string) string {
	if address == "" || strings.ContainsAny(address, "\\\r\n\t") {
		return ""
	}
	u, err := s.shop.Parse(address)
	if err != nil || u.Scheme != s.shop.Scheme || u.Host != s.shop.Host || u.User != nil || !strings.HasPrefix(u.EscapedPath(), "/") || strings.HasPrefix(u.EscapedPath(), "//") {
		return ""
	}
	back := url.URL{Scheme: s.shop.Scheme, Host: s.shop.Host, Path: u.Path, RawPath: u.RawPath, RawQuery: u.RawQuery, Fragment: u.Fragment}
	return back.String()
}
