package cart

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"livecart/proto"
	"livecart/session/stack/stacktest"
	"livecart/session/store"
)

// keepAsking has buyers ask for a piece each until they have one or are told that there is none;
// who is told to try again does, under the same key.
func (s *stall) keepAsking(name string, n int, gateways ...*Cart) (ordered int64) {
	var count atomic.Int64
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			who := fmt.Sprintf("%s-%d", name, i)
			for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
				_, err := s.buy(gateways[rand.IntN(len(gateways))], who, "k", 1)
				switch {
				case err == nil:
					count.Add(1)
					return
				case errors.Is(err, ErrTryAgain) || errors.Is(err, ErrPending) || errors.Is(err, ErrBusy) || errors.Is(err, ErrRateLimited):
					time.Sleep(20 * time.Millisecond)
				case errors.Is(err, ErrSoldOut):
					return
				default:
					s.t.Errorf("%s: %v", who, err)
					return
				}
			}
			s.t.Errorf("%s has no outcome", who)
		})
	}
	wg.Wait()
	return count.Load()
}

// Redis loses everything again and again while a crowd buys: never oversold, and in the end
// everything is sold.
func TestRedisLostMidSale(t *testing.T) {
	s := newStall(t, 200, 1)
	s.ledger()
	s.ledger()
	other := s.gateway()
	done := make(chan struct{})
	var flushes sync.WaitGroup
	flushes.Go(func() {
		for {
			select {
			case <-done:
				return
			case <-time.After(3 * time.Millisecond):
				s.ok(s.cfg.Redis.FlushDB(context.Background()).Err())
			}
		}
	})
	ordered := s.keepAsking("v", 150, s.cart, other)
	close(done)
	flushes.Wait()
	s.must(s.cart.Resync(t.Context(), s.sale.Id))
	ordered += s.keepAsking("w", 300, s.cart, other)
	s.expect("confirmed", ordered, int64(200))
	s.expect("orders", s.orders(), int64(200))
	s.expect("sold", s.sold(), int64(200))
}

// A buyer repeats the key of an order after Redis has forgotten it and everything is sold.
func TestOrderIsFoundAfterRedisLost(t *testing.T) {
	s := newStall(t, 2, 1)
	s.ledger()
	first, err := s.buy(s.cart, "ann", "k", 1)
	s.must(err)
	_, err = s.buy(s.cart, "ann", "k2", 1)
	s.refused(err, ErrLimitPerBuyer)
	_, err = s.buy(s.cart, "bob", "k", 1)
	s.must(err)
	s.settled()
	s.must(s.cfg.Redis.FlushDB(t.Context()).Err())
	again, err := s.buy(s.cart, "ann", "k", 1)
	s.must(err)
	s.expect("order", again.Id, first.Id)
	_, err = s.buy(s.cart, "cid", "k", 1)
	s.refused(err, ErrSoldOut)
}

// Another Redis server, which has the old counters from a file, is noticed by its run id.
func TestAnotherRedisServer(t *testing.T) {
	server := stacktest.PrivateRedis(t)
	s := newStall(t, 10, 0)
	rdb, err := store.OpenRedis(t.Context(), server.URL)
	s.must(err)
	defer rdb.Close()
	s.cfg.Redis = rdb
	gateway := s.gateway()
	s.ledger()
	_, err = s.buy(gateway, "ann", "k", 1)
	s.must(err)
	s.settled()
	// What the file says is older than what Postgres knows.
	s.must(rdb.HSet(t.Context(), saleKeys(s.sale.Id)[0], "available", 99).Err())
	before := scan[string](s.market, `SELECT redis_run FROM sale`)
	server.Restart()
	s.until("it is counted anew", func() bool {
		available, err := rdb.HGet(t.Context(), saleKeys(s.sale.Id)[0], "available").Result()
		run := scan[string](s.market, `SELECT redis_run FROM sale`)
		return err == nil && available == "9" && run != before && run != ""
	})
	s.expect("sold", s.keepAsking("v", 15, gateway), int64(9))
}

