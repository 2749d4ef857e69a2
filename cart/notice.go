package cart

import (
	"context"
	"errors"
	"fmt"
	"strings"
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
	EventID string
	// TransactionID is the provider's id of the money that moved, empty where it names none. Two
	// successful notices of one payment tell of two receipts of money only if both name one and they
	// differ.
	TransactionID string
	PaymentID     string
	// Kind is PaymentSucceeded or PaymentDeclined.
	Kind string
	// Amount is what was paid, in minor units of Currency, at least 1 if something was.
	Amount   int64
	Currency string
	PaidAt   time.Time
}

func (n Notice) check() error {
	switch {
	case n.EventID == "" || len(n.EventID) > 200 || !utf8.ValidString(n.EventID):
		return proto.Refuse(proto.ReasonInvalidArgument, "the notice's event_id has 1 to 200 bytes of UTF-8")
	case len(n.TransactionID) > 200 || !utf8.ValidString(n.TransactionID):
		return proto.Refuse(proto.ReasonInvalidArgument, "the notice's transaction_id has at most 200 bytes of UTF-8")
	case strings.ContainsRune(n.EventID+n.TransactionID+n.Currency, 0):
		return proto.Refuse(proto.ReasonInvalidArgument, "the notice holds a NUL")
	case !store.ValidID(n.PaymentID):
		return proto.Refuse(proto.ReasonInvalidArgument, "the notice names no payment of ours")
	case n.Kind != PaymentSucceeded && n.Kind != PaymentDeclined:
		return proto.Refuse(proto.ReasonInvalidArgument, "the notice's type is unknown")
	case n.Amount < 0 || n.Amount == 0 && n.Kind == PaymentSucceeded || len(n.Currency) > 8 || !utf8.ValidString(n.Currency):
		return proto.Refuse(proto.ReasonInvalidArgument, "the notice's amount is out of range")
	}
	return nil
}

// errNeedsStock says that the order's stock must be locked first, before the order.
var errNeedsStock = errors.New("stock must be locked")

// HandleNotice files a notice and acts on it in one transaction; the same notice again does
// nothing. What came of it is kept with the notice and is no error: a provider that is answered
// with success stops sending. Errors are for what can be sent again, and invalid_argument.
//
// The rule: money of the payment's amount, asked at the order's present price, pays an order that awaits
// payment, and an expired one whose pieces can be had again. All other money that a notice tells of
// (another amount or currency, an old price, a void payment, a cancelled order, stock gone, paid a
// second time) is owed back from the same commit on, as one row of refund for each notice.
func (c *Cart) HandleNotice(ctx context.Context, n Notice) error {
	if n.Provider == "" {
		n.Provider = c.cfg.ProviderName
	}
	if err := n.check(); err != nil {
		return err
	}
	return c.cfg.handle(ctx, handling{notice: n}, c.Resync)
}

// handle does a notice whose fields are checked.
func (cfg Config) handle(ctx context.Context, h handling, resync func(ctx context.Context, saleID string) error) error {
	// The sale's row is hot: it is locked only for money that comes late, which few does.
	err := store.InTx(ctx, cfg.Pool, func(tx pgx.Tx) error { return h.run(ctx, tx) })
	if errors.Is(err, errNeedsStock) {
		h.lockStock = true
		err = store.InTx(ctx, cfg.Pool, func(tx pgx.Tx) error { return h.run(ctx, tx) })
	}
	if err != nil {
		return fmt.Errorf("notice %s of payment %s: %w", h.notice.EventID, h.notice.PaymentID, err)
	}
	if h.order != nil {
		cfg.entered(h.order)
		resyncAll(ctx, cfg, resync, h.sales)
	}
	return nil
}

// handling is one HandleNotice; run fills in what changed and may be run again.
type handling struct {
	notice    Notice
	lockStock bool
	// filed says that the notice is there already, unmatched, and only needs its payment.
	filed bool

	order *proto.Order // nil when it stayed as it was
	sales []string     // whose stock was taken again
}

