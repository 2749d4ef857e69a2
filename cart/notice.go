package cart

import (
	"context"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"livecart/proto"
	"livecart/session/store"
)

// Kinds of notices.
const (
	PaymentSucceeded = "payment.succeeded"
	PaymentDeclined  = "payment.declined"
)

// Notice is what a payment provider says of a payment, its signature verified.
type Notice struct {
	// Provider is the configured provider when empty.
	Provider string
	// EventID is the provider's own id of this event: the same event may come more than once.
	EventID   string
	PaymentID string
	// Kind is PaymentSucceeded or PaymentDeclined.
	Kind string
	// Amount is what was paid, in minor units of Currency.
	Amount   int64
	Currency string
	PaidAt   time.Time
}

func (n Notice) check() error {
	switch {
	case n.EventID == "" || len(n.EventID) > 200 || !utf8.ValidString(n.EventID):
		return proto.Refuse(proto.ReasonInvalidArgument, "the notice's event_id has 1 to 200 bytes of UTF-8")
	case !store.ValidID(n.PaymentID):
		return proto.Refuse(proto.ReasonInvalidArgument, "the notice names no payment of ours")
	case n.Kind != PaymentSucceeded && n.Kind != PaymentDeclined:
		return proto.Refuse(proto.ReasonInvalidArgument, "the notice's type is unknown")
	case n.Amount < 0 || len(n.Currency) > 8 || !utf8.ValidString(n.Currency):
		return proto.Refuse(proto.ReasonInvalidArgument, "the notice's amount is out of range")
	}
	return nil
}

// errNeedsStock says that the order's stock must be locked first, before the order.
var errNeedsStock = errors.New("stock must be locked")

// HandleNotice files a notice and acts on it in one transaction; the same notice again does
// nothing. What came of it is kept with the notice and is no error: a provider that is answered
// with success stops sending. Errors are for what can be sent again, and invalid_argument.
func (c *Cart) HandleNotice(ctx context.Context, n Notice) error {
	if n.Provider == "" {
		n.Provider = c.cfg.ProviderName
	}
	if err := n.check(); err != nil {
		return err
	}
	// The sale's row is hot: it is locked only for money that comes late, which few does.
	h := handling{notice: n}
	err := store.InTx(ctx, c.cfg.Pool, func(tx pgx.Tx) error { return h.run(ctx, tx) })
	if errors.Is(err, errNeedsStock) {
		h.lockStock = true
		err = store.InTx(ctx, c.cfg.Pool, func(tx pgx.Tx) error { return h.run(ctx, tx) })
	}
	if err != nil {
		return fmt.Errorf("notice %s of payment %s: %w", n.EventID, n.PaymentID, err)
	}
	if h.order != nil {
		c.cfg.entered(h.order)
		resyncAll(ctx, c.cfg, c.Resync, h.sales)
	}
	return nil
}

// handling is one HandleNotice; run fills in what changed and may be run again.
type handling struct {
	notice    Notice
	lockStock bool

	order *proto.Order // nil when it stayed as it was
	sales []string     // whose stock was taken again
}

func (h *handling) run(ctx context.Context, tx pgx.Tx) error {
	h.order, h.sales = nil, nil
	n := h.notice
	if err := lockPaymentID(ctx, tx, n.PaymentID); err != nil {
		return err
	}
	tag, err := tx.Exec(ctx, `
		INSERT INTO payment_notice (provider, event_id, payment_id, kind, amount, currency, result)
		VALUES ($1, $2, $3, $4, $5, $6, 'unmatched') ON CONFLICT DO NOTHING`,
		n.Provider, n.EventID, n.PaymentID, n.Kind, n.Amount, n.Currency)
	if err != nil || tag.RowsAffected() == 0 {
		return err
	}
	// Only its order's id is used before the lock, and that never changes.
	p, err := scanPayment(tx.QueryRow(ctx, paymentColumns+`WHERE id = $1 AND provider = $2`, n.PaymentID, n.Provider))
	if err != nil || p == nil {
		return err
	}
	ids := []string{p.orderID}
	if h.lockStock {
		if err := lockStock(ctx, tx, ids); err != nil {
			return err
		}
	}
	o, err := lockOrder(ctx, tx, p.orderID)
	if err != nil {
		return err
	}
	if o.State == expired && !h.lockStock {
		return errNeedsStock
	}
	if p, err = scanPayment(tx.QueryRow(ctx, paymentColumns+`WHERE id = $1`, n.PaymentID)); err != nil {
		return err
	}
	s, err := settlePayment(ctx, tx, n, p, o)
	if err != nil || s.order == o.State {
		return err
	}
	if o.State == expired && s.order == paid {
		if h.sales, err = openSales(ctx, tx, ids); err != nil {
			return err
		}
	}
	h.order, err = readOrder(ctx, tx, o.ID)
	return err
}

// settlement is what a notice leads to.
type settlement struct {
	result  string // of the notice
	payment string // its state afterwards
	order   state  // afterwards
}

// settlePayment acts on a notice of a payment: it decides, moves the order, and keeps the result. The
// order is locked, and its stock too if it is expired.
func settlePayment(ctx context.Context, tx pgx.Tx, n Notice, p *payment, o lockedOrder) (settlement, error) {
	s := judge(n, p, o)
	if s.order == paid && o.State == expired {
		taken, err := takeAgain(ctx, tx, o)
		if err != nil {
			return s, err
		}
		if !taken {
			s = settlement{"refund_due", "refund_due", refundDue}
		}
	}
	if _, err := tx.Exec(ctx, `UPDATE payment_notice SET result = $3 WHERE provider = $1 AND event_id = $2`, n.Provider, n.EventID, s.result); err != nil {
		return s, fmt.Errorf("keep result: %w", err)
	}
	if s.payment != p.state {
		if _, err := tx.Exec(ctx, `UPDATE payment SET state = $2 WHERE id = $1`, p.id, s.payment); err != nil {
			return s, fmt.Errorf("settle payment: %w", err)
		}
	}
	if s.order == o.State {
		return s, nil
	}
	if err := moveOrder(ctx, tx, o.ID, o.State, s.order, "payment "+p.id); err != nil {
		return s, err
	}
	return s, voidPayments(ctx, tx, o.ID, p.id)
}

// judge decides what a notice means for its payment and order. For an expired order it assumes that
// there is stock.
func judge(n Notice, p *payment, o lockedOrder) settlement {
	unchanged := func(result string) settlement { return settlement{result, p.state, o.State} }
	giveBack := func(result string) settlement { return settlement{result, "refund_due", o.State} }
	switch {
	case n.Kind == PaymentDeclined:
		return unchanged("declined")
	case p.state != "requested" && p.state != "void":
		return unchanged("duplicate")
	case n.Amount != p.amount || n.Currency != p.currency || p.priceVersion != o.PriceVersion || p.amount != o.Amount || p.currency != o.Currency:
		return giveBack("amount_mismatch")
	case p.state == "void":
		return giveBack("late")
	case o.State == awaitingPayment || o.State == expired:
		return settlement{"accepted", "accepted", paid}
	default:
		return giveBack("late")
	}
}
