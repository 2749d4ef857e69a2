package cart

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"livecart/proto"
	"livecart/session/store"
)

func TestExpiryReturnsStock(t *testing.T) {
	m := newMarket(t)
	ordinary := m.order("k", "tea-s", 2, "pot", 1)
	flash := m.flashOrder("f", 2)
	waiting := m.order("w", "tea-l", 1)
	m.overdue(ordinary.Id)
	m.overdue(flash.Id)
	private := m.listen()
	m.must(m.sweeper.expireOrders(t.Context()))
	m.expect("ordinary", m.state(ordinary.Id), expired)
	m.expect("flash", m.state(flash.Id), expired)
	m.expect("not yet", m.state(waiting.Id), awaitingPayment)
	m.expect("tea-s", m.counts("k-tea-s"), [2]int64{0, 6})
	m.expect("pot", m.counts("k-pot"), [2]int64{0, 0})
	m.expect("sale", scan[int64](m, `SELECT sold FROM sale`), int64(0))
	m.expect("sales to count anew", fmt.Sprint(m.resynced), "[s1]")
	for _, ev := range private(2) {
		m.expect("told", ev.Event.GetOrderUpdated().Order.State, proto.OrderState_ORDER_STATE_EXPIRED)
	}
	m.must(m.sweeper.expireOrders(t.Context()))
	m.expect("events", scan[int](m, `SELECT count(*) FROM order_event WHERE order_id = $1`, ordinary.Id), 2)
}

func TestExpiryAfterTheSaleClosed(t *testing.T) {
	m := newMarket(t)
	o := m.flashOrder("f", 2)
	m.closeSale()
	m.expect("closed", m.counts("k-tea-s"), [2]int64{0, 2})
	m.expire(o.Id)
	m.expect("back in the sku", m.counts("k-tea-s"), [2]int64{0, 0})
	m.expect("nothing to count anew", len(m.resynced), 0)
}

// TestExpiryInManyBatches has two sweepers expire more orders than a batch holds, with one order
// whose data forbids it in the middle.
func TestExpiryInManyBatches(t *testing.T) {
	m := newMarket(t)
	m.put(tea(), map[string]int64{"k-tea-s": 1000})
	const n = 2*sweepBatch + 20
	for i := range n {
		m.order(fmt.Sprint("k", i), "tea-s", 1)
	}
	m.exec(`UPDATE orders SET expires_at = clock_timestamp() - interval '1 minute'`)
	poisoned := m.order("bad", "pot", 1)
	m.exec(`UPDATE orders SET expires_at = clock_timestamp() - interval '1 minute' WHERE id = $1`, poisoned.Id)
	m.exec(`UPDATE sku SET sold = 0 WHERE id = 'k-pot'`)
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() { m.ok(m.sweeper.expireOrders(t.Context())) })
	}
	wg.Wait()
	m.must(m.sweeper.expireOrders(t.Context())) // what one had skipped because the other held it
	m.expect("expired", scan[int](m, `SELECT count(*) FROM orders WHERE state = 'expired'`), n)
	m.expect("the bad one stays", m.state(poisoned.Id), awaitingPayment)
	m.expect("sku", m.counts("k-tea-s"), [2]int64{0, 0})
	m.exec(`UPDATE sku SET sold = 1 WHERE id = 'k-pot'`)
}

// TestExpiryLeavesWhatIsLocked has an order be locked by whoever is about to pay it.
func TestExpiryLeavesWhatIsLocked(t *testing.T) {
	m := newMarket(t)
	o := m.order("k", "tea-s", 1)
	p := m.pay(o.Id)
	m.overdue(o.Id)
	m.must(store.InTx(t.Context(), m.pool(), func(tx pgx.Tx) error {
		_, err := lockOrder(t.Context(), tx, o.Id)
		m.must(err)
		return m.sweeper.expireOrders(t.Context())
	}))
	m.expect("still awaits", m.state(o.Id), awaitingPayment)
	m.notice(success(p, "e"))
	m.expect("paid though overdue", m.state(o.Id), paid)
	m.must(m.sweeper.expireOrders(t.Context()))
	m.expect("stays paid", m.state(o.Id), paid)
}

