package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"livecart/cart"
	"livecart/gift"
	"livecart/proto"
	"livecart/session"
)

// maxNotice is the most bytes of a payment notice.
const maxNotice = 64 << 10

// takeNotice takes a payment notice of the sandbox provider. No token is asked: the signature is the
// proof. 204 says that the notice is recorded, whatever came of it; anything else asks the provider
// to send it again.
func (p *parts) takeNotice(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), requestTimeout)
	defer cancel()
	if err := p.notice(w, r.WithContext(ctx)); err != nil {
		session.WriteProblem(w, r, p.log, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (p *parts) notice(w http.ResponseWriter, r *http.Request) error {
	if p.webhookSecret == "" {
		return proto.Refuse(proto.ReasonNotFound, "no payments are taken here")
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxNotice))
	if err != nil {
		return cart.ErrNoticeInvalid
	}
	n, err := cart.VerifyNotice(p.webhookSecret, r.Header, body, time.Now())
	if errors.Is(err, cart.ErrNoticeForged) {
		return proto.Refuse(proto.ReasonSignInRequired, "the notice's signature or time is wrong")
	}
	if err != nil {
		return err
	}
	switch {
	case strings.HasPrefix(n.PaymentID, "pay_"):
		return p.cart.HandleNotice(r.Context(), n)
	case strings.HasPrefix(n.PaymentID, "top_"):
		return p.topUpNotice(r.Context(), n)
	}
	return proto.Refuse(proto.ReasonNotFound, "there is no such payment")
}

// topUpNotice credits the beans of a top-up. A declined one may still be paid, so there is nothing to
// note. Another amount than asked for is recorded as such and credits nothing: sending it again would
// change nothing.
func (p *parts) topUpNotice(ctx context.Context, n cart.Notice) error {
	if n.Kind != cart.PaymentSucceeded {
		return nil
	}
	err := p.gifts.Paid(ctx, gift.Notice{
		Provider: sandboxProvider, EventID: n.EventID, PaymentID: n.PaymentID, Amount: n.Amount, Currency: n.Currency,
	})
	if errors.Is(err, gift.ErrWrongAmount) {
		p.log.Warn("a top-up was paid with another amount: money to give back", "topup", n.PaymentID)
		return nil
	}
	return err
}
