package fault

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"livecart/cart"
	"livecart/gift"
	"livecart/loadtest"
	"livecart/session/store"
)

// finish ends all faults, waits until nothing is undecided any more, and checks everything: Redis
// against Postgres, the invariants, and what the clients were told.
func (w *world) finish() {
	w.t.Helper()
	w.hub.mend()
	for _, p := range w.processes() {
		p.mend()
	}
	w.settle()
	w.audit()
	w.checkHistory()
	if !w.poisoned {
		w.equal("dead letters", scan[int](w, `SELECT count(*) FROM dead_letter`), 0)
	}
}

// settle waits until the Redis counters of every sale say what Postgres says, nothing pending. Pieces
// that leaked either way never get there.
func (w *world) settle() {
	w.t.Helper()
	w.countAnew()
	type row struct {
		ID             string
		Quantity, Sold int64
		Open           bool
	}
	var difference string
	agrees := func() bool {
		rows, err := w.pool.Query(w.t.Context(), `SELECT id, quantity, sold, closed_at IS NULL AS open FROM sale WHERE resynced_at > '-infinity'`)
		w.must(err)
		sales, err := pgx.CollectRows(rows, pgx.RowToStructByPos[row])
		w.must(err)
		difference = ""
		if n := scan[int](w, `SELECT count(*) FROM sale`); n != len(sales) {
			difference = fmt.Sprintf("%d of %d sales were counted anew", len(sales), n)
		}
		for _, sale := range sales {
			counted, left := w.counters(sale.ID), sale.Quantity-sale.Sold
			if !sale.Open {
				left = 0
			}
			if counted["available"] != strconv.FormatInt(left, 10) || counted["held"] != "0" || w.pending(sale.ID) > 0 {
				difference = fmt.Sprintf("sale %s: %d left in Postgres, %v and %d pending in Redis", sale.ID, left, counted, w.pending(sale.ID))
			}
			if found := w.buyersDiffer(sale.ID); found != "" {
				difference = fmt.Sprintf("sale %s: %s", sale.ID, found)
			}
		}
		return difference == ""
	}
	defer func() {
		if difference != "" {
			w.t.Log(difference)
		}
	}()
	w.until("Redis and Postgres agree", cmp.Or(w.calm, patience), agrees)
}

// countAnew has every sale counted again.
func (w *world) countAnew() {
	w.t.Helper()
	w.exec(`UPDATE sale SET resynced_at = '-infinity'`)
}

// buyersDiffer compares the pieces of each buyer.
func (w *world) buyersDiffer(saleID string) string {
	w.t.Helper()
	counted, err := w.redis.HGetAll(w.t.Context(), saleKey(saleID, "buyers")).Result()
	w.must(err)
	rows, err := w.pool.Query(w.t.Context(), `
		SELECT o.buyer_id, sum(l.quantity - l.restocked)::bigint FROM orders o JOIN order_line l ON l.order_id = o.id
		WHERE o.sale_id = $1 GROUP BY o.buyer_id`, saleID)
	w.must(err)
	var id string
	var pieces int64
	var found []string
	_, err = pgx.ForEachRow(rows, []any{&id, &pieces}, func() error {
		user := store.HashUser(id)
		if counted[user] != strconv.FormatInt(pieces, 10) && (pieces > 0 || counted[user] != "") {
			found = append(found, fmt.Sprintf("%s has %d pieces in Postgres, %q in Redis", id, pieces, counted[user]))
		}
		delete(counted, user)
		return nil
	})
	w.must(err)
	for user, n := range counted {
		if n != "0" {
			found = append(found, fmt.Sprintf("a buyer without orders (%s) has %s pieces in Redis", user, n))
		}
	}
	return strings.Join(found, "; ")
}

// audit checks every invariant in one snapshot, as livecart audit does.
func (w *world) audit() {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), cmp.Or(w.calm, patience))
	defer cancel()
	err := store.InSnapshot(ctx, w.pool, func(tx pgx.Tx) error {
		found, err := store.Check(ctx, tx, slices.Concat(store.Invariants, cart.Invariants, gift.Invariants))
		for _, v := range found {
			w.t.Errorf("invariant %s: %v", v.Invariant, v.Row)
		}
		return err
	})
	w.must(err)
}

// checkHistory holds what clients were told against what is recorded.
func (w *world) checkHistory() {
	w.t.Helper()
	w.mu.Lock()
	records := slices.Clone(w.records)
	w.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), cmp.Or(w.calm, patience))
	defer cancel()
	w.must(store.InSnapshot(ctx, w.pool, func(tx pgx.Tx) error {
		found, err := loadtest.CheckRecords(ctx, tx, records, loadtest.RecordOptions{RedisLost: w.redisLost})
		for _, v := range found {
			w.t.Errorf("%s: %v", v.Check, v.Row)
		}
		return err
	}))
	w.checkStrays(records)
}

// checkStrays holds that every order and tip answers something that somebody sent: the history is of
// everybody.
func (w *world) checkStrays(records []loadtest.Record) {
	w.t.Helper()
	type key struct{ client, kind, key string }
	sent := map[key]bool{}
	for _, r := range records {
		sent[key{r.Client, r.Kind, r.Key}] = true
	}
	rows, err := w.pool.Query(w.t.Context(), `
		SELECT buyer_id, CASE WHEN sale_id IS NULL THEN 'order_create' ELSE 'flash_buy' END, request_id, id FROM orders WHERE split_from IS NULL
		UNION ALL SELECT sender_id, 'gift_send', key, tip_id FROM tip_attempt WHERE tip_id IS NOT NULL`)
	w.must(err)
	var k key
	var id string
	_, err = pgx.ForEachRow(rows, []any{&k.client, &k.kind, &k.key, &id}, func() error {
		if !sent[k] {
			w.t.Errorf("%s answers nothing that was sent: %v", id, k)
		}
		return nil
	})
	w.must(err)
}
