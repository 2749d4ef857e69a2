package cart

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"livecart/session/store"
)

const (
	// keepEvery is the pause between two looks at Redis and at the running sales.
	keepEvery = time.Second
	// resyncEvery is how old the counters of a running sale may grow.
	resyncEvery = 3 * time.Second
)

// keeper sees to the sales' Redis counters: it has them counted anew every few seconds, at once when
// Redis is another or has lost them, and voids reservations that nobody resolves. Any number of
// processes may run one; they share the work through sale.resynced_at.
type keeper struct {
	cfg      Config
	resyncer *resyncer
	reaper   *reaper
}

func newKeeper(cfg Config, resyncer *resyncer) *keeper {
	return &keeper{cfg: cfg, resyncer: resyncer, reaper: newReaper(cfg)}
}

// run keeps until ctx ends. A turn that fails is reported and tried again with the next one.
func (k *keeper) run(ctx context.Context) error {
	tick := time.NewTicker(keepEvery)
	defer tick.Stop()
	trouble := store.Trouble{Log: k.cfg.Log, What: "keep the sales' counters"}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		trouble.Note(ctx, k.turn(ctx))
	}
}

// turn looks once.
func (k *keeper) turn(ctx context.Context) error {
	due, err := k.look(ctx)
	if err != nil {
		k.reaper.silent()
		return err
	}
	failed := k.reaper.probe(ctx)
	for _, saleID := range slices.Compact(slices.Sorted(slices.Values(append(due, k.reaper.ripe()...)))) {
		failed = errors.Join(failed, k.keep(ctx, saleID))
	}
	return failed
}

// look returns the sales to count.
func (k *keeper) look(ctx context.Context) ([]string, error) {
	run, err := redisRun(ctx, k.cfg.Redis)
	if err != nil {
		return nil, err
	}
	return k.due(ctx, run)
}

// keep counts one sale and voids what is overdue.
func (k *keeper) keep(ctx context.Context, saleID string) error {
	ctx, cancel := context.WithTimeout(ctx, k.cfg.turnTimeout)
	defer cancel()
	undecided, err := k.resyncer.count(ctx, saleID)
	if err != nil {
		return err
	}
	late := k.reaper.overdue(saleID, undecided)
	if len(late) == 0 {
		return nil
	}
	slices.SortFunc(late, func(x, y reservation) int { return compareKeys(x.attemptKey, y.attemptKey) })
	if err := k.reaper.void(ctx, saleID, late); err != nil {
		return err
	}
	if undecided, err = k.resyncer.count(ctx, saleID); err != nil {
		return err
	}
	k.reaper.overdue(saleID, undecided)
	return nil
}

// due returns the sales whose counters are old, are in another Redis than the running one, or do not
// know yet that the sale has ended.
func (k *keeper) due(ctx context.Context, run string) ([]string, error) {
	rows, err := k.cfg.Pool.Query(ctx, `
		SELECT id FROM sale
		WHERE closed_at IS NULL AND (redis_run <> $1 OR resynced_at < clock_timestamp() - make_interval(secs => $2))
		   OR closed_at > clock_timestamp() - interval '1 hour' AND resynced_at < closed_at
		ORDER BY id`, run, resyncEvery.Seconds())
	if err != nil {
		return nil, fmt.Errorf("find sales to count: %w", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("find sales to count: %w", err)
	}
	return ids, nil
}
