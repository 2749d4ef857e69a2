package cart

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"livecart/proto"
	"livecart/session/store"
)

// stall is a market with one flash sale of tea-s at 500 (normally 1000), and gateways and ledgers
// that run until the test ends.
type stall struct {
	*market
	sale *proto.FlashSale
}

// newStall opens a sale for an hour; a limit of 0 is none.
func newStall(t *testing.T, quantity int64, limit int32) *stall {
	t.Helper()
	s := &stall{market: newMarket(t)}
	s.exec(`UPDATE sku SET stock = $1 WHERE id = 'k-tea-s'`, quantity+10)
	s.runGateway(s.cart)
	s.sale = s.start(&proto.FlashStart{ListingId: "tea-s", Price: 500, Quantity: quantity, PerBuyerLimit: limit, DurationMs: time.Hour.Milliseconds()})
	t.Cleanup(func() {
		if !t.Failed() {
			s.auditSales()
		}
	})
	return s
}

func (s *stall) start(cmd *proto.FlashStart) *proto.FlashSale {
	s.t.Helper()
	sale, err := s.cart.StartSale(s.t.Context(), "demo", host, store.NewID("start"), cmd)
	s.must(err)
	return sale
}

func (s *stall) auditSales() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	s.ok(store.InSnapshot(ctx, s.pool(), func(tx pgx.Tx) error {
		found, err := store.Check(ctx, tx, saleInvariants)
		for _, v := range found {
			s.t.Errorf("invariant %s: %v", v.Invariant, v.Row)
		}
		return err
	}))
}

// background runs fn until the returned stop is called or the test ends.
func (s *stall) background(fn func(context.Context) error) (stop func()) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- fn(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		s.ok(<-done)
	})
	s.t.Cleanup(stop)
	return stop
}

func (s *stall) runGateway(c *Cart) (stop func()) { return s.background(c.Run) }

// gateway returns one more gateway.
func (s *stall) gateway() *Cart {
	s.t.Helper()
	c, err := New(s.cfg)
	s.must(err)
	s.runGateway(c)
	return c
}

// ledger runs one more ledger worker.
func (s *stall) ledger() (stop func()) {
	s.t.Helper()
	l, err := NewLedger(s.cfg)
	s.must(err)
	stop = s.background(l.Run)
	s.until("the ledger answers", func() bool {
		ctx, cancel := context.WithTimeout(s.t.Context(), time.Second)
		defer cancel()
		return s.cfg.Bus.Request(ctx, busFlash, new(proto.FlashBatch), new(proto.FlashDecisions)) == nil
	})
	return stop
}

// until polls for at most 20 s.
func (s *stall) until(what string, holds func() bool) {
	s.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !holds(); {
		if time.Now().After(deadline) {
			s.t.Fatalf("never: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func (s *stall) buy(c *Cart, who, key string, n int32) (*proto.Order, error) {
	return c.Buy(s.t.Context(), "demo", buyer(who), key, &proto.FlashBuy{SaleId: s.sale.Id, Quantity: n})
}

// crowd has n buyers ask for one piece each, at once over the given gateways, and returns their
// answers by buyer.
func (s *stall) crowd(name string, n int, gateways ...*Cart) map[string]error {
	var mu sync.Mutex
	answers := map[string]error{}
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			who := fmt.Sprintf("%s-%d", name, i)
			_, err := s.buy(gateways[i%len(gateways)], who, "k", 1)
			mu.Lock()
			defer mu.Unlock()
			answers[who] = err
		})
	}
	wg.Wait()
	return answers
}

func (s *stall) sold() int64 {
	s.t.Helper()
	return scan[int64](s.market, `SELECT sold FROM sale WHERE id = $1`, s.sale.Id)
}

func (s *stall) orders() int64 {
	s.t.Helper()
	return scan[int64](s.market, `SELECT count(*) FROM orders WHERE sale_id = $1`, s.sale.Id)
}

// counters returns available and held as Redis has them, and how many keys are pending.
func (s *stall) counters() (available, held string, pending int64) {
	s.t.Helper()
	keys := saleKeys(s.sale.Id)
	got, err := s.cfg.Redis.HMGet(s.t.Context(), keys[0], "available", "held").Result()
	s.must(err)
	pending, err = s.cfg.Redis.HLen(s.t.Context(), keys[1]).Result()
	s.must(err)
	return fmt.Sprint(got[0]), fmt.Sprint(got[1]), pending
}

func (s *stall) settled() {
	s.t.Helper()
	s.until("all is settled", func() bool { _, _, n := s.counters(); return n == 0 })
}

// roomEvents collects what the room is told from now on.
func (s *stall) roomEvents() func() []*proto.Event {
	s.t.Helper()
	var mu sync.Mutex
	var events []*proto.Event
	sub, err := s.cfg.Bus.SubscribeRoom("demo", func(e *proto.RoomEvents) {
		mu.Lock()
		defer mu.Unlock()
		events = append(events, e.Events...)
	})
	s.must(err)
	s.t.Cleanup(func() { s.ok(sub.Close()) })
	return func() []*proto.Event {
		mu.Lock()
		defer mu.Unlock()
		return append([]*proto.Event(nil), events...)
	}
}

// heard reports whether some event passes.
func heard(events []*proto.Event, pass func(*proto.Event) bool) bool {
	for _, ev := range events {
		if pass(ev) {
			return true
		}
	}
	return false
}
