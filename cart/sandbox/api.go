package sandbox

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
	"unicode/utf8"

	"livecart/cart"
	"livecart/session/store"
)

// maxCall is the most bytes of a call's body.
const maxCall = 64 << 10

// MaxAmount is the most minor units of a payment: as much as the largest order comes to, and no sum of some
// thousands overflows.
const MaxAmount = cart.MaxLines * cart.MaxQuantity * int64(cart.MaxPrice)

// callError is a call's refusal.
type callError struct {
	status  int
	Word    string `json:"error"`
	Message string `json:"message"`
}

func (e *callError) Error() string { return e.Word + ": " + e.Message }

func refuse(status int, word, format string, args ...any) error {
	return &callError{status, word, fmt.Sprintf(format, args...)}
}

// call serves one kind of call: it checks signature and type, decodes, does, and answers in JSON.
func call[T any](s *Server, kind string, do func(ctx context.Context, in T) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		out, err := func() (any, error) {
			body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxCall))
			if err != nil {
				return nil, refuse(http.StatusBadRequest, "malformed", "a body of at most %d bytes is wanted", maxCall)
			}
			if err := cart.Verify(s.cfg.Secret, r.Header, body, time.Now()); err != nil {
				return nil, refuse(http.StatusUnauthorized, "forged", "the signature or the time is wrong")
			}
			var named struct {
				Type string `json:"type"`
			}
			var in T
			if err := errors.Join(json.Unmarshal(body, &named), json.Unmarshal(body, &in)); err != nil {
				return nil, refuse(http.StatusBadRequest, "malformed", "%v", err)
			}
			if named.Type != kind {
				return nil, refuse(http.StatusBadRequest, "malformed", "the type of this call is %s", kind)
			}
			return do(r.Context(), in)
		}()
		status := http.StatusOK
		var refusal *callError
		switch {
		case errors.As(err, &refusal):
			status, out = refusal.status, refusal
		case err != nil:
			s.cfg.Log.Error("sandbox: a call failed", "type", kind, "err", err)
			status, out = http.StatusInternalServerError, &callError{Word: "internal", Message: "the sandbox has a trouble of its own"}
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(out) // the caller has gone if it fails
	}
}

var (
	errNoPayment = refuse(http.StatusNotFound, "not_found", "there is no such payment")
	errOnDemand  = refuse(http.StatusServiceUnavailable, "unavailable", "refused on demand")
)

func checkAmount(amount int64, currency string) error {
	if amount < 1 || amount > MaxAmount {
		return refuse(http.StatusUnprocessableEntity, "refused", "an amount is 1 to %d", MaxAmount)
	}
	if currency == "" || len(currency) > 8 || !utf8.ValidString(currency) {
		return refuse(http.StatusUnprocessableEntity, "refused", "the currency is out of range")
	}
	return nil
}

type createAnswer struct {
	URL string `json:"url"`
}

func (s *Server) create(ctx context.Context, in bill) (any, error) {
	if !store.ValidID(in.ID) {
		return nil, refuse(http.StatusUnprocessableEntity, "refused", "payment_id is 1 to %d characters of A-Z, a-z, 0-9, _ and -", store.MaxID)
	}
	if err := checkAmount(in.Amount, in.Currency); err != nil {
		return nil, err
	}
	slow, early, err := s.register(in)
	if err != nil {
		return nil, err
	}
	s.first(ctx, early)
	if slow > 0 {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(slow):
		}
	}
	return createAnswer{s.payURL(in.ID)}, nil
}

// register books a payment unless it is there, and pays it where that is asked for.
func (s *Server) register(in bill) (slow time.Duration, early *notice, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, b := s.books.payment(in.ID), s.books.behaviour(in.ID)
	switch {
	case p.known && p.bill != in:
		return 0, nil, refuse(http.StatusConflict, "conflict", "the payment was registered otherwise")
	case !p.known && p.closed:
		return 0, nil, refuse(http.StatusConflict, "closed", "the payment was closed before it was registered")
	case !p.known && p.refused < b.RefuseCreate:
		p.refused++
		return 0, nil, errOnDemand
	case !p.known:
		if err := s.write(entry{Create: &in}, false); err != nil {
			return 0, nil, err
		}
	}
	if b.Early && len(p.receipts) == 0 {
		if _, early, err = s.take(p, b, time.Now()); err != nil {
			return 0, nil, err
		}
	}
	return milliseconds(b.SlowCreateMs), early, nil
}

// payURL returns the address of a payment's page; only who was given it can know it.
func (s *Server) payURL(id string) string {
	return s.base.String() + "/sandbox/pay?" + url.Values{"id": {id}, "sig": {s.sign(id)}}.Encode()
}

