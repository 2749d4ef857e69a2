package cart

import (
	"errors"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"

	"livecart/proto"
	"livecart/session/store"
)

// interrupt runs a Resync with something happening after it has read both sides, and after it has loaded the
// buyers; either may be nil.
func (s *stall) interrupt(saleID string, afterRead, afterLoad func()) error {
	s.t.Helper()
	ctx := s.t.Context()
	run, err := redisRun(ctx, s.cfg.Redis)
	s.must(err)
	return store.InTx(ctx, s.pool(), func(tx pgx.Tx) error {
		c := counting{cfg: s.cart.cfg, run: run}
		s.must(c.read(ctx, tx, saleID))
		if afterRead != nil {
			afterRead()
		}
		s.must(c.loadBuyers(ctx))
		if afterLoad != nil {
			afterLoad()
		}
		if err := c.write(ctx); err != nil {
			return err
		}
		return c.finish(ctx, tx, roomNews{})
	})
}

// Redis loses everything in the middle of a Resync, which then makes no counters: nobody would know that
// marks are missing, and the key of the order would be told sold_out.
func TestRedisLostWithinResync(t *testing.T) {
	for _, c := range []struct {
		name      string
		anew      bool
		afterLoad bool
	}{{"of known counters", false, false}, {"of missing counters, after the buyers were loaded", true, true}} {
		t.Run(c.name, func(t *testing.T) {
			s := newStall(t, 1, 1)
			s.ledger()
			first, err := s.buy(s.cart, "ann", "k", 1)
			s.must(err)
			s.settled()
			flush := func() { s.must(s.cfg.Redis.FlushDB(t.Context()).Err()) }
			if c.anew {
				flush()
			}
			var afterRead, afterLoad func()
			if afterRead = flush; c.afterLoad {
				afterRead, afterLoad = nil, flush
			}
			if err := s.interrupt(s.sale.Id, afterRead, afterLoad); err == nil {
				t.Error("the counters were made of what is no more")
			}
			again, err := s.buy(s.cart, "ann", "k", 1)
			s.must(err)
			s.expect("order", again.Id, first.Id)
		})
	}
}

// A Resync that lost its lock is late: what another has counted in the meantime stands.
func TestLateResyncChangesNothing(t *testing.T) {
	s := newStall(t, 3, 0)
	stop := s.ledger()
	_, err := s.buy(s.cart, "ann", "k", 1)
	s.must(err)
	s.settled()
	stop()
	late := counting{cfg: s.cart.cfg}
	late.run, err = redisRun(t.Context(), s.cfg.Redis)
	s.must(err)
	s.must(store.InTx(t.Context(), s.pool(), func(tx pgx.Tx) error { return late.read(t.Context(), tx, s.sale.Id) }))
	quantity := int64(2)
	_, err = s.cart.UpdateSale(t.Context(), "demo", host, "k", &proto.FlashUpdate{SaleId: s.sale.Id, ExpectedVersion: 1, Quantity: &quantity})
	s.must(err)
	if err := late.write(t.Context()); err == nil {
		t.Error("a late Resync wrote its counters")
	}
	available, held, _ := s.counters()
	s.expect("counters", available+" "+held, "1 0")
}

// Redis is a replica that has neither the mark of an order's key nor its buyer's pieces, and has not
// refused anybody yet. While a Resync counts anew, the key is not reserved once more: the buyer would hold
// the pieces twice.
func TestNothingIsReservedWhileCountedAnew(t *testing.T) {
	s := newStall(t, 5, 2)
	s.ledger()
	order, err := s.buy(s.cart, "ann", "k", 1)
	s.must(err)
	s.settled()
	keys, user := saleKeys(s.sale.Id), store.HashUser("ann")
	s.must(s.cfg.Redis.HDel(t.Context(), keys[3], user+":k").Err())
	s.must(s.cfg.Redis.HDel(t.Context(), keys[2], user).Err())
	s.must(s.cfg.Redis.HSet(t.Context(), keys[0], "run", "another", "available", 5).Err())
	s.must(s.interrupt(s.sale.Id, func() {
		words, err := s.cart.admission.callReserve(place{s.sale.Id, "demo"}, []*bid{s.bid(s.sale.Id, "ann", "k")})
		if !errors.Is(err, errNoCounters) {
			t.Errorf("the key got %v, %v", words, err)
		}
	}, nil))
	again, err := s.buy(s.cart, "ann", "k", 1)
	s.must(err)
	s.expect("order", again.Id, order.Id)
	s.settled()
	s.expect("pieces in Redis", s.piecesInRedis(s.sale.Id, "ann"), "1")
}

// A Resync that was given up loads its buyers late, after another has counted: nothing of that is seen.
func TestLateLoadSpoilsNothing(t *testing.T) {
	s := newStall(t, 5, 2)
	s.ledger()
	_, err := s.buy(s.cart, "ann", "k", 1)
	s.must(err)
	s.settled()
	s.must(s.cfg.Redis.HSet(t.Context(), saleKeys(s.sale.Id)[0], "run", "another").Err())
	late := counting{cfg: s.cart.cfg}
	late.run, err = redisRun(t.Context(), s.cfg.Redis)
	s.must(err)
	tx, err := s.pool().Begin(t.Context())
	s.must(err)
	s.must(late.read(t.Context(), tx, s.sale.Id))
	s.must(tx.Rollback(t.Context()))
	_, err = s.buy(s.cart, "bob", "k", 1)
	s.must(err)
	s.settled()
	s.must(late.loadBuyers(t.Context()))
	s.must(s.cart.Resync(t.Context(), s.sale.Id))
	s.expect("ann's pieces in Redis", s.piecesInRedis(s.sale.Id, "ann"), "1")
	s.expect("bob's pieces in Redis", s.piecesInRedis(s.sale.Id, "bob"), "1")
	if ttl, err := s.cfg.Redis.TTL(t.Context(), late.loading()).Result(); err != nil || ttl <= 0 || ttl > loadingAge {
		t.Errorf("what was loaded is kept for %v, %v", ttl, err)
	}
}

