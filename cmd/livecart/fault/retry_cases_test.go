package fault

import (
	"errors"
	"fmt"
	"net"
	"sync"

	"livecart/loadtest"
	"livecart/proto"
)

// retryCases are commands that come more than once.
var retryCases = []faultCase{
	{
		name:     "reply_dropped_retry",
		injected: "the answer is lost between gateway and buyer, then between ledger and gateway",
		holds:    "the buyer's second sending gets the same order; the gateway asks again by itself",
		run: func(w *world) {
			sale := w.sale(2, 1)
			g := w.gateways[0]
			ann := w.sit("ann", g)
			g.front.hold(down)
			lost := ann.buying(sale, "k-ann", 1)
			w.until("the order is committed", patience, func() bool { return w.sold(sale) == 1 })
			w.until("its reservation is settled", patience, func() bool { return w.pending(sale.Id) == 0 })
			ann.viewer.Cut()
			g.front.drop()
			g.front.mend()
			w.equal("the first sending", (<-lost).Outcome, "")
			w.equal("the second sending", w.insist("ann", sale, "k-ann", 1).Outcome, "ok")

			bob := w.sit("bob", g)
			g.nats.onSight(up, ledgerSubject, func() { g.nats.hold(down) })
			answer := bob.buying(sale, "k-bob", 1)
			w.until("the order is committed", patience, func() bool { return w.sold(sale) == 2 })
			g.nats.drop()
			g.nats.mend()
			w.equal("the buyer who waits", w.outcome(answer, sale), "ok")
			w.equal("sold", w.sold(sale), int64(2))
		},
	},
	{
		name:     "duplicate_storm",
		injected: "ten buyers send their keys eight times at once over two gateways and four connections each",
		holds:    "each key has one outcome; five pieces go to five buyers",
		setup:    setup{gateways: 2, ledgers: 2},
		run: func(w *world) {
			sale := w.sale(5, 1)
			var storm sync.WaitGroup
			for i := range 10 {
				user := fmt.Sprintf("b%d", i)
				for n := range 4 {
					s := w.sit(user, w.gateways[n%2])
					storm.Go(func() {
						for range 2 {
							s.buy(sale, "k-"+user, 1)
						}
					})
				}
			}
			storm.Wait()
			served := 0
			for i := range 10 {
				user := fmt.Sprintf("b%d", i)
				if w.insist(user, sale, "k-"+user, 1).Outcome == loadtest.OutcomeOK {
					served++
				}
			}
			w.equal("served", served, 5)
			w.equal("sold", w.sold(sale), int64(5))
		},
	},
	{
		name:     "key_reuse_other_parameters",
		injected: "a key is used for another quantity, for another sale, for two sales in two ledgers at once, and for what another worker records in between",
		holds:    "one outcome a key, conflict for other content, and nothing is taken for a conflict",
		setup:    setup{ledgers: 2},
		run:      keyReuse,
	},
	{
		name:     "restock_after_reject_redelivery",
		injected: "a refused attempt is delivered again and again, before and after stock returned",
		holds:    "its piece is given back once and it stays refused; what an order gave back can be bought at once, by its buyer too",
		setup:    setup{patientRedis: true},
		run:      restockAfterReject,
	},
	{
		name:     "resync_races_reserve_and_commit",
		injected: "two Resyncs of a sale after another, without a pause, while attempts are reserved, decided and cancelled",
		holds:    "no piece is counted twice or forgotten",
		setup:    setup{gateways: 2, ledgers: 2},
		run:      resyncRaces,
	},
}

func keyReuse(w *world) {
	one, two := w.sale(5, 0), w.sale(5, 0)
	w.leaveAlone(one.Id)
	w.leaveAlone(two.Id)
	g := w.gateways[0]
	ann := w.sit("ann", g)
	// While the first is on its way.
	sprung := g.nats.onSight(up, ledgerSubject, func() { g.nats.hold(up) })
	first := ann.buying(one, "k1", 1)
	w.come("the attempt is reserved", sprung)
	w.equal("other quantity meanwhile", w.sit("ann", g).buy(one, "k1", 2).Outcome, "idempotency_conflict")
	g.nats.mend()
	w.equal("the first", w.outcome(first, one), "ok")
	// Afterwards.
	w.equal("other quantity", ann.buy(one, "k1", 2).Outcome, "idempotency_conflict")
	w.equal("other sale", ann.buy(two, "k1", 1).Outcome, "idempotency_conflict")
	w.until("nothing is taken for a conflict", patience, func() bool { return w.available(one.Id) == 4 && w.available(two.Id) == 5 })

	// For two sales at once: neither transaction sees the other's row before it writes its own.
	releaseOne, releaseTwo := w.lockSale(one.Id), w.lockSale(two.Id)
	var asking sync.WaitGroup
	got := make([]string, 2)
	for i, sale := range []*proto.FlashSale{one, two} {
		asking.Go(func() { got[i] = w.ask(attempt("bob", sale, "k2", 1))[0].Outcome })
		w.until("the transactions wait", patience, func() bool { return w.waiting("") >= i+1 })
	}
	releaseOne.commit()
	releaseTwo.commit()
	asking.Wait()
	if !(got[0] == "ok" && got[1] == "idempotency_conflict" || got[1] == "ok" && got[0] == "idempotency_conflict") {
		w.t.Errorf("one key for two sales at once: %v", got)
	}

	// Another worker records the key between this one's reading and writing.
	eve := attempt("eve", one, "k3", 1)
	elsewhere := w.lock(`INSERT INTO attempt (buyer_id, key, kind, hash, sale_id, quantity, outcome) VALUES ('eve', 'k3', 'flash_buy', $1, $2, 1, 'sold_out')`, eve.Hash, one.Id)
	asking.Go(func() { w.equal("recorded elsewhere meanwhile", w.ask(eve)[0].Outcome, "sold_out") })
	w.until("the transaction waits to write", patience, func() bool { return w.waiting("") == 1 })
	elsewhere.commit()
	asking.Wait()
	w.equal("orders of eve", scan[int](w, `SELECT count(*) FROM orders WHERE buyer_id = 'eve'`), 0)
}

