package fault

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"livecart/cart"
	"livecart/gift"
	"livecart/loadtest"
	"livecart/proto"
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
	w.exec(`UPDATE sale SET resynced_at = '-infinity'`)
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
	w.until("Redis and Postgres agree", patience, agrees)
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
	ctx, cancel := context.WithTimeout(context.Background(), patience)
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

// clientKey is what one outcome belongs to.
type clientKey struct{ client, kind, key string }

// checkHistory holds what clients were told against what is recorded.
func (w *world) checkHistory() {
	w.t.Helper()
	w.mu.Lock()
	records := slices.Clone(w.records)
	w.mu.Unlock()
	told := map[clientKey][]loadtest.Record{}
	for _, r := range records {
		k := clientKey{r.Client, r.Kind, r.Key}
		told[k] = append(told[k], r)
	}
	for k, all := range told {
		w.checkOneOutcome(k, all)
	}
	w.checkRows(records, told)
}

// checkOneOutcome holds that a key has one outcome however often it was sent. Sent with other content
// it is a conflict, which is no outcome of the key. What Redis alone refused is lost with Redis.
func (w *world) checkOneOutcome(k clientKey, all []loadtest.Record) {
	w.t.Helper()
	var first *loadtest.Record
	for i, r := range all {
		if !final(r.Outcome) || r.Outcome == string(proto.ReasonIdempotencyConflict) {
			continue
		}
		if first == nil || w.redisLost && byRedis(first.Outcome) {
			first = &all[i]
			continue
		}
		if r.Outcome != first.Outcome || r.OrderID != first.OrderID || r.TipID != first.TipID {
			w.t.Errorf("%v was first %s %s%s and then %s %s%s", k, first.Outcome, first.OrderID, first.TipID, r.Outcome, r.OrderID, r.TipID)
		}
		if r.SaleID != first.SaleID || r.Quantity != first.Quantity || r.GiftID != first.GiftID {
			w.t.Errorf("%v was answered %s for two contents", k, r.Outcome)
		}
	}
}

func byRedis(outcome string) bool {
	return outcome == string(proto.ReasonSoldOut) || outcome == string(proto.ReasonLimitPerBuyer)
}

// checkRows holds that every "ok" of a flash_buy has its order, that a refusal has none, that nobody
// got what nobody asked for, and that nobody was served outside the sale's time, by the clock of
// Postgres.
func (w *world) checkRows(records []loadtest.Record, told map[clientKey][]loadtest.Record) {
	w.t.Helper()
	type row struct {
		ID, Buyer, Key, Sale string
		Pieces               int64
		InTime               bool
	}
	rows, err := w.pool.Query(w.t.Context(), `
		SELECT o.id, o.buyer_id, o.request_id, o.sale_id, (SELECT sum(quantity) FROM order_line WHERE order_id = o.id)::bigint,
		       o.created_at >= s.starts_at AND o.created_at < least(s.ends_at, coalesce(s.closed_at, 'infinity'))
		FROM orders o JOIN sale s ON s.id = o.sale_id`)
	w.must(err)
	orders, err := pgx.CollectRows(rows, pgx.RowToStructByPos[row])
	w.must(err)
	byKey := map[clientKey]row{}
	for _, o := range orders {
		k := clientKey{o.Buyer, "flash_buy", o.Key}
		if before, twice := byKey[k]; twice {
			w.t.Errorf("%v has two orders, %s and %s", k, before.ID, o.ID)
		}
		byKey[k] = o
		if told[k] == nil {
			w.t.Errorf("order %s answers nothing that %s sent", o.ID, o.Buyer)
		}
		if !o.InTime {
			w.t.Errorf("order %s was made outside the time of sale %s", o.ID, o.Sale)
		}
	}
	for _, r := range records {
		if r.Kind != "flash_buy" {
			continue
		}
		o, made := byKey[clientKey{r.Client, r.Kind, r.Key}]
		switch {
		case r.Outcome == "ok" && (!made || o.ID != r.OrderID || o.Sale != r.SaleID || o.Pieces != r.Quantity):
			w.t.Errorf("%s was told order %s of %d pieces of %s under %s, recorded is %+v", r.Client, r.OrderID, r.Quantity, r.SaleID, r.Key, o)
		case made && final(r.Outcome) && r.Outcome != "ok" && r.Outcome != string(proto.ReasonIdempotencyConflict) && !(w.redisLost && byRedis(r.Outcome)):
			w.t.Errorf("%s was told %s under %s, recorded is order %s", r.Client, r.Outcome, r.Key, o.ID)
		}
	}
}
