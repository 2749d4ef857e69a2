package gift

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"livecart/proto"
	"livecart/session/store"
)

// Lot is beans that came into a wallet together. Wallets spend their oldest beans first, so what is
// left lies in the newest lots, and beans that come back by a reversal fill lots from the newest that
// was touched.
type Lot struct {
	ID string
	// Kind is "topup" or "grant".
	Kind  string
	Beans int64
	// Left is how many of them are neither spent nor refunded.
	Left int64
	// Amount is what was paid for all of them, in minor units of Currency; 0 for a grant.
	Amount   int64
	Currency string
	// Refunded beans, and their money, have gone back or are due to.
	Refunded, RefundedAmount int64
	At                       time.Time

	userID, key string
}

//go:embed sql/read_lots.sql
var readLots string

// Lots returns a user's lots, newest first.
func (g *Gifts) Lots(ctx context.Context, userID string) (lots []Lot, err error) {
	if !storable(userID) {
		return nil, nil
	}
	err = store.InSnapshot(ctx, g.pool, func(tx pgx.Tx) (err error) {
		var balance int64
		err = tx.QueryRow(ctx, `SELECT balance FROM wallet WHERE user_id = $1`, userID).Scan(&balance)
		if err != nil && !errors.Is(err, pgx.ErrNoRows) {
			return err
		}
		lots, err = lotsOf(ctx, tx, userID, balance)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("lots: %w", err)
	}
	return lots, nil
}

// lotsOf reads the lots of a wallet that has balance beans, newest first.
func lotsOf(ctx context.Context, q store.Querier, userID string, balance int64) ([]Lot, error) {
	rows, err := q.Query(ctx, readLots, userID)
	if err != nil {
		return nil, fmt.Errorf("read lots: %w", err)
	}
	lots, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (l Lot, err error) {
		return l, row.Scan(&l.ID, &l.userID, &l.Kind, &l.key, &l.Beans, &l.Amount, &l.Currency, &l.At, &l.Refunded, &l.RefundedAmount)
	})
	if err != nil {
		return nil, fmt.Errorf("read lots: %w", err)
	}
	spread(lots, balance)
	return lots, nil
}

// spread sets what is left of each of a wallet's lots, newest first. As the oldest beans go first, the
// balance is the newest beans that were not refunded; so no tip needs to remember its lots.
func spread(lots []Lot, balance int64) {
	for i := range lots {
		lots[i].Left = min(balance, lots[i].Beans-lots[i].Refunded)
		balance -= lots[i].Left
	}
}

// moneyBack returns what beans of a lot are worth in a refund after refunded of them have gone back
// before. The refunds of a lot together are of floor(amount × beans ÷ lot), so however they are cut,
// they add up to the whole amount once the whole lot has gone back. All are below 10⁸.
func moneyBack(amount, lot, refunded, beans int64) int64 {
	return amount*(refunded+beans)/lot - amount*refunded/lot
}

// LotRefund is some beans of a lot that left their wallet for money.
type LotRefund struct {
	// ID is also the provider's idempotency key.
	ID, LotID, UserID string
	Beans             int64
	// Amount is in minor units of Currency.
	Amount   int64
	Currency string
	// State is RefundDue until the provider has given the money back, then RefundDone.
	State string
	At    time.Time
	// The wallet after it.
	Balance, Version int64
}

// RefundLot takes beans of a lot, 0 for all that are left, out of the wallet and has the provider give
// their money back; a ledger worker asks for it. Refusals: [ErrUnknownLot], [ErrBeansBack] for a
// negative number, [ErrRefundExceeds] for more than are left and for a grant, which no money stands
// for. The same key of the same user by gives back once; for something else it is [ErrKeyConflict].
func (g *Gifts) RefundLot(ctx context.Context, lotID, by, key string, beans int64) (*LotRefund, error) {
	if beans < 0 {
		return nil, ErrBeansBack
	}
	if !store.ValidID(lotID) {
		return nil, ErrUnknownLot
	}
	if err := checkKeyed(by, key); err != nil {
		return nil, err
	}
	var r *LotRefund
	var isNew bool
	err := store.InTx(ctx, g.pool, func(tx pgx.Tx) (err error) {
		r, isNew, err = refundLot(ctx, tx, lotID, by, key, beans)
		return err
	})
	switch {
	case store.Violates(err, "lot_refund_key"):
		return nil, ErrKeyConflict // another lot's, at the same time
	case err != nil:
		return nil, wrap(err, "refund lot %s", lotID)
	}
	g.cfg.announce(r.UserID, credit{balance: r.Balance, version: r.Version, at: r.At, isNew: isNew})
	return r, nil
}

