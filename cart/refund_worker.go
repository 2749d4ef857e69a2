package cart

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"livecart/proto"
	"livecart/session/store"
)

const (
	// refundPause and refundCap bound the pause before the provider is asked again about a refund: a
	// random part of the first, doubled with each try up to the second.
	refundPause = time.Second
	refundCap   = 10 * time.Minute
	// refundStuck is after how many tries a refund that is still due is told to the log.
	refundStuck = 5
	// refundReportEvery is the pause between two counts of what is due.
	refundReportEvery = 10 * time.Second
	// maxRefundError bounds what is kept of an error, in bytes.
	maxRefundError = 300
)

// refundWorker has the provider give money back. Any number of them may run: a refund's id is the
// provider's idempotency key, so one that two ask for is done once.
type refundWorker struct {
	cfg Config
}

// run works until ctx ends.
func (w *refundWorker) run(ctx context.Context) error {
	tick := time.NewTicker(w.cfg.SweepEvery)
	defer tick.Stop()
	var reported time.Time
	work := store.Trouble{Log: w.cfg.Log, What: "take up refunds"}
	stuck := store.Trouble{Log: w.cfg.Log, What: "give money back"}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		work.Note(ctx, w.askAll(ctx))
		if time.Since(reported) >= refundReportEvery {
			reported = time.Now()
			stuck.Note(ctx, w.report(ctx))
		}
	}
}

// dueRefund is a claimed refund.
type dueRefund struct {
	id, paymentID, currency string
	amount                  int64
	tries                   int
}

//go:embed sql/claim_refunds.sql
var claimRefundsSQL string

// askAll asks for every refund whose time has come, in batches, with no transaction open meanwhile.
func (w *refundWorker) askAll(ctx context.Context) error {
	var failed error
	for {
		rows, err := w.cfg.Pool.Query(ctx, claimRefundsSQL, reconcileBatch, claimFor.Seconds())
		if err != nil {
			return fmt.Errorf("claim refunds: %w", err)
		}
		due, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (r dueRefund, err error) {
			return r, row.Scan(&r.id, &r.paymentID, &r.amount, &r.currency, &r.tries)
		})
		if err != nil {
			return fmt.Errorf("claim refunds: %w", err)
		}
		failed = errors.Join(failed, eachOf(due, func(r dueRefund) error { return w.ask(ctx, r) }))
		if len(due) < reconcileBatch || ctx.Err() != nil {
			return failed
		}
	}
}

// ask asks for one refund. What the provider said stays with the refund; an error is our own.
func (w *refundWorker) ask(ctx context.Context, r dueRefund) error {
	call, cancel := context.WithTimeout(ctx, providerTimeout)
	done, err := w.cfg.Provider.Refund(call, r.id, r.paymentID, r.amount, r.currency)
	cancel()
	if err == nil && done {
		return w.finish(ctx, r.id)
	}
	said := "accepted, not done yet"
	if err != nil {
		said = fmt.Sprintf("%.*s", maxRefundError, err)
	}
	// Also when ctx has ended meanwhile, or the claim would hold up the next worker.
	turn, cancel := context.WithTimeout(context.WithoutCancel(ctx), w.cfg.turnTimeout)
	defer cancel()
	_, err = w.cfg.Pool.Exec(turn, `
		UPDATE refund SET last_error = $2, next_at = clock_timestamp() + make_interval(secs => $3) WHERE id = $1 AND state = 'due'`,
		r.id, cleanText(said), refundBackoff(r.tries, rand.Int64N).Seconds())
	if err != nil {
		return fmt.Errorf("put off refund %s: %w", r.id, err)
	}
	return nil
}

// finish records that a refund's money has gone back, and tells the buyer.
func (w *refundWorker) finish(ctx context.Context, id string) error {
	var order *proto.Order
	err := store.InTx(ctx, w.cfg.Pool, func(tx pgx.Tx) (err error) {
		order, err = finishRefund(ctx, tx, id)
		return err
	})
	if err != nil {
		return fmt.Errorf("finish refund %s: %w", id, err)
	}
	if order == nil {
		return nil
	}
	if stateOf(order.State) == refunded {
		w.cfg.entered(order)
	} else {
		w.cfg.tell(order)
	}
	return nil
}

// refundBackoff returns the pause after the nth try: full jitter, so that refunds that failed together do
// not come back together.
func refundBackoff(tries int, random func(n int64) int64) time.Duration {
	most := refundCap
	if tries < 20 {
		most = min(refundPause<<tries, refundCap)
	}
	return time.Duration(random(int64(most)))
}

// report counts what is due. Refunds that failed often are its error.
func (w *refundWorker) report(ctx context.Context) error {
	var due, stuck int64
	var id, said string
	err := w.cfg.Pool.QueryRow(ctx, `
		SELECT count(*), count(*) FILTER (WHERE tries >= $1),
			coalesce((array_agg(id ORDER BY tries DESC, id))[1], ''), coalesce((array_agg(last_error ORDER BY tries DESC, id))[1], '')
		FROM refund WHERE state = 'due'`, refundStuck).Scan(&due, &stuck, &id, &said)
	if err != nil {
		return fmt.Errorf("count refunds: %w", err)
	}
	w.cfg.metrics.refundsDue.Set(float64(due))
	if stuck > 0 {
		return fmt.Errorf("%d refunds were asked for %d times or more; of %s the provider says: %s", stuck, refundStuck, id, said)
	}
	return nil
}

// cleanText makes what somebody else said fit for a text of Postgres.
func cleanText(s string) string {
	return strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", ""), "�")
}
