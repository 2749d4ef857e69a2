package cart

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"livecart/proto"
	"livecart/session/bus"
	"livecart/session/stack/stacktest"
	"livecart/session/store"
)

// market is a shop with a live room "demo", product "tea" (listings tea-s at 1000 and tea-l at 2500)
// and product "pot" (listing pot at 9900) on its shelf, on real servers.
type market struct {
	t       *testing.T
	cfg     Config
	cart    *Cart
	sweeper *sweeper
	pays    *fakeProvider
	// resynced are the sales whose stock came back.
	mu       sync.Mutex
	resynced []string
}

// fakeProvider remembers what it was asked, answers what it was told to, and fails on demand.
type fakeProvider struct {
	mu      sync.Mutex
	created []string
	closed  []string
	refunds []string
	fail    error
	charges map[string]Charge
	// pending says that refunds are accepted and not done.
	pending bool
}

func (p *fakeProvider) Query(_ context.Context, id string) (Charge, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fail != nil {
		return Charge{}, p.fail
	}
	if c, ok := p.charges[id]; ok {
		return c, nil
	}
	return Charge{State: ChargeUnknown}, nil
}

func (p *fakeProvider) Close(_ context.Context, id string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fail != nil {
		return p.fail
	}
	if p.charges[id].State == ChargePaid {
		return ErrChargePaid
	}
	p.closed = append(p.closed, id)
	p.charge(id, Charge{State: ChargeClosed})
	return nil
}

func (p *fakeProvider) Refund(_ context.Context, id, paymentID string, amount int64, currency string) (bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fail != nil {
		return false, p.fail
	}
	p.refunds = append(p.refunds, fmt.Sprintf("%s %s %d%s", id, paymentID, amount, currency))
	return !p.pending, nil
}

// charge sets what Query answers; the lock is held or nobody asks yet.
func (p *fakeProvider) charge(id string, c Charge) {
	if p.charges == nil {
		p.charges = map[string]Charge{}
	}
	p.charges[id] = c
}

func (p *fakeProvider) Create(_ context.Context, id string, amount int64, currency, description string, _ time.Time) (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fail != nil {
		return "", p.fail
	}
	p.created = append(p.created, id)
	return fmt.Sprintf("https://pay.test/%s/%d%s/%s", id, amount, currency, description), nil
}