// Redis is away: attempts are told to try again; it comes back empty: everything is sold.
func TestRedisAway(t *testing.T) {
	server := stacktest.PrivateRedis(t)
	s := newStall(t, 5, 0)
	rdb, err := store.OpenRedis(t.Context(), server.URL)
	s.must(err)
	defer rdb.Close()
	s.cfg.Redis = rdb
	gateway := s.gateway()
	s.ledger()
	_, err = s.buy(gateway, "ann", "k", 1)
	s.must(err)
	server.Stop()
	_, err = s.buy(gateway, "bob", "k", 1)
	s.refused(err, ErrTryAgain)
	server.Start()
	s.must(rdb.FlushAll(t.Context()).Err())
	// Its memory is full.
	s.must(rdb.ConfigSet(t.Context(), "maxmemory", "1").Err())
	_, err = s.buy(gateway, "cid", "k", 1)
	s.refused(err, ErrTryAgain)
	s.must(rdb.ConfigSet(t.Context(), "maxmemory", "0").Err())
	s.expect("sold", s.keepAsking("v", 10, gateway), int64(4))
}

// Stock that expires comes back through Resync: the sale reopens, the buyer's limit too.
func TestExpiryReopensTheSale(t *testing.T) {
	s := newStall(t, 1, 1)
	s.ledger()
	events := s.roomEvents()
	order, err := s.buy(s.cart, "ann", "k", 1)
	s.must(err)
	_, err = s.buy(s.cart, "bob", "k", 1)
	s.refused(err, ErrSoldOut)
	soldOut := func(n int) func() bool {
		return func() bool {
			count := 0
			for _, ev := range events() {
				if ev.GetFlashSoldOut() != nil {
					count++
				}
			}
			return count == n
		}
	}
	s.until("sold out", soldOut(1))
	s.settled()
	s.exec(`UPDATE orders SET expires_at = clock_timestamp() - interval '1 second' WHERE id = $1`, order.Id)
	s.until("the room sees it open", func() bool {
		all := events()
		for i := len(all) - 1; i >= 0; i-- {
			if stock := all[i].GetFlashStock(); stock != nil {
				return stock.Available == 1
			}
		}
		return false
	})
	again, err := s.buy(s.cart, "ann", "k2", 1)
	s.must(err)
	if again.Id == order.Id {
		t.Error("the expired order came back")
	}
	old, err := s.buy(s.cart, "ann", "k", 1)
	s.must(err)
	s.expect("the old key", old.State, proto.OrderState_ORDER_STATE_EXPIRED)
	s.until("sold out again", soldOut(2))
}

// Resyncs race a crowd; buyers cancel. Never oversold, and with enough demand all is sold.
func TestResyncRacesBuying(t *testing.T) {
	s := newStall(t, 60, 1)
	s.ledger()
	s.ledger()
	other := s.gateway()
	done := make(chan struct{})
	var resyncs sync.WaitGroup
	for range 2 {
		resyncs.Go(func() {
			for {
				select {
				case <-done:
					return
				case <-time.After(2 * time.Millisecond): // without it they would keep the row's lock among themselves
					s.ok(other.Resync(context.Background(), s.sale.Id))
				}
			}
		})
	}
	confirmed := s.keepAsking("v", 40, s.cart, other)
	rows, err := s.pool().Query(t.Context(), `SELECT id, buyer_id FROM orders WHERE sale_id = $1 ORDER BY id LIMIT 15`, s.sale.Id)
	s.must(err)
	cancelled := int64(0)
	var id, who string
	var ids, buyers []string
	_, err = pgx.ForEachRow(rows, []any{&id, &who}, func() error {
		ids, buyers = append(ids, id), append(buyers, who)
		return nil
	})
	s.must(err)
	for i := range ids {
		_, err := s.cart.Cancel(t.Context(), buyers[i], "c", ids[i])
		s.must(err)
		cancelled++
	}
	close(done)
	resyncs.Wait()
	s.must(s.cart.Resync(t.Context(), s.sale.Id))
	confirmed += s.keepAsking("w", 120, s.cart, other)
	s.expect("confirmed", confirmed-cancelled, int64(60))
	s.expect("sold", s.sold(), int64(60))
	s.settled()
	available, held, _ := s.counters()
	s.expect("counters", available+" "+held, "0 0")
}

