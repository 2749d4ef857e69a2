package gift

import (
	"context"
	_ "embed"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"

	"livecart/session/store"
)

// States of a refund.
const (
	RefundDue  = "due"  // the provider was or will be asked for it
	RefundDone = "done" // the provider has given the money back
)

const (
	// maxAsked is how many payments and refunds one look asks the provider about.
	maxAsked = 20
	// askTimeout bounds one question to the provider.
	askTimeout = 5 * time.Second
	// askLease is how long the rows of one look are left to their worker: it asks about one after another.
	askLease = (maxAsked + 1) * askTimeout
	// maxRefundPause is the most that a refund which the provider has not done waits to be asked again.
	maxRefundPause = 10 * time.Minute
	maxErrorChars  = 200
)

//go:embed sql/take_refunds.sql
var takeRefunds string

// askProvider asks about what is due, until ctx ends: refunds first, then top-ups whose notice has not
// come.
func (l *Ledger) askProvider(ctx context.Context) {
	look := time.NewTicker(l.cfg.SweepEvery)
	defer look.Stop()
	refunding := store.Trouble{Log: l.log, What: "give money of top-ups back"}
	asking := store.Trouble{Log: l.log, What: "ask about unpaid top-ups"}
	for {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
			_, err := l.refundDue(ctx)
			refunding.Note(ctx, err)
			_, err = l.askOpen(ctx)
			asking.Note(ctx, err)
		}
	}
}

// moneyDue is a row of topup_refund that is due.
type moneyDue struct {
	ID       string `db:"id"`
	TopUpID  string `db:"topup_id"`
	Amount   int64  `db:"amount"`
	Currency string `db:"currency"`
	Tries    int    `db:"tries"`
}

// refundDue asks the provider for the refunds that are due, and returns how many it asked for. Rows are
// claimed for askLease before anything is asked; a worker that dies leaves them due, and what it had
// asked for is found done when it is asked for again under the same id.
func (l *Ledger) refundDue(ctx context.Context) (asked int, err error) {
	rows, err := l.pool.Query(ctx, takeRefunds, l.cfg.ProviderName, maxAsked, askLease.Seconds())
	if err != nil {
		return 0, fmt.Errorf("take refunds: %w", err)
	}
	due, err := pgx.CollectRows(rows, pgx.RowToStructByName[moneyDue])
	if err != nil {
		return 0, fmt.Errorf("take refunds: %w", err)
	}
	for _, r := range due {
		if ctx.Err() != nil {
			return asked, nil
		}
		if err := l.refund(ctx, r); err != nil {
			return asked, err
		}
		asked++
	}
	return asked, nil
}

func (l *Ledger) refund(ctx context.Context, r moneyDue) error {
	ask, cancel := context.WithTimeout(ctx, askTimeout)
	done, err := l.cfg.Provider.Refund(ask, r.ID, r.TopUpID, r.Amount, r.Currency)
	cancel()
	if done && err == nil {
		_, err := l.pool.Exec(ctx, `UPDATE topup_refund SET state = 'done', done_at = clock_timestamp(), last_error = '' WHERE id = $1 AND state = 'due'`, r.ID)
		if err != nil {
			return fmt.Errorf("note refund %s: %w", r.ID, err)
		}
		return nil
	}
	said := "not done yet"
	if err != nil {
		said = tidyText(err.Error(), maxErrorChars)
		l.log.Warn("refund of a top-up", "refund", r.ID, "tries", r.Tries, "err", err)
	}
	pause := fullJitter(l.cfg.RefundPause, maxRefundPause, r.Tries-1)
	_, err = l.pool.Exec(ctx, `UPDATE topup_refund SET next_at = clock_timestamp() + make_interval(secs => $2), last_error = $3 WHERE id = $1 AND state = 'due'`,
		r.ID, pause.Seconds(), said)
	if err != nil {
		return fmt.Errorf("put off refund %s: %w", r.ID, err)
	}
	return nil
}

// fullJitter returns a pause of any length up to first × 2ⁿ and most, so that what failed together is
// not tried again together.
func fullJitter(first, most time.Duration, n int) time.Duration {
	if longest := first << min(n, 20); longest > 0 && longest < most {
		most = longest
	}
	return rand.N(most) + 1
}