// A key that was decided with other content stays decided when the reservation of this content is released.
func TestReleaseKeepsADecidedKey(t *testing.T) {
	s := newStall(t, 5, 2)
	b := s.bid(s.sale.Id, "ann", "k")
	_, err := s.cart.admission.callReserve(place{s.sale.Id, "demo"}, []*bid{b})
	s.must(err)
	field, _ := hashed(b.attempt)
	s.must(s.cfg.Redis.HSet(t.Context(), saleKeys(s.sale.Id)[3], field, "ask:0a").Err())
	s.cart.admission.release(s.sale.Id, []*bid{b})
	s.expect("mark", s.cfg.Redis.HGet(t.Context(), saleKeys(s.sale.Id)[3], field).Val(), "ask:0a")
	available, held, pending := s.counters()
	s.expect("counters", fmt.Sprint(available, held, pending), fmt.Sprint("5", "0", 0))
}

// A refusal is settled after the buyers were loaded anew, who do not count its reservation any more.
func TestSettledWhileCountedAnew(t *testing.T) {
	s := newStall(t, 5, 2)
	b := s.bid(s.sale.Id, "ann", "k")
	words, err := s.cart.admission.callReserve(place{s.sale.Id, "demo"}, []*bid{b})
	s.must(err)
	s.expect("the word", words[0], "reserved")
	s.exec(`INSERT INTO attempt (buyer_id, key, kind, hash, sale_id, quantity, outcome) VALUES ('ann', 'k', 'flash_buy', $1, $2, 1, 'sold_out')`,
		b.attempt.Hash, s.sale.Id)
	s.must(s.cfg.Redis.HSet(t.Context(), saleKeys(s.sale.Id)[0], "run", "another").Err())
	s.must(s.interrupt(s.sale.Id, nil, func() {
		settleAttempts(t.Context(), s.cart.cfg, []*proto.FlashAttempt{b.attempt}, []*proto.FlashDecision{{Outcome: outcomeSoldOut}})
	}))
	s.expect("pieces in Redis", s.piecesInRedis(s.sale.Id, "ann"), "0")
	available, held, pending := s.counters()
	s.expect("counters", fmt.Sprint(available, held, pending), fmt.Sprint("5", "0", 0))
}

// A released reservation, too.
func TestReleasedWhileCountedAnew(t *testing.T) {
	s := newStall(t, 5, 2)
	b := s.bid(s.sale.Id, "ann", "k")
	_, err := s.cart.admission.callReserve(place{s.sale.Id, "demo"}, []*bid{b})
	s.must(err)
	s.must(s.cfg.Redis.HSet(t.Context(), saleKeys(s.sale.Id)[0], "run", "another").Err())
	s.must(s.interrupt(s.sale.Id, nil, func() { s.cart.admission.release(s.sale.Id, []*bid{b}) }))
	if n := s.piecesInRedis(s.sale.Id, "ann"); n != "" {
		t.Errorf("pieces in Redis: %s", n)
	}
}

// A key that another sale has ordered is reserved here, and its gateway dies. The Resync that finds the
// key decided gives the pieces back to the buyer's limit: no order of this sale holds them.
func TestResyncOfAKeyOfAnotherSale(t *testing.T) {
	s := newStall(t, 5, 2)
	s.ledger()
	pots := s.start(&proto.FlashStart{ListingId: "pot", Price: 100, Quantity: 2, PerBuyerLimit: 1, DurationMs: 60_000})
	_, err := s.buy(s.cart, "ann", "k", 1)
	s.must(err)
	_, err = s.cart.admission.callReserve(place{pots.Id, "demo"}, []*bid{s.bid(pots.Id, "ann", "k")})
	s.must(err)
	s.must(s.cart.Resync(t.Context(), pots.Id))
	s.expect("pieces in Redis", s.piecesInRedis(pots.Id, "ann"), "0")
	_, err = s.cart.Buy(t.Context(), "demo", buyer("ann"), "k2", &proto.FlashBuy{SaleId: pots.Id, Quantity: 1})
	s.must(err)
}

// bid is an attempt of one piece as Buy makes it.
func (s *stall) bid(saleID, who, key string) *bid {
	s.t.Helper()
	hash, err := contentHash(&proto.FlashBuy{SaleId: saleID, Quantity: 1})
	s.must(err)
	return &bid{attempt: &proto.FlashAttempt{SaleId: saleID, RoomId: "demo", Buyer: buyer(who).User, Key: key, Hash: hash, Quantity: 1}}
}

// piecesInRedis are a buyer's pieces of a sale, "" where Redis does not know the buyer.
func (s *stall) piecesInRedis(saleID, who string) string {
	s.t.Helper()
	all, err := s.cfg.Redis.HGetAll(s.t.Context(), saleKeys(saleID)[2]).Result()
	s.must(err)
	return all[store.HashUser(who)]
}