// The buyers' pieces in Redis are loaded in chunks and follow their orders.
func TestResyncCountsBuyers(t *testing.T) {
	s := newStall(t, 20, 3)
	s.ledger()
	_, err := s.buy(s.cart, "ann", "k", 3)
	s.must(err)
	order, err := s.buy(s.cart, "bob", "k", 2)
	s.must(err)
	s.settled()
	pieces := func(who string) string {
		n, err := s.cfg.Redis.HGet(t.Context(), saleKeys(s.sale.Id)[2], store.HashUser(who)).Result()
		if err != nil {
			return err.Error()
		}
		return n
	}
	s.expect("ann", pieces("ann"), "3")
	_, err = s.cart.Cancel(t.Context(), "bob", "c", order.Id)
	s.must(err)
	s.expect("bob after the cancellation", pieces("bob"), "0")
	s.must(s.cfg.Redis.FlushDB(t.Context()).Err())
	s.must(s.cart.Resync(t.Context(), s.sale.Id))
	s.expect("ann after the loss", pieces("ann"), "3")
	s.expect("bob after the loss", pieces("bob"), "0")
	available, held, _ := s.counters()
	s.expect("counters", available+" "+held, "17 0")
}

// Orders that had no reservation when the ledger decided them: Redis lost one, and one was released before
// another sending of its key came through. The next Resync counts their buyers.
func TestOrderWithoutReservationIsCounted(t *testing.T) {
	s := newStall(t, 20, 3)
	_, err := s.cart.admission.callReserve(place{s.sale.Id, "demo"}, []*bid{s.bid(s.sale.Id, "ann", "k"), s.bid(s.sale.Id, "bob", "k")})
	s.must(err)
	keys := saleKeys(s.sale.Id)
	s.must(s.cfg.Redis.HDel(t.Context(), keys[1], store.HashUser("ann")+":k").Err())
	s.must(s.cfg.Redis.HDel(t.Context(), keys[2], store.HashUser("ann")).Err())
	s.cart.admission.release(s.sale.Id, []*bid{s.bid(s.sale.Id, "bob", "k")})

	l, err := newSaleLedger(s.cfg)
	s.must(err)
	decide := func() {
		for _, who := range []string{"ann", "bob"} {
			got := l.book(t.Context(), []*proto.FlashAttempt{s.bid(s.sale.Id, who, "k").attempt})
			s.expect(who, got.decisions[0].Outcome, outcomeOrdered)
			settleAttempts(t.Context(), s.cfg, got.asked, got.decisions)
		}
	}
	strays := func() int64 { return s.cfg.Redis.HLen(t.Context(), keys[4]).Val() }
	decide()
	s.expect("strays", strays(), int64(2))
	if ttl, err := s.cfg.Redis.TTL(t.Context(), keys[4]).Result(); err != nil || ttl <= 0 {
		t.Errorf("strays are kept for %v, %v", ttl, err)
	}
	s.must(s.cart.Resync(t.Context(), s.sale.Id))
	s.expect("ann's pieces in Redis", s.piecesInRedis(s.sale.Id, "ann"), "1")
	s.expect("bob's pieces in Redis", s.piecesInRedis(s.sale.Id, "bob"), "1")
	available, held, pending := s.counters()
	s.expect("counters", fmt.Sprint(available, held, pending), fmt.Sprint("18", "0", 0))
	s.expect("strays after the count", strays(), int64(0))
	decide()
	s.expect("strays after a repeat", strays(), int64(0))
}

