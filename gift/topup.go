package gift

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

// MaxTopUp is how many beans one top-up buys at most (100,000 yuan); the least is 1.
const MaxTopUp = 700_000

// States of a top-up.
const (
	AwaitingPayment = "awaiting_payment"
	Paid            = "paid"
)

// TopUp is a purchase of beans.
type TopUp struct {
	// ID is also the payment's id; it begins with "top_".
	ID    string
	Beans int64
	// Amount is in minor units of Currency.
	Amount   int64
	Currency string
	// URL is where the user pays.
	URL   string
	State string
	// ExpiresAt is until when the provider takes the payment.
	ExpiresAt time.Time
}

// Notice says that a provider took a payment; its signature has been checked.
type Notice struct {
	Provider, EventID string
	// PaymentID is the top-up's ID.
	PaymentID string
	// Amount is in minor units of Currency.
	Amount   int64
	Currency string
}

// TopUp asks for the payment of beans (1 to MaxTopUp) at [Price]. The same user and key get the
// same top-up in its present state; with another number of beans, [ErrTopUpConflict]. When the
// provider does not answer it is [ErrNoProvider]: ask again under the same key.
func (g *Gifts) TopUp(ctx context.Context, userID, key string, beans int64) (*TopUp, error) {
	switch {
	case g.cfg.Provider == nil:
		return nil, ErrNoTopUps
	case userID == "":
		return nil, ErrSignIn
	case len(userID) > maxUser || !storable(userID):
		return nil, invalid("a user id is 1 to %d bytes of text", maxUser)
	case key == "" || utf8.RuneCountInString(key) > proto.MaxRequestID || !storable(key):
		return nil, invalid("a top-up needs a key of 1 to %d characters", proto.MaxRequestID)
	case beans < 1 || beans > MaxTopUp:
		return nil, ErrBeans
	}
	_, err := g.pool.Exec(ctx, `
		INSERT INTO topup (id, user_id, key, beans, amount, currency, expires_at, ask_at)
		VALUES ($1, $2, $3, $4, $5, $6, clock_timestamp() + make_interval(secs => $7), clock_timestamp() + make_interval(secs => $8))
		ON CONFLICT (user_id, key) DO NOTHING`,
		store.NewID("top"), userID, key, beans, Price(beans), Currency, g.cfg.TopUpWindow.Seconds(), g.cfg.AskAfter.Seconds())
	if err != nil {
		return nil, fmt.Errorf("open top-up: %w", err)
	}
	var t TopUp
	err = g.pool.QueryRow(ctx, `SELECT id, beans, amount, currency, url, state, expires_at FROM topup WHERE user_id = $1 AND key = $2`, userID, key).
		Scan(&t.ID, &t.Beans, &t.Amount, &t.Currency, &t.URL, &t.State, &t.ExpiresAt)
	if err != nil {
		return nil, fmt.Errorf("read top-up: %w", err)
	}
	if t.Beans != beans {
		return nil, ErrTopUpConflict
	}
	if t.URL != "" {
		return &t, nil
	}
	t.URL, err = g.cfg.Provider.Create(ctx, t.ID, t.Amount, t.Currency, fmt.Sprintf("%d beans", t.Beans), t.ExpiresAt)
	if err != nil {
		g.log.Warn("top-up: payment provider", "topup", t.ID, "err", err)
		return nil, ErrNoProvider
	}
	if _, err := g.pool.Exec(ctx, `UPDATE topup SET url = $2 WHERE id = $1`, t.ID, t.URL); err != nil {
		return nil, fmt.Errorf("keep url of top-up %s: %w", t.ID, err)
	}
	return &t, nil
}

// What came of a notice, as recorded.
const (
	noticeAccepted  = "accepted"
	noticeDuplicate = "duplicate"       // the top-up was paid by another event: the money goes back
	noticeMismatch  = "amount_mismatch" // the money goes back
	noticeUnmatched = "unmatched"
)

