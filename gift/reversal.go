package gift

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"livecart/session/store"
)

// maxReason is how many characters the reason of a reversal has at most; the least is 1.
const maxReason = 200

// Reversal is the opposite of a tip: its sender has the beans back, its host and the platform have
// given up their parts.
type Reversal struct {
	ID, TipID, RoomID, HostID, SenderID string
	Beans, HostBeans, FeeBeans          int64
	Reason                              string
	At                                  time.Time
	// The sender's wallet after it.
	Balance, Version int64
}

//go:embed sql/insert_reversal.sql
var insertReversal string

const reversalColumns = `SELECT id, tip_id, room_id, host_id, sender_id, beans, host_beans, fee_beans, reason, at, balance, version FROM tip_reversal `

// ReverseTip takes a tip back, with a reason of 1 to 200 characters: the sender gets the beans and is
// told, the ranking forgets them, and the host's part counts against what the host earns. Where that
// has been settled already the host is in debt, see [Gifts.Settle]. What the room saw is not taken
// back, and a combo keeps its count. A tip is reversed once: asked again, under any key, it is the
// same reversal. Refusals: [ErrUnknownTip], and [ErrKeyConflict] for a key that by has used for
// another tip or reason.
func (g *Gifts) ReverseTip(ctx context.Context, tipID, by, key, reason string) (*Reversal, error) {
	if !store.ValidID(tipID) {
		return nil, ErrUnknownTip
	}
	if n := utf8.RuneCountInString(reason); n < 1 || n > maxReason || !storable(reason) {
		return nil, invalid("a reversal has a reason of 1 to %d characters", maxReason)
	}
	if err := checkKeyed(by, key); err != nil {
		return nil, err
	}
	var r *Reversal
	var isNew bool
	err := store.InTx(ctx, g.pool, func(tx pgx.Tx) (err error) {
		r, isNew, err = reverse(ctx, tx, tipID, by, key, reason)
		return err
	})
	switch {
	case store.Violates(err, "tip_reversal_key"):
		return nil, ErrKeyConflict // another tip's, at the same time
	case err != nil:
		return nil, wrap(err, "reverse tip %s", tipID)
	}
	g.cfg.announce(r.SenderID, credit{balance: r.Balance, version: r.Version, at: r.At, isNew: isNew})
	return r, nil
}

func reverse(ctx context.Context, tx pgx.Tx, tipID, by, key, reason string) (_ *Reversal, isNew bool, err error) {
	tips, err := tipsByID(ctx, tx, []string{tipID})
	if err != nil {
		return nil, false, err
	}
	if len(tips) == 0 {
		return nil, false, ErrUnknownTip
	}
	t := tips[0]
	// A settlement of the host waits for us or we for it, so that it misses no reversal before its time.
	if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock_shared(`+hostLock+`)`, t.HostID); err != nil {
		return nil, false, fmt.Errorf("lock host: %w", err)
	}
	if _, err := lockWallet(ctx, tx, t.SenderID); err != nil {
		return nil, false, err
	}
	var other bool
	err = tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM tip_reversal WHERE by_id = $1 AND key = $2 AND (tip_id <> $3 OR reason <> $4))`,
		by, key, tipID, reason).Scan(&other)
	if err != nil {
		return nil, false, fmt.Errorf("read key: %w", err)
	}
	if other {
		return nil, false, ErrKeyConflict
	}
	if old, err := readReversal(ctx, tx, tipID); old != nil || err != nil {
		return old, false, err
	}
	r := &Reversal{
		ID: store.NewID("rev"), TipID: t.ID, RoomID: t.RoomID, HostID: t.HostID, SenderID: t.SenderID,
		Beans: t.Beans, HostBeans: t.HostBeans, FeeBeans: t.FeeBeans, Reason: reason,
	}
	if r.Balance, r.Version, r.At, err = moveBeans(ctx, tx, t.SenderID, t.Beans); err != nil {
		return nil, false, err
	}
	if _, err := tx.Exec(ctx, insertReversal, r.ID, tipID, reason, by, key, r.Balance, r.Version, r.At); err != nil {
		return nil, false, fmt.Errorf("write reversal: %w", err)
	}
	_, err = tx.Exec(ctx, `UPDATE room_sender SET beans = beans - $3, tips = tips - 1 WHERE room_id = $1 AND sender_id = $2`, t.RoomID, t.SenderID, t.Beans)
	if err == nil {
		_, err = tx.Exec(ctx, `DELETE FROM room_sender WHERE room_id = $1 AND sender_id = $2 AND tips = 0`, t.RoomID, t.SenderID)
	}
	if err != nil {
		return nil, false, fmt.Errorf("take from ranking: %w", err)
	}
	return r, true, nil
}

// readReversal returns a tip's reversal, nil where there is none.
func readReversal(ctx context.Context, q store.Querier, tipID string) (*Reversal, error) {
	r := new(Reversal)
	err := q.QueryRow(ctx, reversalColumns+`WHERE tip_id = $1`, tipID).Scan(&r.ID, &r.TipID, &r.RoomID, &r.HostID, &r.SenderID,
		&r.Beans, &r.HostBeans, &r.FeeBeans, &r.Reason, &r.At, &r.Balance, &r.Version)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read reversal: %w", err)
	}
	return r, nil
}
