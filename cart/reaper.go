package cart

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"livecart/proto"
	"livecart/session/store"
)

const (
	// reapGap is the longest stretch between two answers that counts as answering throughout.
	reapGap = 10 * time.Second
	// forgetAfter is how long a sale is remembered beyond Config.ReapAfter that is not looked at: it was
	// closed.
	forgetAfter = 30 * time.Second
)

// reaper ends reservations that nobody resolves: a gateway died with them. It first writes void
// under their keys in Postgres, under the sale's lock, so that a late request meets the void; only
// the Resync after it gives the stock back.
//
// A reservation's age counts only time in which the ledger answered this process: while it does not,
// gateways are still asking. Not safe for concurrent use.
type reaper struct {
	cfg Config
	// Time in which the ledger answered, since the process began, and when it last did.
	answered   time.Duration
	answeredAt time.Time
	// The sales with reservations that are not decided.
	seen map[string]watch
}

// watch is what the reaper knows of one sale, by its reading of answered.
type watch struct {
	lookedAt time.Duration
	// When each reservation was first seen.
	since map[sighting]time.Duration
}

// sighting is one reservation of a key, which may be released and reserved again.
type sighting struct {
	attemptKey
	at string
}

func newReaper(cfg Config) *reaper {
	return &reaper{cfg: cfg, seen: map[string]watch{}}
}

// probe asks the ledger whether it is there, as gateways do, and lets the time of the reservations
// pass that were seen. Without any there is nothing to ask.
func (r *reaper) probe(ctx context.Context) error {
	if len(r.seen) == 0 {
		r.silent()
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	if err := r.cfg.Bus.Request(ctx, busFlash, new(proto.FlashBatch), new(proto.FlashDecisions)); err != nil {
		r.silent()
		return fmt.Errorf("probe the ledger: %w", err)
	}
	r.pass(time.Now())
	return nil
}

// silent says that the ledger does not answer, or cannot: time does not pass until it does.
func (r *reaper) silent() { r.answeredAt = time.Time{} }

func (r *reaper) pass(now time.Time) {
	if gap := now.Sub(r.answeredAt); !r.answeredAt.IsZero() && gap <= reapGap {
		r.answered += gap
	}
	r.answeredAt = now
	for saleID, w := range r.seen {
		if r.answered-w.lookedAt >= r.cfg.ReapAfter+forgetAfter {
			delete(r.seen, saleID)
		}
	}
}

// ripe returns the sales with a reservation that is overdue unless somebody resolved it meanwhile. Each
// process looks at those it has seen itself: with many of them a sale's turns go around, and the next
// turn of this one may be a long time off.
func (r *reaper) ripe() []string {
	var ids []string
	for saleID, w := range r.seen {
		for _, first := range w.since {
			if r.answered-first >= r.cfg.ReapAfter {
				ids = append(ids, saleID)
				break
			}
		}
	}
	return ids
}

// overdue notes a sale's undecided reservations and returns those that have been seen for too long.
// What is not among them any more is forgotten.
func (r *reaper) overdue(saleID string, undecided []reservation) []reservation {
	before := r.seen[saleID].since
	now := make(map[sighting]time.Duration, len(undecided))
	var late []reservation
	for _, p := range undecided {
		one := sighting{p.attemptKey, p.at}
		first, known := before[one]
		if !known {
			first = r.answered
		}
		now[one] = first
		if r.answered-first >= r.cfg.ReapAfter {
			late = append(late, p)
		}
	}
	if len(now) == 0 {
		delete(r.seen, saleID)
	} else {
		r.seen[saleID] = watch{lookedAt: r.answered, since: now}
	}
	return late
}

// void records that reservations were given up. A key that was decided in the meantime stays so.
func (r *reaper) void(ctx context.Context, saleID string, late []reservation) error {
	err := store.InTx(ctx, r.cfg.Pool, func(tx pgx.Tx) error {
		if _, _, err := lockSale(ctx, tx, saleID); err != nil {
			return err
		}
		var rows attemptRows
		for _, p := range late {
			rows.add(&proto.FlashAttempt{SaleId: saleID, Buyer: &proto.User{Id: p.buyerID}, Key: p.key, Hash: p.hash, Quantity: p.quantity}, outcomeVoid, "")
		}
		_, err := tx.Exec(ctx, insertAttemptsSQL, rows.args()...)
		return err
	})
	if err != nil {
		return fmt.Errorf("void %d reservations of sale %s: %w", len(late), saleID, err)
	}
	r.cfg.Log.Warn("reservations that nobody resolved were voided", "sale", saleID, "reservations", len(late))
	return nil
}