// Paid takes a payment notice: it credits the top-up's beans once and tells the user. The same
// event again is answered as the first time. Money of another amount, and money for a top-up that was
// paid already, is given back. [ErrWrongAmount] and [ErrUnknownTopUp] mean that the notice was
// recorded as such and credited nothing; any other error, that it was not recorded.
func (g *Gifts) Paid(ctx context.Context, n Notice) error { return g.cfg.paid(ctx, n) }

func (cfg *Config) paid(ctx context.Context, n Notice) error {
	if n.Provider == "" || n.EventID == "" || !storable(n.Provider+n.EventID+n.PaymentID+n.Currency) {
		return invalid("a payment notice names its provider and event")
	}
	var result, userID string
	var c credit
	err := store.InTx(ctx, cfg.Pool, func(tx pgx.Tx) (err error) {
		result, userID, c, err = takeNotice(ctx, tx, n)
		return err
	})
	if err != nil {
		return fmt.Errorf("payment notice %s: %w", n.EventID, err)
	}
	cfg.announce(userID, c)
	switch result {
	case noticeMismatch:
		return ErrWrongAmount
	case noticeUnmatched:
		return ErrUnknownTopUp
	}
	return nil
}

func takeNotice(ctx context.Context, tx pgx.Tx, n Notice) (result, userID string, c credit, err error) {
	var t TopUp
	err = tx.QueryRow(ctx, `SELECT user_id, beans, amount, currency, state FROM topup WHERE id = $1 FOR UPDATE`, n.PaymentID).
		Scan(&userID, &t.Beans, &t.Amount, &t.Currency, &t.State)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		result = noticeUnmatched
	case err != nil:
		return "", "", c, fmt.Errorf("lock top-up: %w", err)
	case n.Amount != t.Amount || n.Currency != t.Currency:
		result = noticeMismatch
	case t.State == Paid:
		result = noticeDuplicate
	default:
		result = noticeAccepted
	}
	// Only a notice that found no top-up is looked at again, should its top-up be there by now.
	var recorded string
	err = tx.QueryRow(ctx, `
		INSERT INTO topup_notice AS old (provider, event_id, topup_id, amount, currency, result) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (provider, event_id) DO UPDATE SET topup_id = $3, amount = $4, currency = $5, result = $6 WHERE old.result = 'unmatched'
		RETURNING result`, n.Provider, n.EventID, n.PaymentID, n.Amount, n.Currency, result).Scan(&recorded)
	if errors.Is(err, pgx.ErrNoRows) {
		err = tx.QueryRow(ctx, `SELECT result FROM topup_notice WHERE provider = $1 AND event_id = $2`, n.Provider, n.EventID).Scan(&recorded)
		return recorded, userID, c, err
	}
	if err != nil {
		return "", "", c, fmt.Errorf("record notice: %w", err)
	}
	if (result == noticeDuplicate || result == noticeMismatch) && n.Amount > 0 {
		_, err = tx.Exec(ctx, `
			INSERT INTO topup_refund (id, topup_id, kind, provider, event_id, amount, currency) VALUES ($1, $2, 'payment', $3, $4, $5, $6)`,
			store.NewID("brf"), n.PaymentID, n.Provider, n.EventID, n.Amount, n.Currency)
		if err != nil {
			return "", "", c, fmt.Errorf("give money back: %w", err)
		}
	}
	if result != noticeAccepted {
		return result, userID, c, nil
	}
	if _, err = tx.Exec(ctx, `UPDATE topup SET state = 'paid', paid_at = clock_timestamp() WHERE id = $1`, n.PaymentID); err != nil {
		return "", "", c, fmt.Errorf("mark top-up paid: %w", err)
	}
	c, err = addLot(ctx, tx, lot{userID: userID, kind: "topup", key: n.PaymentID, beans: t.Beans, amount: t.Amount, currency: t.Currency})
	return result, userID, c, err
}