// A key is released, ordered for another sending, counted as that order, and reserved once more: it counts
// once, whether the ledger's answer ends the reservation or a Resync finds it decided.
func TestReservedOnceMoreIsCountedOnce(t *testing.T) {
	for _, settled := range []bool{true, false} {
		t.Run(fmt.Sprintf("settled=%v", settled), func(t *testing.T) {
			s := newStall(t, 20, 3)
			ann := s.bid(s.sale.Id, "ann", "k")
			reserve := func() {
				words, err := s.cart.admission.callReserve(place{s.sale.Id, "demo"}, []*bid{ann})
				s.must(err)
				s.expect("the word", words[0], "reserved")
			}
			reserve()
			s.cart.admission.release(s.sale.Id, []*bid{ann})
			l, err := newSaleLedger(s.cfg)
			s.must(err)
			got := l.book(t.Context(), []*proto.FlashAttempt{ann.attempt})
			s.expect("decision", got.decisions[0].Outcome, outcomeOrdered)
			s.must(s.cfg.Redis.HSet(t.Context(), saleKeys(s.sale.Id)[4], store.HashUser("ann"), "ann").Err())
			s.must(s.cart.Resync(t.Context(), s.sale.Id))
			s.expect("pieces of the order", s.piecesInRedis(s.sale.Id, "ann"), "1")
			reserve()
			if settled {
				settleAttempts(t.Context(), s.cfg, got.asked, got.decisions)
			}
			s.must(s.cart.Resync(t.Context(), s.sale.Id))
			s.expect("pieces after the end of the reservation", s.piecesInRedis(s.sale.Id, "ann"), "1")
			available, held, pending := s.counters()
			s.expect("counters", fmt.Sprint(available, held, pending), fmt.Sprint("19", "0", 0))
		})
	}
}

// An order without a reservation whose outcome was never settled, because its worker died, is counted by the
// next Resync where Redis has lost reservations before.
func TestOrderIsCountedWithoutSettling(t *testing.T) {
	s := newStall(t, 20, 3)
	stop := s.ledger()
	_, err := s.buy(s.cart, "eve", "k", 1)
	s.must(err)
	s.settled()
	stop()
	s.must(s.cfg.Redis.FlushDB(t.Context()).Err())
	s.must(s.cart.Resync(t.Context(), s.sale.Id))
	l, err := newSaleLedger(s.cfg)
	s.must(err)
	got := l.book(t.Context(), []*proto.FlashAttempt{s.bid(s.sale.Id, "ann", "k").attempt})
	s.expect("decision", got.decisions[0].Outcome, outcomeOrdered)
	s.must(s.cart.Resync(t.Context(), s.sale.Id))
	s.expect("pieces in Redis", s.piecesInRedis(s.sale.Id, "ann"), "1")
}

// More buyers than one command loads.
func TestResyncLoadsManyBuyers(t *testing.T) {
	s := newStall(t, 5, 0)
	const many = 2*buyersChunk + 1
	s.exec(`INSERT INTO attempt (buyer_id, key, kind, hash, sale_id, quantity, outcome)
		SELECT 'v' || n, 'k', 'flash_buy', '\x01', $1, 1, 'sold_out' FROM generate_series(1, $2) AS n`, s.sale.Id, many)
	s.must(s.cfg.Redis.FlushDB(t.Context()).Err())
	s.must(s.cart.Resync(t.Context(), s.sale.Id))
	n, err := s.cfg.Redis.HLen(t.Context(), saleKeys(s.sale.Id)[2]).Result()
	s.must(err)
	s.expect("buyers", n, int64(many))
	s.ledger()
	_, err = s.buy(s.cart, "new", "k", 1)
	s.must(err)
}

