package cart

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"livecart/session/store"
)

const (
	// reconcileBatch is how many payments or refunds one claim takes, providerCalls how many of them are
	// asked about at a time.
	reconcileBatch = 32
	providerCalls  = 8
	// providerTimeout bounds one call to the provider, claimFor how long nobody else asks meanwhile: a
	// batch's calls, 4 rounds of them, and some more.
	providerTimeout = 10 * time.Second
	claimFor        = time.Minute
)

// When the provider is asked about a payment that nobody told of: some time after it was made, then,
// still unpaid, just after its expiry, when it is closed as well, and in case that fails, later.
var (
	queryAfterCreation = []time.Duration{10 * time.Second, 30 * time.Second, time.Minute, 5 * time.Minute, 10 * time.Minute, 20 * time.Minute}
	queryAfterExpiry   = []time.Duration{5 * time.Second, 30 * time.Second, 5 * time.Minute, time.Hour, 6 * time.Hour, 24 * time.Hour}
)

// queryAgain is the pause after that where the provider did not answer: what became of a payment stays open
// until it says so, as its notice may have been given up by then.
const queryAgain = 6 * time.Hour

// nextQuery returns when the provider is asked next about a payment that is neither paid nor closed, or
// the zero time when it is asked no more.
func nextQuery(created, expires, now time.Time) time.Time {
	for _, after := range queryAfterCreation {
		if at := created.Add(after); at.After(now) && at.Before(expires) {
			return at
		}
	}
	for _, after := range queryAfterExpiry {
		if at := expires.Add(after); at.After(now) {
			return at
		}
	}
	return time.Time{}
}

// reconciler asks the provider about payments of which no notice came. Any number of them may run.
type reconciler struct {
	cfg    Config
	resync func(ctx context.Context, saleID string) error
}

// run asks until ctx ends.
func (r *reconciler) run(ctx context.Context) error {
	tick := time.NewTicker(r.cfg.SweepEvery)
	defer tick.Stop()
	queries := store.Trouble{Log: r.cfg.Log, What: "ask the provider about payments"}
	unmatched := store.Trouble{Log: r.cfg.Log, What: "match notices"}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		queries.Note(ctx, r.askAll(ctx))
		unmatched.Note(ctx, r.matchAll(ctx))
	}
}

// askedPayment is a claimed payment.
type askedPayment struct {
	id, provider, state   string
	created, expires, now time.Time
}

//go:embed sql/claim_payments.sql
var claimPaymentsSQL string

// askAll asks about every payment that is due, in batches. One that fails does not hold up the others.
func (r *reconciler) askAll(ctx context.Context) error {
	var failed error
	for {
		rows, err := r.cfg.Pool.Query(ctx, claimPaymentsSQL, reconcileBatch, claimFor.Seconds())
		if err != nil {
			return fmt.Errorf("claim payments: %w", err)
		}
		due, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (p askedPayment, err error) {
			return p, row.Scan(&p.id, &p.provider, &p.state, &p.created, &p.expires, &p.now)
		})
		if err != nil {
			return fmt.Errorf("claim payments: %w", err)
		}
		failed = errors.Join(failed, eachOf(due, func(p askedPayment) error { return r.ask(ctx, p) }))
		if len(due) < reconcileBatch || ctx.Err() != nil {
			return failed
		}
	}
}

// eachOf does something for each of a batch, some at a time, and returns the first error.
func eachOf[T any](batch []T, do func(T) error) error {
	g := new(errgroup.Group)
	g.SetLimit(providerCalls)
	for _, one := range batch {
		g.Go(func() error { return do(one) }) // waited for below
	}
	return g.Wait()
}

// ask asks about one payment. What was paid is filed as its notice would be; what is not paid and must
// not be any more is closed.
func (r *reconciler) ask(ctx context.Context, p askedPayment) error {
	call, cancel := context.WithTimeout(ctx, providerTimeout)
	defer cancel()
	charge, err := r.cfg.Provider.Query(call, p.id)
	next := nextQuery(p.created, p.expires, p.now)
	switch {
	case err != nil:
		err = fmt.Errorf("query payment %s: %w", p.id, err)
	case len(charge.Receipts) > 0:
		for _, receipt := range charge.Receipts {
			n := receipt.notice(p.provider, p.id)
			if err := n.check(); err != nil {
				return fmt.Errorf("receipt of payment %s: %w", p.id, err)
			}
			if err := r.cfg.handle(ctx, handling{notice: n}, r.resync); err != nil {
				return err
			}
		}
	case charge.State == ChargeClosed:
		next = time.Time{}
	case p.state == "void" || !p.now.Before(p.expires):
		switch err = r.cfg.Provider.Close(call, p.id); {
		case errors.Is(err, ErrChargePaid):
			next, err = p.now.Add(time.Second), nil // paid in between
		case err != nil:
			err = fmt.Errorf("close payment %s: %w", p.id, err)
		default:
			next = time.Time{}
		}
	}
	if err != nil && next.IsZero() {
		next = p.now.Add(queryAgain)
	}
	// Also when ctx has ended meanwhile, or the claim would hold up the next worker. A payment that was
	// voided meanwhile is asked about for that reason.
	turn, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.cfg.turnTimeout)
	defer cancel()
	_, keep := r.cfg.Pool.Exec(turn, `
		UPDATE payment SET query_at = $3 WHERE id = $1 AND state = $2`, p.id, p.state, nullTime(next))
	if keep != nil {
		keep = fmt.Errorf("keep query of payment %s: %w", p.id, keep)
	}
	return errors.Join(err, keep)
}

func nullTime(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// matchAll acts on notices that came before their payment and were not acted on when it was made.
func (r *reconciler) matchAll(ctx context.Context) error {
	rows, err := r.cfg.Pool.Query(ctx, `
		SELECT n.provider, n.event_id, n.transaction_id, n.payment_id, n.kind, n.amount, n.currency
		FROM payment_notice n JOIN payment p ON p.id = n.payment_id AND p.provider = n.provider
		WHERE n.result = 'unmatched' LIMIT $1`, reconcileBatch)
	if err != nil {
		return fmt.Errorf("unmatched notices: %w", err)
	}
	notices, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (n Notice, err error) {
		return n, row.Scan(&n.Provider, &n.EventID, &n.TransactionID, &n.PaymentID, &n.Kind, &n.Amount, &n.Currency)
	})
	if err != nil {
		return fmt.Errorf("unmatched notices: %w", err)
	}
	var failed error
	for _, n := range notices {
		failed = errors.Join(failed, r.cfg.handle(ctx, handling{notice: n, filed: true}, r.resync))
	}
	return failed
}