func refundLot(ctx context.Context, tx pgx.Tx, lotID, by, key string, beans int64) (_ *LotRefund, isNew bool, err error) {
	var userID string
	err = tx.QueryRow(ctx, `SELECT user_id FROM bean_lot WHERE id = $1`, lotID).Scan(&userID)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, false, ErrUnknownLot
	}
	if err != nil {
		return nil, false, err
	}
	wallet, err := lockWallet(ctx, tx, userID)
	if err != nil {
		return nil, false, err
	}
	if old, err := lotRefundByKey(ctx, tx, lotID, by, key, beans); old != nil || err != nil {
		return old, false, err
	}
	lots, err := lotsOf(ctx, tx, userID, wallet.balance)
	if err != nil {
		return nil, false, err
	}
	l, err := lotToRefund(lots, lotID, beans)
	if err != nil {
		return nil, false, err
	}
	r := &LotRefund{ID: store.NewID("brf"), LotID: lotID, UserID: userID, Beans: beans, Currency: l.Currency, State: RefundDue}
	if beans == 0 {
		r.Beans = l.Left
	}
	r.Amount = moneyBack(l.Amount, l.Beans, l.Refunded, r.Beans)
	r.Balance, r.Version, r.At, err = moveBeans(ctx, tx, userID, -r.Beans)
	if err != nil {
		return nil, false, err
	}
	_, err = tx.Exec(ctx, `
		INSERT INTO lot_refund (id, lot_id, user_id, beans, amount, by_id, key, asked, balance, version, at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`,
		r.ID, lotID, userID, r.Beans, r.Amount, by, key, beans, r.Balance, r.Version, r.At)
	if err != nil {
		return nil, false, fmt.Errorf("write refund: %w", err)
	}
	// The money goes back through the provider that took it, whichever takes payments now.
	due, err := tx.Exec(ctx, `
		INSERT INTO topup_refund (id, topup_id, kind, provider, amount, currency)
		SELECT $1, topup_id, 'lot', provider, $3, $4 FROM topup_notice WHERE topup_id = $2 AND result = 'accepted'`,
		r.ID, l.key, r.Amount, r.Currency)
	if err != nil {
		return nil, false, fmt.Errorf("write money of refund: %w", err)
	}
	if due.RowsAffected() != 1 {
		return nil, false, fmt.Errorf("no payment of top-up %s is accepted", l.key)
	}
	return r, true, nil
}

// lotToRefund finds the lot and checks that beans of it, 0 for all, can go back.
func lotToRefund(lots []Lot, lotID string, beans int64) (Lot, error) {
	for _, l := range lots {
		switch {
		case l.ID != lotID:
		case l.Kind != "topup":
			return l, proto.Refuse(proto.ReasonRefundExceedsPaid, "nothing was paid for these beans")
		case l.Left == 0 || beans > l.Left:
			return l, proto.Refuse(proto.ReasonRefundExceedsPaid, "%d beans of this lot are left to refund", l.Left)
		default:
			return l, nil
		}
	}
	return Lot{}, ErrUnknownLot
}

// lotRefundByKey returns the refund that was made under a key, nil where there is none.
func lotRefundByKey(ctx context.Context, tx pgx.Tx, lotID, by, key string, beans int64) (*LotRefund, error) {
	r := new(LotRefund)
	var asked int64
	err := tx.QueryRow(ctx, `
		SELECT r.id, r.lot_id, r.user_id, r.beans, r.amount, m.currency, m.state, r.at, r.balance, r.version, r.asked
		FROM lot_refund r JOIN topup_refund m ON m.id = r.id WHERE r.by_id = $1 AND r.key = $2`, by, key).
		Scan(&r.ID, &r.LotID, &r.UserID, &r.Beans, &r.Amount, &r.Currency, &r.State, &r.At, &r.Balance, &r.Version, &asked)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read refund: %w", err)
	case r.LotID != lotID || asked != beans:
		return nil, ErrKeyConflict
	}
	return r, nil
}