func (s *Server) sign(id string) string {
	mac := hmac.New(sha256.New, s.key)
	fmt.Fprintf(mac, "pay page of %q", id)
	return hex.EncodeToString(mac.Sum(nil)[:16])
}

type paymentCall struct {
	PaymentID string `json:"payment_id"`
}

// queryAnswer is what payment.query and payment.close answer.
type queryAnswer struct {
	State    cart.ChargeState `json:"state"`
	Receipts []receipt        `json:"receipts"`
	Refunds  []refundAnswer   `json:"refunds"`
	// Notices is how many are still to be sent.
	Notices int `json:"notices"`
}

func (s *Server) query(_ context.Context, in paymentCall) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.answerOf(in.PaymentID), nil
}

func (s *Server) answerOf(id string) queryAnswer {
	p := s.books.payments[id]
	a := queryAnswer{State: p.state(), Receipts: []receipt{}, Refunds: []refundAnswer{}}
	if p == nil {
		return a
	}
	a.Receipts = append(a.Receipts, p.receipts...)
	for _, r := range p.refunds {
		a.Refunds = append(a.Refunds, r.answer(time.Now()))
	}
	for _, n := range s.queue {
		if n.paymentID == id && !n.forgedOnly {
			a.Notices++
		}
	}
	return a
}

func (s *Server) closePayment(_ context.Context, in paymentCall) (any, error) {
	if !store.ValidID(in.PaymentID) {
		return nil, errNoPayment
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.books.payments[in.PaymentID]
	switch {
	case p != nil && len(p.receipts) > 0:
		return nil, refuse(http.StatusConflict, "paid", "the payment was paid")
	case p == nil || !p.closed:
		if err := s.write(entry{Close: in.PaymentID}, false); err != nil {
			return nil, err
		}
	}
	return s.answerOf(in.PaymentID), nil
}

type refundCall struct {
	RefundID  string `json:"refund_id"`
	PaymentID string `json:"payment_id"`
	Amount    int64  `json:"amount"`
	Currency  string `json:"currency"`
}

type refundAnswer struct {
	RefundID string `json:"refund_id"`
	Amount   int64  `json:"amount"`
	Currency string `json:"currency"`
	// State is "pending" or "done".
	State string `json:"state"`
}

func (r *refund) answer(now time.Time) refundAnswer {
	a := refundAnswer{RefundID: r.ID, Amount: r.Amount, Currency: r.Currency, State: "done"}
	if now.UnixMilli() < r.DoneAtMs {
		a.State = "pending"
	}
	return a
}

func (s *Server) refund(_ context.Context, in refundCall) (any, error) {
	if !store.ValidID(in.RefundID) {
		return nil, refuse(http.StatusUnprocessableEntity, "refused", "refund_id is 1 to %d characters of A-Z, a-z, 0-9, _ and -", store.MaxID)
	}
	if err := checkAmount(in.Amount, in.Currency); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.books.payments[in.PaymentID]
	if p.state() == cart.ChargeUnknown {
		return nil, errNoPayment
	}
	now := time.Now()
	if r := s.books.refunds[in.RefundID]; r != nil {
		if r.PaymentID != in.PaymentID || r.Amount != in.Amount || r.Currency != in.Currency {
			return nil, refuse(http.StatusConflict, "conflict", "the refund was asked for otherwise")
		}
		return r.answer(now), nil
	}
	if left := p.refundable(in.Currency); in.Amount > left {
		return nil, refuse(http.StatusUnprocessableEntity, "refused", "only %d %s of the payment can be given back", left, in.Currency)
	}
	b := s.books.behaviour(in.PaymentID)
	if s.failed[in.RefundID] < b.RefundFail {
		s.failed[in.RefundID]++
		return nil, errOnDemand
	}
	r := &refund{ID: in.RefundID, PaymentID: in.PaymentID, Amount: in.Amount, Currency: in.Currency, DoneAtMs: now.UnixMilli() + b.RefundDelayMs}
	if err := s.write(entry{Refund: r}, true); err != nil {
		return nil, err
	}
	return r.answer(now), nil
}

type behaveCall struct {
	PaymentID string    `json:"payment_id"`
	Behaviour Behaviour `json:"behaviour"`
}

// behave sets how a payment, or every payment without a behaviour of its own, is treated from now on.
func (s *Server) behave(_ context.Context, in behaveCall) (any, error) {
	if in.PaymentID != "" && !store.ValidID(in.PaymentID) {
		return nil, errNoPayment
	}
	if err := in.Behaviour.check(); err != nil {
		return nil, refuse(http.StatusUnprocessableEntity, "refused", "%v", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return struct{}{}, s.write(entry{Behave: &behaviourEntry{in.PaymentID, in.Behaviour}}, false)
}
