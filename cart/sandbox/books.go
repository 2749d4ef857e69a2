package sandbox

import (
	"errors"
	"time"

	"livecart/cart"
)

// books are what the sandbox knows; every change of them is one entry of the journal. Not safe for
// concurrent use: the server's lock guards them.
type books struct {
	payments map[string]*payment
	refunds  map[string]*refund
	// standard is the behaviour of payments that have none of their own.
	standard Behaviour
	own      map[string]Behaviour // by payment id, also of payments that do not exist yet
}

func newBooks() *books {
	return &books{payments: map[string]*payment{}, refunds: map[string]*refund{}, own: map[string]Behaviour{}}
}

// behaviour returns how a payment is treated.
func (b *books) behaviour(paymentID string) Behaviour {
	if own, ok := b.own[paymentID]; ok {
		return own
	}
	return b.standard
}

// payment is a payment that was asked for, or one that was closed before it was.
type payment struct {
	bill
	known    bool // was created
	closed   bool
	refused  int // payment.create calls that were answered with 503
	receipts []receipt
	declines int
	refunds  []*refund
}

// bill is what a payment asks for.
type bill struct {
	ID          string `json:"payment_id"`
	Amount      int64  `json:"amount"`
	Currency    string `json:"currency"`
	Description string `json:"description"`
	ExpiresMs   int64  `json:"expires_at_ms"`
}

func (b bill) expires() time.Time { return time.UnixMilli(b.ExpiresMs) }

// receipt is money that came, with what its notice says.
type receipt struct {
	EventID       string `json:"event_id"`
	TransactionID string `json:"transaction_id"`
	Amount        int64  `json:"amount"`
	Currency      string `json:"currency"`
	PaidAtMs      int64  `json:"paid_at_ms"`
}

// refund is money that goes back.
type refund struct {
	ID        string `json:"refund_id"`
	PaymentID string `json:"payment_id"`
	Amount    int64  `json:"amount"`
	Currency  string `json:"currency"`
	// DoneAtMs is when the money goes, which may lie ahead.
	DoneAtMs int64 `json:"done_at_ms"`
}

// entry is a line of the journal: one of its fields is set.
type entry struct {
	Create    *bill           `json:"create,omitempty"`
	Pay       *payEntry       `json:"pay,omitempty"`
	Decline   *declineEntry   `json:"decline,omitempty"`
	Close     string          `json:"close,omitempty"`
	Refund    *refund         `json:"refund,omitempty"`
	Behave    *behaviourEntry `json:"behave,omitempty"`
	NoticeEnd string          `json:"notice_end,omitempty"` // key of a notice that is sent no more
}

type payEntry struct {
	PaymentID string  `json:"payment_id"`
	Receipt   receipt `json:"receipt"`
	// Silent says that no notice is sent.
	Silent bool `json:"silent,omitempty"`
	// DueMs is when its notice is sent first.
	DueMs int64 `json:"due_ms"`
}

type declineEntry struct {
	PaymentID string `json:"payment_id"`
	EventID   string `json:"event_id"`
	AtMs      int64  `json:"at_ms"`
}

type behaviourEntry struct {
	PaymentID string    `json:"payment_id,omitempty"`
	Behaviour Behaviour `json:"behaviour"`
}

// apply changes the books as an entry says. It is the only writer, when something happens and when the
// journal is read again.
func (b *books) apply(e entry) error {
	switch {
	case e.Create != nil:
		p := b.payment(e.Create.ID)
		p.bill, p.known = *e.Create, true
	case e.Pay != nil:
		p := b.payment(e.Pay.PaymentID)
		p.receipts = append(p.receipts, e.Pay.Receipt)
	case e.Decline != nil:
		b.payment(e.Decline.PaymentID).declines++
	case e.Close != "":
		b.payment(e.Close).closed = true
	case e.Refund != nil:
		r := *e.Refund
		b.refunds[r.ID] = &r
		p := b.payment(r.PaymentID)
		p.refunds = append(p.refunds, &r)
	case e.Behave != nil && e.Behave.PaymentID == "":
		b.standard = e.Behave.Behaviour
	case e.Behave != nil:
		b.own[e.Behave.PaymentID] = e.Behave.Behaviour
	case e.NoticeEnd != "":
	default:
		return errors.New("an entry says nothing")
	}
	return nil
}

// payment returns a payment, with nothing in it where there was none.
func (b *books) payment(id string) *payment {
	p := b.payments[id]
	if p == nil {
		p = &payment{bill: bill{ID: id}}
		b.payments[id] = p
	}
	return p
}

// state returns what payment.query says of a payment, nil included.
func (p *payment) state() cart.ChargeState {
	switch {
	case p == nil:
		return cart.ChargeUnknown
	case len(p.receipts) > 0:
		return cart.ChargePaid
	case p.closed:
		return cart.ChargeClosed
	case !p.known:
		return cart.ChargeUnknown
	}
	return cart.ChargeUnpaid
}

// refundable returns what was paid in a currency and not given back.
func (p *payment) refundable(currency string) int64 {
	var sum int64
	for _, r := range p.receipts {
		if r.Currency == currency {
			sum += r.Amount
		}
	}
	for _, r := range p.refunds {
		if r.Currency == currency {
			sum -= r.Amount
		}
	}
	return sum
}
