package cart

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"livecart/session/store"
)

// clockEvery is the pause between two looks for sales whose time is over.
const clockEvery = 200 * time.Millisecond

// runSaleClock closes sales when their time is over, by the database's clock, until ctx ends. Any
// number of processes may run it.
func runSaleClock(ctx context.Context, cfg Config, resync func(context.Context, string) error) error {
	tick := time.NewTicker(clockEvery)
	defer tick.Stop()
	trouble := store.Trouble{Log: cfg.Log, What: "end sales whose time is over"}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		trouble.Note(ctx, endOverdue(ctx, cfg, resync))
	}
}

// endOverdue ends the sales whose time is over. This look only finds them; the clock after the lock
// decides.
func endOverdue(ctx context.Context, cfg Config, resync func(context.Context, string) error) error {
	rows, err := cfg.Pool.Query(ctx, `SELECT id FROM sale WHERE closed_at IS NULL AND ends_at <= clock_timestamp() ORDER BY ends_at`)
	if err != nil {
		return fmt.Errorf("find sales whose time is over: %w", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("find sales whose time is over: %w", err)
	}
	var failed error
	for _, id := range ids {
		failed = errors.Join(failed, endSale(ctx, cfg, resync, id, causeTime))
	}
	return failed
}
