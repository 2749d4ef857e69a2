package gift

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"livecart/session/store"
)

// hostLock is the key of the lock that a host's settlements hold alone and reversals share; $1 is the
// host's id.
const hostLock = `hashtextextended('gift_host:' || $1, 0)`

const (
	// underWay bounds how long a settlement waits for transactions that may hold earlier tips, and
	// lookAgain is how often it looks.
	underWay  = 3 * time.Second
	lookAgain = 5 * time.Millisecond
)

// Settlement is what a host is paid for the tips of a period.
type Settlement struct {
	ID, HostID string
	// N counts the host's settlements from 1.
	N int64
	// Until ends the period: tips and reversals before it that no earlier settlement took.
	Until           time.Time
	Tips, Reversals int64
	// Earned is the host's part of the tips less that of the reversals; it may be negative.
	Earned int64
	// DebtBefore was left by the settlement before, DebtAfter is left to the next:
	// Earned − DebtBefore = Beans − DebtAfter, and one of the latter two is 0.
	DebtBefore, DebtAfter int64
	// Beans are paid out: Amount, in minor units of Currency, is Beans × 100 ÷ 7 rounded down, and Rest
	// the sevenths of a minor unit that rounding leaves with the platform, 0 to 6.
	Beans, Amount, Rest int64
	Currency            string
	At                  time.Time
}

// Payout returns what beans are worth in a settlement, in fen: beans × 100 ÷ 7 rounded down, and the
// sevenths of a fen left over, 0 to 6. It is taken once of a settlement's whole beans.
func Payout(beans int64) (fen, sevenths int64) {
	return beans * 100 / BeansPerYuan, beans * 100 % BeansPerYuan
}

// settle completes a settlement whose Earned and DebtBefore are known.
func (s *Settlement) settle() {
	net := s.Earned - s.DebtBefore
	s.Beans, s.DebtAfter = max(0, net), max(0, -net)
	s.Amount, s.Rest = Payout(s.Beans)
	s.Currency = Currency
}

//go:embed sql/take_entries.sql
var takeEntries string

// Settle pays a host for all tips and reversals before until, the zero time for now, that no
// settlement has taken yet, less the debt that reversals of settled tips have left. A reversal that
// exceeds what was earned since makes or keeps a debt and pays nothing. The same key of the same user
// by settles once; with another host or time it is [ErrKeyConflict]. Other refusals:
// [ErrNothingToSettle], and an until that has not come yet.
//
// The period is exact: before it reads, a settlement has seen all transactions end that may hold an
// earlier tip, so none appears later. That waits for the batches under way and holds up no other; where
// they take over 3 s it is [ErrTryAgain]. What is dated up to a day before the end of the host's latest
// settlement and was not taken, because the database's clock stepped back, is taken too.
func (g *Gifts) Settle(ctx context.Context, hostID, by, key string, until time.Time) (*Settlement, error) {
	if hostID == "" || len(hostID) > maxUser || !storable(hostID) {
		return nil, invalid("a host's id is 1 to %d bytes of text", maxUser)
	}
	if err := checkKeyed(by, key); err != nil {
		return nil, err
	}
	asked := until
	safe, err := g.passed(ctx)
	if err != nil {
		return nil, err
	}
	switch {
	case until.IsZero():
		until = safe
	case until.After(safe):
		return nil, invalid("until is a time that has passed")
	case until.Before(time.UnixMilli(0)):
		return nil, invalid("until is a time since 1970")
	}
	var s *Settlement
	err = store.InTx(ctx, g.pool, func(tx pgx.Tx) (err error) {
		s, err = settle(ctx, tx, hostID, by, key, asked, until)
		return err
	})
	switch {
	case store.Violates(err, "settlement_key"):
		return nil, ErrKeyConflict // another host's, at the same time
	case err != nil:
		return nil, wrap(err, "settle a host")
	}
	return s, nil
}

//go:embed sql/read_writers.sql
var readWriters string

// passed returns a time of the database before which no tip can still be committed. A ledger's
// transaction writes to tip_attempt before it reads the clock that dates its tips, and keeps the lock of
// that table's writers until its commit is visible. So who dates a tip before the clock that we read
// first holds that lock when we look for its holders afterwards, or has ended. A lock of our own that
// excludes writers would show the same, but everybody's tips would stand still behind it for as long as
// one stuck worker, or a vacuum, keeps it from us.
func (g *Gifts) passed(ctx context.Context) (safe time.Time, err error) {
	if err := g.pool.QueryRow(ctx, `SELECT clock_timestamp()`).Scan(&safe); err != nil {
		return safe, fmt.Errorf("read clock: %w", err)
	}
	waited, again := time.NewTimer(underWay), time.NewTicker(lookAgain)
	defer waited.Stop()
	defer again.Stop()
	open, err := g.writers(ctx)
	for err == nil && len(open) > 0 {
		select {
		case <-ctx.Done():
			return safe, ctx.Err()
		case <-waited.C:
			return safe, ErrTryAgain
		case <-again.C:
		}
		var now []string
		now, err = g.writers(ctx)
		open = slices.DeleteFunc(open, func(id string) bool { return !slices.Contains(now, id) })
	}
	if err != nil {
		return safe, fmt.Errorf("wait for tips under way: %w", err)
	}
	return safe, nil
}