// A sale whose row stays locked holds up neither the end of another sale nor the orders of others.
func TestLockedSaleHoldsUpNoOther(t *testing.T) {
	m := newMarket(t)
	m.cfg.turnTimeout = 200 * time.Millisecond
	m.sweeper.cfg.turnTimeout = m.cfg.turnTimeout
	m.put(tea(), map[string]int64{"k-tea-s": 1000})
	stuck := m.flashOrder("f", 1)
	m.exec(`UPDATE orders SET expires_at = clock_timestamp() - interval '1 hour' WHERE id = $1`, stuck.Id)
	for i := range sweepBatch {
		m.overdue(m.order(fmt.Sprint("k", i), "tea-s", 1).Id)
	}
	m.exec(`UPDATE sale SET starts_at = now() - interval '2 hours', ends_at = now() - interval '1 minute'`)
	m.exec(`WITH s AS (
		INSERT INTO sale (id, room_id, shop_id, product_id, listing_id, sku_id, title, image_url, currency, price, original_price, quantity, starts_at, ends_at)
		SELECT 's2', room_id, shop_id, product_id, 'tea-l', 'k-tea-l', title, image_url, currency, price, original_price, 1, starts_at, now() - interval '1 second'
		FROM sale WHERE id = 's1')
		UPDATE sku SET moved = 1 WHERE id = 'k-tea-l'`)
	err := pgx.BeginFunc(t.Context(), m.pool(), func(tx pgx.Tx) error {
		if _, err := tx.Exec(t.Context(), `SELECT FROM sale WHERE id = 's1' FOR UPDATE`); err != nil {
			return err
		}
		if err := m.sweeper.expireOrders(t.Context()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the sweep of a locked sale: %v", err)
		}
		if err := endOverdue(t.Context(), m.cfg, m.sweeper.resync); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the end of a locked sale: %v", err)
		}
		return nil
	})
	m.must(err)
	m.expect("others in the batch after", scan[int](m, `SELECT count(*) FROM orders WHERE state = 'expired'`), 1)
	m.expect("closed", scan[string](m, `SELECT string_agg(id, ' ') FROM sale WHERE closed_at IS NOT NULL`), "s2")
	m.sweeper.cfg.turnTimeout = time.Minute // nothing is locked any more: how fast it goes is no matter
	m.must(m.sweeper.expireOrders(t.Context()))
	m.expect("awaiting", scan[int](m, `SELECT count(*) FROM orders WHERE state = 'awaiting_payment'`), 0)
}

// TestExpiryRacesPayment lets notices and sweeps of the same orders run at once: whatever comes
// first, every paid order is paid, since its pieces are still there.
func TestExpiryRacesPayment(t *testing.T) {
	m := newMarket(t)
	m.put(tea(), map[string]int64{"k-tea-s": 40})
	var payments []*proto.Payment
	for i := range 20 {
		o := m.order(fmt.Sprint("k", i), "tea-s", 1)
		payments = append(payments, m.pay(o.Id))
		m.overdue(o.Id)
	}
	var wg sync.WaitGroup
	for i, p := range payments {
		wg.Go(func() { m.ok(m.cart.HandleNotice(t.Context(), success(p, fmt.Sprint("e", i)))) })
		if i%4 == 0 {
			wg.Go(func() { m.ok(m.sweeper.expireOrders(t.Context())) })
		}
	}
	wg.Wait()
	m.expect("paid", scan[int](m, `SELECT count(*) FROM orders WHERE state = 'paid'`), 20)
	m.expect("sold", m.counts("k-tea-s"), [2]int64{20, 0})
}

