package gift

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"livecart/proto"
)

const (
	// maxAskPause is the most between two questions about one top-up.
	maxAskPause = 10 * time.Minute
	// askAfterwards is how long beyond its window a top-up that the provider holds open is asked about.
	askAfterwards = time.Hour
)

//go:embed sql/take_topups.sql
var takeTopUps string

// openTopUp is a row of topup that awaits its payment and is to be asked about.
type openTopUp struct {
	ID    string `db:"id"`
	Asked int    `db:"asked"`
	// The window, and the time after it, are over.
	Over      bool `db:"over"`
	LongSince bool `db:"long_since"`
}

// askOpen asks the provider how top-ups stand whose notice has not come, makes good the notices that
// are missing, and returns how many it asked about.
func (l *Ledger) askOpen(ctx context.Context) (asked int, err error) {
	rows, err := l.pool.Query(ctx, takeTopUps, maxAsked, askLease.Seconds(), askAfterwards.Seconds())
	if err != nil {
		return 0, fmt.Errorf("take top-ups: %w", err)
	}
	open, err := pgx.CollectRows(rows, pgx.RowToStructByName[openTopUp])
	if err != nil {
		return 0, fmt.Errorf("take top-ups: %w", err)
	}
	for _, t := range open {
		if ctx.Err() != nil {
			return asked, nil
		}
		if err := l.ask(ctx, t); err != nil {
			return asked, fmt.Errorf("top-up %s: %w", t.ID, err)
		}
		asked++
	}
	return asked, nil
}

func (l *Ledger) ask(ctx context.Context, t openTopUp) error {
	limited, cancel := context.WithTimeout(ctx, askTimeout)
	p, err := l.cfg.Provider.Query(limited, t.ID)
	cancel()
	if err != nil {
		l.log.Debug("ask about a top-up", "topup", t.ID, "err", err)
		return l.askLater(ctx, t)
	}
	switch p.State {
	case PaymentPaid:
		err := l.cfg.paid(ctx, Notice{Provider: l.cfg.ProviderName, EventID: p.EventID, PaymentID: t.ID, Amount: p.Amount, Currency: p.Currency})
		if _, refused := errors.AsType[*proto.Problem](err); refused && !errors.Is(err, ErrWrongAmount) {
			l.log.Warn("a provider's answer about a top-up", "topup", t.ID, "err", err)
			return l.askLater(ctx, t)
		} else if err != nil && !refused {
			return err
		}
		return l.askNoMore(ctx, t)
	case PaymentClosed:
		return l.askNoMore(ctx, t)
	case PaymentUnknown:
		if t.Over {
			return l.askNoMore(ctx, t)
		}
	default:
		if t.LongSince {
			return l.askNoMore(ctx, t)
		}
	}
	return l.askLater(ctx, t)
}

func (l *Ledger) askLater(ctx context.Context, t openTopUp) error {
	pause := fullJitter(l.cfg.AskAfter, maxAskPause, t.Asked)
	_, err := l.pool.Exec(ctx, `UPDATE topup SET ask_at = clock_timestamp() + make_interval(secs => $2) WHERE id = $1`, t.ID, pause.Seconds())
	if err != nil {
		return fmt.Errorf("ask later: %w", err)
	}
	return nil
}

// askNoMore leaves a top-up to its notice, which is credited whenever it comes.
func (l *Ledger) askNoMore(ctx context.Context, t openTopUp) error {
	if _, err := l.pool.Exec(ctx, `UPDATE topup SET ask_at = NULL WHERE id = $1`, t.ID); err != nil {
		return fmt.Errorf("ask no more: %w", err)
	}
	return nil
}