func (g *Gifts) writers(ctx context.Context) ([]string, error) {
	rows, err := g.pool.Query(ctx, readWriters)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

func settle(ctx context.Context, tx pgx.Tx, hostID, by, key string, asked, until time.Time) (*Settlement, error) {
	if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(`+hostLock+`)`, hostID); err != nil {
		return nil, fmt.Errorf("lock host: %w", err)
	}
	if old, err := settlementByKey(ctx, tx, hostID, by, key, asked); old != nil || err != nil {
		return old, err
	}
	s := &Settlement{ID: store.NewID("set"), HostID: hostID, N: 1, Until: until}
	err := tx.QueryRow(ctx, `SELECT n + 1, debt_after FROM settlement WHERE host_id = $1 ORDER BY n DESC LIMIT 1`, hostID).Scan(&s.N, &s.DebtBefore)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return nil, fmt.Errorf("read last settlement: %w", err)
	}
	if err := tx.QueryRow(ctx, takeEntries, s.ID, hostID, until).Scan(&s.Tips, &s.Reversals, &s.Earned); err != nil {
		return nil, fmt.Errorf("take tips: %w", err)
	}
	if s.Tips+s.Reversals == 0 {
		return nil, ErrNothingToSettle
	}
	s.settle()
	err = tx.QueryRow(ctx, `
		INSERT INTO settlement (id, host_id, n, until, tips, reversals, earned, debt_before, beans, debt_after, amount, rest, currency, by_id, key, asked, at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, clock_timestamp()) RETURNING at`,
		s.ID, hostID, s.N, until, s.Tips, s.Reversals, s.Earned, s.DebtBefore, s.Beans, s.DebtAfter, s.Amount, s.Rest, s.Currency,
		by, key, timeOrNull(asked)).Scan(&s.At)
	if err != nil {
		return nil, fmt.Errorf("write settlement: %w", err)
	}
	return s, nil
}

func timeOrNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

const settlementColumns = `SELECT id, host_id, n, until, tips, reversals, earned, debt_before, beans, debt_after, amount, rest, currency, at`

func (s *Settlement) fields() []any {
	return []any{&s.ID, &s.HostID, &s.N, &s.Until, &s.Tips, &s.Reversals, &s.Earned, &s.DebtBefore, &s.Beans, &s.DebtAfter,
		&s.Amount, &s.Rest, &s.Currency, &s.At}
}

// settlementByKey returns the settlement that was made under a key, nil where there is none.
func settlementByKey(ctx context.Context, tx pgx.Tx, hostID, by, key string, asked time.Time) (*Settlement, error) {
	s := new(Settlement)
	var before *time.Time
	err := tx.QueryRow(ctx, settlementColumns+`, asked FROM settlement WHERE by_id = $1 AND key = $2`, by, key).Scan(append(s.fields(), &before)...)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read settlement: %w", err)
	case s.HostID != hostID || (before == nil) != asked.IsZero() || before != nil && !before.Equal(asked):
		return nil, ErrKeyConflict
	}
	return s, nil
}

// MaxSettlements is how many settlements one page has at most.
const MaxSettlements = 100

// Settlements returns a host's settlements, newest first, at most limit (1 to MaxSettlements), and with
// before above 0 those whose N is less.
func (g *Gifts) Settlements(ctx context.Context, hostID string, limit int, before int64) ([]Settlement, error) {
	if limit < 1 || limit > MaxSettlements || before < 0 {
		return nil, invalid("a page has 1 to %d settlements", MaxSettlements)
	}
	if !storable(hostID) {
		return nil, nil
	}
	rows, err := g.pool.Query(ctx, settlementColumns+` FROM settlement WHERE host_id = $1 AND ($2 = 0 OR n < $2) ORDER BY n DESC LIMIT $3`, hostID, before, limit)
	if err != nil {
		return nil, fmt.Errorf("read settlements: %w", err)
	}
	page, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (s Settlement, err error) {
		return s, row.Scan(s.fields()...)
	})
	if err != nil {
		return nil, fmt.Errorf("read settlements: %w", err)
	}
	return page, nil
}

// Earnings are a host's beans: Earned − Settled = Open − Debt, and one of the latter two is 0.
type Earnings struct {
	// Earned is the host's part of all tips less that of reversed ones, Settled what settlements paid out.
	Earned, Settled int64
	// Open is still to be settled. Debt is what the host was paid for tips that were reversed since.
	Open, Debt int64
}

//go:embed sql/read_earnings.sql
var readEarnings string

// Earnings returns how a host stands at this moment.
func (g *Gifts) Earnings(ctx context.Context, hostID string) (Earnings, error) {
	var e Earnings
	if !storable(hostID) {
		return e, nil
	}
	if err := g.pool.QueryRow(ctx, readEarnings, hostID).Scan(&e.Earned, &e.Settled); err != nil {
		return e, fmt.Errorf("read earnings: %w", err)
	}
	e.Open, e.Debt = max(0, e.Earned-e.Settled), max(0, e.Settled-e.Earned)
	return e, nil
}
