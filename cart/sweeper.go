package cart

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"livecart/proto"
	"livecart/session/store"
)

// sweepBatch is how many orders expire in one transaction.
const sweepBatch = 100

// sweeper ends what time has ended: orders that were not paid and products on show, and once an hour
// old keys and refusals. Any number of them may run.
type sweeper struct {
	cfg    Config
	resync func(ctx context.Context, saleID string) error
}

func newSweeper(cfg Config, resync func(ctx context.Context, saleID string) error) *sweeper {
	return &sweeper{cfg: cfg, resync: resync}
}

// run sweeps until ctx ends. A sweep that fails is reported and tried again at the next turn.
func (s *sweeper) run(ctx context.Context) error {
	tick := time.NewTicker(s.cfg.SweepEvery)
	defer tick.Stop()
	keysAt := time.Now()
	expiry := store.Trouble{Log: s.cfg.Log, What: "expire orders"}
	completion := store.Trouble{Log: s.cfg.Log, What: "complete orders"}
	popUps := store.Trouble{Log: s.cfg.Log, What: "clear pop-ups"}
	keys := store.Trouble{Log: s.cfg.Log, What: "prune request keys"}
	attempts := store.Trouble{Log: s.cfg.Log, What: "prune refused attempts"}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		expiry.Note(ctx, s.expireOrders(ctx))
		completion.Note(ctx, s.completeOrders(ctx))
		popUps.Note(ctx, clearPopUps(ctx, s.cfg))
		if time.Since(keysAt) > time.Hour {
			keysAt = time.Now()
			keys.Note(ctx, pruneKeys(ctx, s.cfg.Pool))
			attempts.Note(ctx, pruneAttempts(ctx, s.cfg.Pool))
		}
	}
}

// sweepStep moves those of the orders on whose time is over, in a transaction that may run again, and
// returns them with the sales whose stock came back.
type sweepStep func(ctx context.Context, tx pgx.Tx, ids []string) ([]*proto.Order, []string, error)

// expireOrders ends all orders whose payment window is over.
func (s *sweeper) expireOrders(ctx context.Context) error {
	return s.sweep(ctx, `
		SELECT id, expires_at FROM orders
		WHERE state = 'awaiting_payment' AND expires_at <= now() AND (expires_at, id) > ($1, $2)
		ORDER BY expires_at, id LIMIT $3`, "expire", expireOrders)
}

// sweep finds orders by find, in batches from the oldest, and moves them on. now() only finds them;
// what decides is the clock after the locks. find's first arguments are the time and id of the last
// order of the batch before, and the batch's size. A batch that fails does not hold up the next one.
func (s *sweeper) sweep(ctx context.Context, find, what string, step sweepStep, args ...any) error {
	var failed error
	var last time.Time
	lastID := ""
	for {
		rows, err := s.cfg.Pool.Query(ctx, find, append([]any{last, lastID, sweepBatch}, args...)...)
		if err != nil {
			return fmt.Errorf("find orders to %s: %w", what, err)
		}
		var ids []string
		if _, err := pgx.ForEachRow(rows, []any{&lastID, &last}, func() error {
			ids = append(ids, lastID)
			return nil
		}); err != nil {
			return fmt.Errorf("find orders to %s: %w", what, err)
		}
		failed = errors.Join(failed, s.move(ctx, ids, what, step))
		if len(ids) < sweepBatch || ctx.Err() != nil {
			return failed
		}
	}
}

// move moves the orders on in one transaction. Where the data of one of them forbids that, the batch
// is halved until that one is found, reported and left, so that it holds up no other.
func (s *sweeper) move(ctx context.Context, ids []string, what string, step sweepStep) error {
	if len(ids) == 0 {
		return nil
	}
	var orders []*proto.Order
	var sales []string
	turn, cancel := context.WithTimeout(ctx, s.cfg.turnTimeout)
	defer cancel()
	err := store.InTx(turn, s.cfg.Pool, func(tx pgx.Tx) (err error) {
		orders, sales, err = step(turn, tx, ids)
		return err
	})
	switch {
	case err == nil:
		s.cfg.entered(orders...)
		resyncAll(turn, s.cfg, s.resync, sales)
		return nil
	case !store.DataError(err):
		return fmt.Errorf("%s orders: %w", what, err)
	case len(ids) == 1:
		s.cfg.Log.Error("an order cannot "+what, "order", ids[0], "err", err)
		return nil
	}
	half := len(ids) / 2
	return errors.Join(s.move(ctx, ids[:half], what, step), s.move(ctx, ids[half:], what, step))
}

// expireOrders moves those of the orders that are overdue under their locks and returns them with
// the sales whose stock came back. An order that somebody else has locked is left for the next time.
func expireOrders(ctx context.Context, tx pgx.Tx, ids []string) ([]*proto.Order, []string, error) {
	if err := lockStock(ctx, tx, ids); err != nil {
		return nil, nil, err
	}
	locked, err := collectIDs(ctx, tx, `SELECT id FROM orders WHERE id = ANY ($1) ORDER BY id FOR UPDATE SKIP LOCKED`, ids)
	if err != nil {
		return nil, nil, err
	}
	overdue, err := collectIDs(ctx, tx, `
		SELECT id FROM orders WHERE id = ANY ($1) AND state = 'awaiting_payment' AND expires_at <= clock_timestamp()`, locked)
	if err != nil || len(overdue) == 0 {
		return nil, nil, err
	}
	moved, err := moveOrders(ctx, tx, overdue, awaitingPayment, expired, "payment window over")
	if err != nil {
		return nil, nil, err
	}
	sales, err := returnStock(ctx, tx, moved)
	if err != nil {
		return nil, nil, err
	}
	orders, err := readOrders(ctx, tx, moved)
	return orders, sales, err
}

func collectIDs(ctx context.Context, tx pgx.Tx, sql string, ids []string) ([]string, error) {
	rows, err := tx.Query(ctx, sql, ids)
	if err != nil {
		return nil, fmt.Errorf("collect orders: %w", err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("collect orders: %w", err)
	}
	return found, nil
}