func (h *handling) run(ctx context.Context, tx pgx.Tx) error {
	h.order, h.sales = nil, nil
	n := h.notice
	if err := lockPaymentID(ctx, tx, n.PaymentID); err != nil {
		return err
	}
	if fresh, err := h.file(ctx, tx); err != nil || !fresh {
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

// file keeps the notice; false says that it was acted on before.
func (h *handling) file(ctx context.Context, tx pgx.Tx) (fresh bool, err error) {
	n := h.notice
	if h.filed {
		err := tx.QueryRow(ctx, `
			SELECT result = 'unmatched' FROM payment_notice WHERE provider = $1 AND event_id = $2`, n.Provider, n.EventID).Scan(&fresh)
		return fresh, err
	}
	tag, err := tx.Exec(ctx, `
		INSERT INTO payment_notice (provider, event_id, payment_id, kind, amount, currency, transaction_id, result)
		VALUES ($1, $2, $3, $4, $5, $6, $7, 'unmatched') ON CONFLICT DO NOTHING`,
		n.Provider, n.EventID, n.PaymentID, n.Kind, n.Amount, n.Currency, n.TransactionID)
	return tag.RowsAffected() == 1, err
}

// settlement is what a notice leads to.
type settlement struct {
	result  string // of the notice
	payment string // its state afterwards
	order   state  // afterwards
	owed    bool   // the money goes back
}

// settlePayment acts on a notice of a payment: it decides, moves the order, and keeps the result. The
// order is locked, and its stock too if it is expired.
func settlePayment(ctx context.Context, tx pgx.Tx, n Notice, p *payment, o lockedOrder) (settlement, error) {
	again, err := receivedAgain(ctx, tx, n)
	if err != nil {
		return settlement{}, err
	}
	s := judge(n, p, o, again)
	if s.order == paid && o.State == expired {
		taken, err := takeAgain(ctx, tx, o)
		if err != nil {
			return s, err
		}
		if !taken {
			s = settlement{result: "refund_due", payment: "refund_due", order: refundDue, owed: true}
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
	if s.owed {
		if err := oweBack(ctx, tx, n, o.ID, s.result); err != nil {
			return s, err
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

// receivedAgain reports whether a notice tells of other money than all earlier notices of its payment:
// both sides name their transactions, and they differ.
func receivedAgain(ctx context.Context, tx pgx.Tx, n Notice) (again bool, err error) {
	if n.Kind != PaymentSucceeded || n.TransactionID == "" {
		return false, nil
	}
	err = tx.QueryRow(ctx, `
		SELECT NOT EXISTS (
			SELECT FROM payment_notice
			WHERE provider = $1 AND payment_id = $2 AND event_id <> $3 AND kind = $4 AND result <> 'unmatched' AND transaction_id IN ('', $5))`,
		n.Provider, n.PaymentID, n.EventID, PaymentSucceeded, n.TransactionID).Scan(&again)
	if err != nil {
		return false, fmt.Errorf("earlier notices of payment %s: %w", n.PaymentID, err)
	}
	return again, nil
}

// oweBack records that a notice's money goes back to who paid it. The order is locked.
func oweBack(ctx context.Context, tx pgx.Tx, n Notice, orderID, reason string) error {
	_, err := tx.Exec(ctx, `
		INSERT INTO refund (id, order_id, payment_id, kind, provider, event_id, amount, currency, reason)
		VALUES ($1, $2, $3, 'payment', $4, $5, $6, $7, $8)`,
		store.NewID("ref"), orderID, n.PaymentID, n.Provider, n.EventID, n.Amount, n.Currency, reason)
	if err != nil {
		return fmt.Errorf("owe back money of payment %s: %w", n.PaymentID, err)
	}
	return nil
}

// judge decides what a notice means for its payment and order. again says that it tells of other money
// than all notices before it. For an expired order it assumes that there is stock.
func judge(n Notice, p *payment, o lockedOrder, again bool) settlement {
	unchanged := func(result string) settlement { return settlement{result: result, payment: p.state, order: o.State} }
	giveBack := func(result string) settlement {
		return settlement{result: result, payment: "refund_due", order: o.State, owed: true}
	}
	switch {
	case n.Kind == PaymentDeclined:
		return unchanged("declined")
	case p.state == "accepted" && again:
		return settlement{result: "paid_again", payment: "accepted", order: o.State, owed: true}
	case p.state != "requested" && p.state != "void" && again:
		return giveBack("paid_again")
	case p.state != "requested" && p.state != "void":
		return unchanged("duplicate")
	case n.Amount != p.amount || n.Currency != p.currency || p.priceVersion != o.PriceVersion || p.amount != o.Amount || p.currency != o.Currency:
		return giveBack("amount_mismatch")
	case p.state == "void":
		return giveBack("late")
	case o.State == awaitingPayment || o.State == expired:
		return settlement{result: "accepted", payment: "accepted", order: paid}
	default:
		return giveBack("late")
	}
}
