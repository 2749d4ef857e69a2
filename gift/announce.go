package gift

import (
	"context"
	_ "embed"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"livecart/proto"
	"livecart/session/store"
)

const (
	// attemptAge is how long refused attempts are kept; booked ones stay as long as their tips.
	attemptAge = 24 * time.Hour
	pruneEvery = 10 * time.Minute
	// announceTimeout bounds the wait for NATS, and for the note that tips are announced.
	announceTimeout = 2 * time.Second
)

//go:embed sql/take_unannounced.sql
var takeUnannounced string

// announceAll announces booked batches in their order, whatever waits at once.
func (l *Ledger) announceAll() {
	for tips := range l.booked {
		tips = l.withWaiting(tips)
		ctx, cancel := context.WithTimeout(context.Background(), announceTimeout)
		err := l.publish(ctx, tips)
		if err == nil {
			err = forget(ctx, l.pool, columns(tips, func(t *tip) string { return t.ID }))
		}
		cancel()
		if err != nil {
			l.log.Warn("tip ledger: tips left to the sweep", "tips", len(tips), "err", err)
		}
	}
}

// withWaiting adds the booked batches that wait already, as long as they are not too many for a
// NATS message.
func (l *Ledger) withWaiting(tips []*tip) []*tip {
	for len(tips) <= MaxBatch {
		select {
		case more, open := <-l.booked:
			if !open {
				return tips
			}
			tips = append(tips, more...)
		default:
			return tips
		}
	}
	return tips
}

// publish tells the rooms of committed tips, one message a room, and their senders of their newest
// balance, one message for all. It returns when NATS has taken them.
func (l *Ledger) publish(ctx context.Context, tips []*tip) error {
	rooms := map[string][]*proto.Event{}
	newest := map[string]*tip{}
	for _, t := range tips {
		rooms[t.RoomID] = append(rooms[t.RoomID], t.event())
		if last := newest[t.SenderID]; last == nil || last.Version < t.Version {
			newest[t.SenderID] = t
		}
	}
	for roomID, events := range rooms {
		if err := l.bus.PublishRoom(roomID, events...); err != nil {
			return err
		}
	}
	balances := make([]*proto.PrivateEvent, 0, len(newest))
	for _, t := range newest {
		balances = append(balances, balanceEvent(t.SenderID, t.At, t.wallet()))
	}
	if err := l.bus.PublishPrivate(balances...); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, announceTimeout)
	defer cancel()
	if err := l.bus.Flush(ctx); err != nil {
		return fmt.Errorf("flush announcements: %w", err)
	}
	return nil
}

func forget(ctx context.Context, q store.Querier, tipIDs []string) error {
	if _, err := q.Exec(ctx, `DELETE FROM tip_unannounced WHERE tip_id = ANY ($1)`, tipIDs); err != nil {
		return fmt.Errorf("note announced tips: %w", err)
	}
	return nil
}

// sweepUntil announces what other workers left unannounced and prunes old refusals, until ctx ends.
func (l *Ledger) sweepUntil(ctx context.Context) {
	sweep, prune := time.NewTicker(l.cfg.SweepEvery), time.NewTicker(pruneEvery)
	defer sweep.Stop()
	defer prune.Stop()
	announcing := store.Trouble{Log: l.log, What: "announce waiting tips"}
	pruning := store.Trouble{Log: l.log, What: "prune refused tips"}
	for {
		select {
		case <-ctx.Done():
			return
		case <-sweep.C:
			_, err := l.sweep(ctx)
			announcing.Note(ctx, err)
		case <-prune.C:
			pruning.Note(ctx, l.prune(ctx))
		}
	}
}

// sweep announces tips that have waited too long, batch by batch, and returns how many. They stay
// locked while they are published, so that two workers do not announce the same ones.
func (l *Ledger) sweep(ctx context.Context) (swept int, err error) {
	for {
		n := 0
		err := store.InTx(ctx, l.pool, func(tx pgx.Tx) error {
			rows, err := tx.Query(ctx, takeUnannounced, l.cfg.UnannouncedAfter.Seconds(), MaxBatch)
			if err != nil {
				return fmt.Errorf("take unannounced tips: %w", err)
			}
			ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
			if err != nil {
				return fmt.Errorf("take unannounced tips: %w", err)
			}
			n = len(ids)
			if n == 0 {
				return nil
			}
			tips, err := tipsByID(ctx, tx, ids)
			if err != nil {
				return err
			}
			if err := l.publish(ctx, tips); err != nil {
				return err
			}
			return forget(ctx, tx, ids)
		})
		if err != nil {
			return swept, err
		}
		swept += n
		if n < MaxBatch {
			return swept, nil
		}
	}
}

// prune deletes refusals past their time.
func (l *Ledger) prune(ctx context.Context) error {
	_, err := l.pool.Exec(ctx, `DELETE FROM tip_attempt WHERE outcome <> 'booked' AND at < clock_timestamp() - make_interval(secs => $1)`, attemptAge.Seconds())
	if err != nil {
		return fmt.Errorf("prune refused attempts: %w", err)
	}
	return nil
}