// A buyer repeats the key of an order after Redis has forgotten it, while there is stock and the limit
// leaves room: nothing is reserved for the repeat, and the rest of the limit is still the buyer's.
func TestRepeatAfterRedisLostHoldsNothing(t *testing.T) {
	s := newStall(t, 3, 2)
	s.ledger()
	first, err := s.buy(s.cart, "ann", "k", 1)
	s.must(err)
	s.settled()
	s.must(s.cfg.Redis.FlushDB(t.Context()).Err())
	again, err := s.buy(s.cart, "ann", "k", 1)
	s.must(err)
	s.expect("order", again.Id, first.Id)
	s.settled()
	available, held, _ := s.counters()
	s.expect("counters", available+" "+held, "2 0")
	_, err = s.buy(s.cart, "ann", "k2", 1)
	s.must(err)
	_, err = s.buy(s.cart, "ann", "k3", 1)
	s.refused(err, ErrLimitPerBuyer)
	_, err = s.buy(s.cart, "bob", "k", 1)
	s.must(err)
	s.expect("sold", s.sold(), int64(3))
}

// Redis has come back with counters from a file that lacks an order, and no keeper has had its turn
// yet: the order's key finds its order, and only a count by this server refuses anybody.
func TestOldCountersRefuseNobody(t *testing.T) {
	s := newStall(t, 2, 1)
	s.ledger()
	first, err := s.buy(s.cart, "ann", "k", 1)
	s.must(err)
	s.settled()
	keys := saleKeys(s.sale.Id)
	for name, old := range map[string]map[string]any{
		"sold out": {"run": "another", "available": 0},
		"limit":    {"run": "another", "available": 5},
		"unnamed":  {"run": "", "available": 0},
	} {
		t.Run(name, func(t *testing.T) {
			s.must(s.cfg.Redis.HDel(t.Context(), saleKeys(s.sale.Id)[3], store.HashUser("ann")+":k").Err())
			s.must(s.cfg.Redis.HSet(t.Context(), keys[2], store.HashUser("ann"), 1).Err())
			s.must(s.cfg.Redis.HSet(t.Context(), keys[0], old).Err())
			again, err := s.buy(s.cart, "ann", "k", 1)
			s.must(err)
			s.expect("order", again.Id, first.Id)
		})
	}
	_, err = s.buy(s.cart, "bob", "k", 1)
	s.must(err)
	_, err = s.buy(s.cart, "cid", "k", 1)
	s.refused(err, ErrSoldOut)
}

// Postgres has lost commits (a standby that lagged took over), so Redis is ahead of it: what it counts
// of buyers is of orders that are no more.
func TestEpochAheadIsCountedAnew(t *testing.T) {
	s := newStall(t, 3, 1)
	s.ledger()
	keys := saleKeys(s.sale.Id)
	s.must(s.cfg.Redis.HSet(t.Context(), keys[2], store.HashUser("ann"), 1).Err())
	_, err := s.buy(s.cart, "ann", "k", 1)
	s.refused(err, ErrLimitPerBuyer)
	s.must(s.cfg.Redis.HIncrBy(t.Context(), keys[0], "epoch", 7).Err())
	epoch, err := s.cfg.Redis.HGet(t.Context(), keys[0], "epoch").Int64()
	s.must(err)
	s.must(s.cart.Resync(t.Context(), s.sale.Id))
	after, err := s.cfg.Redis.HGet(t.Context(), keys[0], "epoch").Int64()
	s.must(err)
	if after <= epoch {
		t.Errorf("epoch %d after %d", after, epoch)
	}
	s.expect("epoch in Postgres", scan[int64](s.market, `SELECT epoch FROM sale`), after)
	_, err = s.buy(s.cart, "ann", "k2", 1)
	s.must(err)
}

// Ledgers in any number decide one sale together, without parts of their own.
func TestFourLedgersOneSale(t *testing.T) {
	s := newStall(t, 100, 1)
	other := s.gateway()
	for range 4 {
		s.ledger()
	}
	s.expect("confirmed", s.keepAsking("v", 160, s.cart, other), int64(100))
	s.expect("orders", s.orders(), int64(100))
	s.expect("sold", s.sold(), int64(100))
	s.settled()
	available, held, pending := s.counters()
	s.expect("counters", fmt.Sprintf("%s %s %d", available, held, pending), "0 0 0")
}