func TestCancel(t *testing.T) {
	m := newMarket(t)
	o := m.order("k", "tea-s", 2)
	f := m.flashOrder("f", 2)
	_, err := m.cart.Cancel(t.Context(), "bob", "c", o.Id)
	m.refused(err, ErrOrderNotFound)
	_, err = m.cart.Cancel(t.Context(), "ann", "c", "ord_nope")
	m.refused(err, ErrOrderNotFound)
	private := m.listen()
	got, err := m.cart.Cancel(t.Context(), "ann", "c", o.Id)
	m.must(err)
	m.expect("state", got.State, proto.OrderState_ORDER_STATE_CANCELLED)
	m.expect("told", proto.Equal(private(1)[0].Event.GetOrderUpdated().Order, got), true)
	again, err := m.cart.Cancel(t.Context(), "ann", "c", o.Id)
	m.must(err)
	m.expect("again", proto.Equal(again, got), true)
	_, err = m.cart.Cancel(t.Context(), "ann", "c", f.Id)
	m.refused(err, ErrKeyConflict)
	epoch := scan[int64](m, `SELECT epoch FROM sale`)
	_, err = m.cart.Cancel(t.Context(), "ann", "c2", f.Id)
	m.must(err)
	m.expect("the sale was counted anew", scan[int64](m, `SELECT epoch FROM sale`) > epoch, true)
	m.expect("sku", m.counts("k-tea-s"), [2]int64{0, 6})
	m.expect("sale", scan[int64](m, `SELECT sold FROM sale`), int64(0))

	for from, make := range map[state]func(id string){
		expired: func(id string) { m.expire(id) },
		paid:    func(id string) { m.notice(success(m.pay(id), "e")) },
	} {
		o := m.order("k-"+string(from), "tea-l", 1)
		make(o.Id)
		_, err := m.cart.Cancel(t.Context(), "ann", "c-"+string(from), o.Id)
		m.refused(err, ErrOrderState)
		m.expect("state", m.state(o.Id), from)
	}
}

// TestSweeperRuns sees an order and a pop-up end by themselves, and the sweeper end with its context.
func TestSweeperRuns(t *testing.T) {
	m := newMarket(t)
	o := m.order("k", "tea-s", 1)
	m.overdue(o.Id)
	_, err := m.cart.Push(t.Context(), "demo", host, &proto.ProductPush{ProductId: "tea"})
	m.must(err)
	m.exec(`UPDATE pop_up SET until = clock_timestamp()`)
	m.sweeper.cfg.SweepEvery = time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	private := m.listen()
	go func() { ended <- m.sweeper.run(ctx) }()
	private(1)
	deadline := time.Now().Add(10 * time.Second)
	for scan[int](m, `SELECT count(*) FROM pop_up`) > 0 && time.Now().Before(deadline) {
		time.Sleep(time.Millisecond)
	}
	cancel()
	m.must(<-ended)
	m.expect("order", m.state(o.Id), expired)
	m.expect("pop-ups", scan[int](m, `SELECT count(*) FROM pop_up`), 0)
}

func TestKeysArePruned(t *testing.T) {
	m := newMarket(t)
	m.pay(m.order("k", "tea-s", 1).Id)
	m.must(pruneKeys(t.Context(), m.pool()))
	m.expect("young key", scan[int](m, `SELECT count(*) FROM request_key`), 1)
	m.exec(`UPDATE request_key SET at = now() - interval '24 hours 1 second'`)
	m.must(pruneKeys(t.Context(), m.pool()))
	m.expect("old key", scan[int](m, `SELECT count(*) FROM request_key`), 0)
}

// Refusals go after their 24 h; an order's attempt stays with it.
func TestRefusedAttemptsArePruned(t *testing.T) {
	m := newMarket(t)
	m.order("k", "tea-s", 1)
	_, err := m.create(t.Context(), "demo", buyer("ann"), "k2", items("pot", 9))
	m.refused(err, ErrSoldOut)
	m.exec(`UPDATE attempt SET at = now() - interval '23 hours 59 minutes'`)
	m.must(pruneAttempts(t.Context(), m.pool()))
	m.expect("young attempts", scan[int](m, `SELECT count(*) FROM attempt`), 2)
	m.exec(`UPDATE attempt SET at = now() - interval '24 hours 1 second'`)
	m.must(pruneAttempts(t.Context(), m.pool()))
	m.expect("old attempts", scan[string](m, `SELECT string_agg(key, ' ') FROM attempt`), "k")
}