// Tests on a market run beside one another: most of their time is spent on waiting.
func newMarket(t *testing.T) *market {
	t.Helper()
	t.Parallel()
	pool, err := store.OpenPostgres(t.Context(), stacktest.Postgres(t, store.Migrate))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	rdb, err := store.OpenRedis(t.Context(), stacktest.Redis(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = rdb.Close() })
	b, err := bus.Connect(t.Context(), bus.Config{URL: stacktest.NATS(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	m := &market{t: t, pays: new(fakeProvider)}
	m.cart, err = New(Config{Pool: pool, Redis: rdb, Bus: b, Provider: m.pays})
	if err != nil {
		t.Fatal(err)
	}
	m.cfg = m.cart.cfg
	m.sweeper = newSweeper(m.cfg, func(_ context.Context, saleID string) error {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.resynced = append(m.resynced, saleID)
		return nil
	})
	m.must(m.cart.PutShop(t.Context(), Shop{ID: "shop", Name: "May's", Currency: "CNY"}))
	m.exec(`INSERT INTO room (id, title, phase, host_id, host_name, shop_id) VALUES ('demo', 'Tea', 'live', 'h1', 'May', 'shop')`)
	m.put(tea(), map[string]int64{"k-tea-s": 10, "k-tea-l": 5})
	m.put(pot(), map[string]int64{"k-pot": 3})
	m.must(m.cart.PutOnShelf(t.Context(), "demo", "tea", 0))
	m.must(m.cart.PutOnShelf(t.Context(), "demo", "pot", 0))
	t.Cleanup(m.audit)
	return m
}

func tea() *proto.Product {
	return &proto.Product{Id: "tea", ShopId: "shop", Title: "Tea", ImageUrl: "/tea.svg", OnSale: true, Listings: []*proto.Listing{
		{Id: "tea-s", SkuId: "k-tea-s", Name: "S", Price: 1000}, {Id: "tea-l", SkuId: "k-tea-l", Name: "L", Price: 2500},
	}}
}

func pot() *proto.Product {
	return &proto.Product{Id: "pot", ShopId: "shop", Title: "Pot", OnSale: true, Listings: []*proto.Listing{{Id: "pot", SkuId: "k-pot", Price: 9900}}}
}

func (m *market) must(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
}

// ok is must for goroutines that are not the test's own.
func (m *market) ok(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Error(err)
	}
}

func (m *market) exec(sql string, args ...any) {
	m.t.Helper()
	tag, err := m.pool().Exec(m.t.Context(), sql, args...)
	m.must(err)
	if tag.RowsAffected() == 0 {
		m.t.Fatalf("changed no row: %s", sql)
	}
}

func (m *market) pool() *pgxpool.Pool { return m.cfg.Pool }

func (m *market) put(p *proto.Product, stock map[string]int64) *proto.Product {
	m.t.Helper()
	put, err := m.cart.PutProduct(m.t.Context(), p, stock)
	m.must(err)
	return put
}

// audit checks every invariant, unless the test failed anyhow.
func (m *market) audit() {
	if m.t.Failed() {
		return
	}
	m.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	err := store.InSnapshot(ctx, m.pool(), func(tx pgx.Tx) error {
		found, err := store.Check(ctx, tx, slices.Concat(orderInvariants, sellerInvariants, refundInvariants, paymentInvariants, store.Invariants))
		for _, v := range found {
			m.t.Errorf("invariant %s: %v", v.Invariant, v.Row)
		}
		return err
	})
	if err != nil {
		m.t.Error(err)
	}
}

func scan[T any](m *market, sql string, args ...any) (v T) {
	m.t.Helper()
	m.must(m.pool().QueryRow(m.t.Context(), sql, args...).Scan(&v))
	return v
}

func (m *market) expect(what string, got, want any) {
	m.t.Helper()
	if got != want {
		m.t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func (m *market) refused(err, want error) {
	m.t.Helper()
	if !errors.Is(err, want) {
		m.t.Errorf("got %v, want %v", err, want)
	}
}

func buyer(id string) Buyer { return Buyer{User: &proto.User{Id: id, Name: "N " + id}} }

func items(pairs ...any) *proto.OrderCreate {
	cmd := new(proto.OrderCreate)
	for i := 0; i < len(pairs); i += 2 {
		cmd.Items = append(cmd.Items, &proto.OrderItem{ListingId: pairs[i].(string), Quantity: int32(pairs[i+1].(int))})
	}
	return cmd
}

// create is CreateOrders for what makes one order.
func (m *market) create(ctx context.Context, room string, by Buyer, key string, cmd *proto.OrderCreate) (*proto.Order, error) {
	orders, err := m.cart.CreateOrders(ctx, room, by, key, cmd)
	if err != nil {
		return nil, err
	}
	if len(orders) != 1 {
		return nil, fmt.Errorf("%d orders were made", len(orders))
	}
	return orders[0], nil
}

// order makes an ordinary order of the buyer "ann".
func (m *market) order(key string, pairs ...any) *proto.Order {
	m.t.Helper()
	o, err := m.create(m.t.Context(), "demo", buyer("ann"), key, items(pairs...))
	m.must(err)
	return o
}

// flashOrder puts a sale "s1" of tea-s into the database, where there is none, and an order of it as
// the ledger would write them.
func (m *market) flashOrder(key string, n int) *proto.Order {
	m.t.Helper()
	id := store.NewID("ord")
	m.must(store.InTx(m.t.Context(), m.pool(), func(tx pgx.Tx) error {
		batch := new(pgx.Batch)
		batch.Queue(`WITH s AS (
			INSERT INTO sale (id, room_id, shop_id, product_id, listing_id, sku_id, title, image_url, currency, price, original_price, quantity, per_buyer_limit, starts_at, ends_at)
			VALUES ('s1', 'demo', 'shop', 'tea', 'tea-s', 'k-tea-s', 'Tea', '', 'CNY', 500, 1000, 6, 4, now(), now() + interval '1 hour')
			ON CONFLICT (id) DO NOTHING RETURNING 1)
			UPDATE sku SET moved = moved + 6 WHERE id = 'k-tea-s' AND EXISTS (SELECT FROM s)`)
		batch.Queue(`UPDATE sale SET sold = sold + $1 WHERE id = 's1'`, n)
		batch.Queue(`INSERT INTO orders (id, shop_id, room_id, sale_id, buyer_id, buyer_name, request_id, state, currency, amount, expires_at)
			VALUES ($1, 'shop', 'demo', 's1', 'ann', 'Ann', $2, 'awaiting_payment', 'CNY', 500 * $3::int, now() + interval '5 minutes')`, id, key, n)
		batch.Queue(`INSERT INTO order_line (order_id, n, listing_id, sku_id, title, image_url, quantity, unit_price)
			VALUES ($1, 1, 'tea-s', 'k-tea-s', 'Tea', '', $2, 500)`, id, n)
		batch.Queue(`INSERT INTO order_event (order_id, n, from_state, to_state, cause) VALUES ($1, 1, '', 'awaiting_payment', 'created')`, id)
		batch.Queue(`INSERT INTO attempt (buyer_id, key, kind, hash, sale_id, quantity, outcome, order_id)
			VALUES ('ann', $1, 'flash_buy', 'x', 's1', $2, 'ordered', $3)`, key, n, id)
		return tx.SendBatch(m.t.Context(), batch).Close()
	}))
	o, err := readOrder(m.t.Context(), m.pool(), id)
	m.must(err)
	return o
}

// closeSale closes s1 as the sale's clock would.
func (m *market) closeSale() {
	m.t.Helper()
	m.exec(`WITH s AS (UPDATE sale SET closed_at = clock_timestamp(), close_cause = 'time' WHERE id = 's1' RETURNING sku_id, quantity - sold AS rest)
		UPDATE sku SET moved = moved - s.rest FROM s WHERE sku.id = s.sku_id`)
}

func (m *market) overdue(orderID string) {
	m.t.Helper()
	m.exec(`UPDATE orders SET expires_at = clock_timestamp() - interval '1 second' WHERE id = $1`, orderID)
}

func (m *market) expire(orderID string) {
	m.t.Helper()
	m.overdue(orderID)
	m.must(m.sweeper.expireOrders(m.t.Context()))
	m.expect("state after the sweep", m.state(orderID), expired)
}

func (m *market) state(orderID string) state {
	m.t.Helper()
	return state(scan[string](m, `SELECT state FROM orders WHERE id = $1`, orderID))
}

func (m *market) pay(orderID string) *proto.Payment {
	m.t.Helper()
	p, err := m.cart.Pay(m.t.Context(), "ann", "pay-"+orderID, orderID)
	m.must(err)
	return p
}

func success(p *proto.Payment, event string) Notice {
	return Notice{EventID: event, PaymentID: p.PaymentId, Kind: PaymentSucceeded, Amount: p.Amount, Currency: p.Currency}
}

func (m *market) notice(n Notice) {
	m.t.Helper()
	m.must(m.cart.HandleNotice(m.t.Context(), n))
}

func (m *market) result(event string) string {
	m.t.Helper()
	return scan[string](m, `SELECT result FROM payment_notice WHERE event_id = $1`, event)
}

func (m *market) paymentState(p *proto.Payment) string {
	m.t.Helper()
	return scan[string](m, `SELECT state FROM payment WHERE id = $1`, p.PaymentId)
}

// counts returns a sku's sold and moved.
func (m *market) counts(sku string) [2]int64 {
	m.t.Helper()
	return [2]int64{scan[int64](m, `SELECT sold FROM sku WHERE id = $1`, sku), scan[int64](m, `SELECT moved FROM sku WHERE id = $1`, sku)}
}

// events returns the room's numbered events as kinds.
func (m *market) events(after int64) []*proto.Event {
	m.t.Helper()
	events, err := store.EventsAfter(m.t.Context(), m.pool(), "demo", after, 1000)
	m.must(err)
	return events
}

func (m *market) head() int64 {
	m.t.Helper()
	return scan[int64](m, `SELECT seq FROM room WHERE id = 'demo'`)
}

// listen collects private events until the returned function is called with how many there are.
func (m *market) listen() func(n int) []*proto.PrivateEvent {
	m.t.Helper()
	came := make(chan *proto.PrivateEvent, 1000)
	sub, err := m.cfg.Bus.SubscribePrivate(func(e *proto.PrivateEvents) {
		for _, ev := range e.Events {
			came <- ev
		}
	})
	m.must(err)
	m.t.Cleanup(func() { _ = sub.Close() })
	return func(n int) []*proto.PrivateEvent {
		m.t.Helper()
		var got []*proto.PrivateEvent
		for len(got) < n {
			select {
			case ev := <-came:
				got = append(got, ev)
			case <-time.After(10 * time.Second):
				m.t.Fatalf("%d private events came, not %d", len(got), n)
			}
		}
		return got
	}
}

// waitForLock returns when some session of this database waits for another's lock.
func (m *market) waitForLock() {
	m.t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for scan[int](m, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`) == 0 {
		if time.Now().After(deadline) {
			m.t.Fatal("nobody waits")
		}
		time.Sleep(time.Millisecond)
	}
}

func makeCursorText(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

func goodAddress() *proto.Address {
	return &proto.Address{Name: "李雷", Phone: "+86 138 0013 8000", Country: "CN", Region: "浙江", City: "杭州", Street: "文三路 1 号", PostalCode: "310000"}
}