func restockAfterReject(w *world) {
	sale := w.sale(1, 1)
	w.leaveAlone(sale.Id)
	g, ledger := w.gateways[0], w.ledgers[0]
	ann := w.sit("ann", g)
	bought := ann.buy(sale, "k-ann", 1)
	w.equal("ann", bought.Outcome, "ok")
	w.until("her reservation is settled", patience, func() bool { return w.pending(sale.Id) == 0 })
	// Redis lets one too many through, as after lost writes; the ledger refuses.
	w.must(w.redis.HIncrBy(w.t.Context(), saleKey(sale.Id, "sale"), "available", 1).Err())
	bob := attempt("bob", sale, "k-bob", 1)
	w.equal("bob", w.sit("bob", g).buy(sale, "k-bob", 1).Outcome, "sold_out")
	for range 3 {
		w.equal("bob, delivered again", w.ask(bob)[0].Outcome, "sold_out")
	}
	ledger.stop() // it finishes what it began, settling included
	w.equal("left in Redis after one piece came back", w.available(sale.Id), int64(1))
	ledger.start()

	cancel := &proto.Command{Command: &proto.Command_OrderCancel{OrderCancel: &proto.OrderCancel{OrderId: bought.OrderID}}}
	w.equal("the cancel", ann.do("c-ann", cancel).Outcome, "ok")
	w.equal("bob, delivered after the restock", w.ask(bob)[0].Outcome, "sold_out")
	w.equal("bob, asking after the restock", w.insist("bob", sale, "k-bob", 1).Outcome, "sold_out")
	w.equal("ann, buying again", w.insist("ann", sale, "k-ann-2", 1).Outcome, "ok")
	w.equal("sold", w.sold(sale), int64(1))
}

func resyncRaces(w *world) {
	sale := w.sale(40, 2)
	// A Resync while a reservation is on its way to the ledger counts it.
	g := w.gateways[0]
	sprung := g.nats.onSight(up, ledgerSubject, func() { g.nats.hold(up) })
	first := w.sit("first", g).buying(sale, "k", 1)
	w.come("an attempt is reserved", sprung)
	before := w.counters(sale.Id)["epoch"]
	w.hurry(sale.Id)
	w.until("a ledger has counted anew", patience, func() bool { return w.counters(sale.Id)["epoch"] != before })
	w.equal("left while one is reserved", w.available(sale.Id), int64(39))
	g.nats.mend()
	w.equal("the first", w.outcome(first, sale), loadtest.OutcomeOK)

	stop := make(chan struct{})
	var resyncs, buyers sync.WaitGroup
	for range 2 {
		resyncs.Go(func() { // ends with the first one after stop that Redis answers in time
			for {
				var late net.Error
				switch err := w.cart.Resync(w.t.Context(), sale.Id); {
				case errors.As(err, &late) && late.Timeout():
					continue // the machine is busy: the next one counts
				case err != nil:
					w.t.Errorf("resync: %v", err)
				}
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	for i := range 24 {
		user := fmt.Sprintf("b%d", i)
		buyers.Go(func() {
			first := w.insist(user, sale, "k1", 1)
			if first.Outcome == loadtest.OutcomeOK && i%4 == 0 {
				w.insistAt(w.gateways, user, "c1", &proto.Command{Command: &proto.Command_OrderCancel{OrderCancel: &proto.OrderCancel{OrderId: first.OrderID}}})
			}
			w.insist(user, sale, "k2", 1)
			w.insist(user, sale, "k3", 1)
		})
	}
	buyers.Wait()
	close(stop)
	resyncs.Wait()
	// No Resync heals the counts from here on.
	w.leaveAlone(sale.Id)
	w.until("the last reservations are settled", patience, func() bool { return w.pending(sale.Id) == 0 })
	w.equal("left in Redis", w.available(sale.Id), 40-w.sold(sale))
	w.equal("the buyers' pieces", w.buyersDiffer(sale.Id), "")
	w.equal("sold", w.sold(sale), int64(40))
}
