package fault

import (
	"fmt"
	"sync"

	"livecart/loadtest"
	"livecart/proto"
)

// ledgerCases are faults of ledgers, and many ledgers at once.
var ledgerCases = []faultCase{
	{
		name:     "oversell_batch_straddles_stock",
		injected: "six envelopes for 60 pieces of a sale of 8, in batches of two ledgers that wait for the sale's row together",
		holds:    "exactly 8 are sold, in the order of the batch; asked again, each key gets its outcome again",
		setup:    setup{ledgers: 2},
		run: func(w *world) {
			sale := w.sale(8, 0)
			release := w.lockSale(sale.Id)
			envelope := func(n int) []*proto.FlashAttempt {
				var attempts []*proto.FlashAttempt
				for i, pieces := range []int32{3, 3, 3, 1} {
					attempts = append(attempts, attempt(fmt.Sprintf("b%d-%d", n, i), sale, "k", pieces))
				}
				return attempts
			}
			var asking sync.WaitGroup
			for n := range 6 {
				asking.Go(func() { w.ask(envelope(n)...) })
			}
			w.until("two transactions wait for the sale", patience, func() bool { return w.waiting("") >= 2 })
			release.commit()
			asking.Wait()
			w.equal("sold", w.sold(sale), int64(8))
			w.equal("attempts recorded", scan[int](w, `SELECT count(*) FROM attempt`), 24)
			for n := range 6 {
				w.ask(envelope(n)...)
			}
			w.equal("sold after all asked again", w.sold(sale), int64(8))
		},
	},
	{
		name:     "two_ledgers_one_sku_limit_one",
		injected: "one buyer's attempts under many keys, past Redis, in transactions of two ledgers that wait for the sale's row together",
		holds:    "one is ordered, the others are limit_per_buyer",
		setup:    setup{ledgers: 2},
		run: func(w *world) {
			sale := w.sale(10, 1)
			release := w.lockSale(sale.Id)
			var asking sync.WaitGroup
			var mu sync.Mutex
			got := map[string]int{}
			sent := 0
			w.until("transactions of both ledgers wait", patience, func() bool {
				if w.waiting("ledger-1") > 0 && w.waiting("ledger-2") > 0 {
					return true
				}
				if key := fmt.Sprintf("k%d", sent); sent < 64 {
					sent++
					asking.Go(func() {
						outcome := w.ask(attempt("ann", sale, key, 1))[0].Outcome
						mu.Lock()
						defer mu.Unlock()
						got[outcome]++
					})
				}
				return false
			})
			release.commit()
			asking.Wait()
			w.equal("ordered", got["ok"], 1)
			w.equal("refused", got["limit_per_buyer"], sent-1)
		},
	},
	{
		name:     "kill_ledger_mid_transaction",
		injected: "kill -9 of a ledger whose transaction has written the order and waits for the room's row",
		holds:    "nothing of it stays; another ledger decides anew, and the buyer waits on one connection for one order",
		setup:    setup{ledgers: 2},
		run: func(w *world) {
			sale := w.sale(1, 1)
			w.leaveAlone(sale.Id)
			// The last piece sells the sale out, which is a numbered event of the room: the last write.
			release := w.lock(`SELECT FROM room WHERE id = $1 FOR UPDATE`, roomID)
			answer := w.sit("ann", w.gateways[0]).buying(sale, "k-ann", 1)
			var dying *process
			w.until("a transaction waits after its writes", patience, func() bool {
				for _, l := range w.ledgers {
					if w.waiting(l.name) > 0 {
						dying = l
					}
				}
				return dying != nil
			})
			dying.kill()
			w.equal("orders while the room is locked", scan[int](w, `SELECT count(*) FROM orders`), 0)
			release.commit()
			w.equal("the buyer", w.outcome(answer, sale), "ok")
			w.equal("sold", w.sold(sale), int64(1))
			w.equal("orders", scan[int](w, `SELECT count(*) FROM orders`), 1)
		},
	},
	{
		name:     "kill_ledger_after_commit",
		injected: "kill -9 of a ledger that has committed and whose answer is held on its way to NATS",
		holds:    "another ledger answers with the committed order; the buyer waits on one connection",
		setup:    setup{ledgers: 2},
		run: func(w *world) {
			sale := w.sale(2, 1)
			answered := map[*process]<-chan struct{}{}
			for _, l := range w.ledgers {
				answered[l] = l.nats.onSight(up, "PUB _INBOX.", func() { l.nats.hold(up) })
			}
			answer := w.sit("ann", w.gateways[0]).buying(sale, "k-ann", 1)
			var dying, other *process
			select {
			case <-answered[w.ledgers[0]]:
				dying, other = w.ledgers[0], w.ledgers[1]
			case <-answered[w.ledgers[1]]:
				dying, other = w.ledgers[1], w.ledgers[0]
			}
			w.until("the order is committed", patience, func() bool { return w.sold(sale) == 1 })
			dying.kill()
			other.mend()
			w.equal("the buyer", w.outcome(answer, sale), "ok")
			w.equal("sold", w.sold(sale), int64(1))
		},
	},
	{
		name:     "reaper_races_late_request",
		injected: "reservations whose request is held at the gateway until the reaper gives them up; it comes while the void waits in its transaction",
		holds:    "the pieces stay reserved until the void is written; the late request meets it; others get the pieces",
		setup:    setup{gateways: 2, flags: reapSoon},
		run:      reaperRacesLateRequest,
	},
	{
		name:     "poison_in_batch",
		injected: "one attempt in a batch of five whose order Postgres refuses",
		holds:    "the four others are ordered; the one is rejected for good and kept in dead_letter",
		run: func(w *world) {
			w.exec(`CREATE FUNCTION poison() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
				RAISE EXCEPTION 'no order for %', NEW.buyer_id USING ERRCODE = 'check_violation';
			END $$`)
			w.exec(`CREATE TRIGGER poison BEFORE INSERT ON orders FOR EACH ROW WHEN (NEW.buyer_id = 'poison') EXECUTE FUNCTION poison()`)
			w.poisoned = true
			sale := w.sale(10, 0)
			var attempts []*proto.FlashAttempt
			for _, user := range []string{"ann", "bob", "poison", "eve", "dan"} {
				attempts = append(attempts, attempt(user, sale, "k", 1))
			}
			for _, r := range w.ask(attempts...) {
				want := loadtest.OutcomeOK
				if r.Client == "poison" {
					want = "invalid_argument"
				}
				w.equal(r.Client, r.Outcome, want)
			}
			w.equal("again", w.ask(attempts[2])[0].Outcome, "invalid_argument")
			w.equal("over a gateway", w.sit("poison", w.gateways[0]).buy(sale, "k2", 1).Outcome, "invalid_argument")
			w.equal("sold", w.sold(sale), int64(4))
			w.equal("dead letters", scan[int](w, `SELECT count(*) FROM dead_letter`), 2)
		},
	},
	{
		name:     "fresh_database_plan",
		injected: "1,200 orders in a database that was never analysed, after plans were made on its empty tables",
		holds:    "the last orders are found by index as the first: no scan grows with the tables",
		run:      freshDatabasePlan,
	},
}

// reapSoon is the shortest time after which a reservation is given up; -long waits the usual 30 s.
var reapSoon = []string{"--reap-after", "1s"}

func reaperRacesLateRequest(w *world) {
	sale := w.sale(2, 1)
	dying, ledger := w.gateways[0], w.ledgers[0]
	dying.nats.onSight(up, ledgerSubject, func() { dying.nats.hold(up) })
	late := map[string]<-chan loadtest.Record{}
	for _, user := range []string{"ann", "bob"} {
		late[user] = w.sit(user, dying).buying(sale, "k-"+user, 1)
	}
	w.until("both pieces are reserved", patience, func() bool { return w.pending(sale.Id) == 2 })
	// Somebody is about to write under ann's key: the void has to wait for that in its transaction.
	release := w.lock(`INSERT INTO attempt (buyer_id, key, kind, hash, sale_id, quantity, outcome) VALUES ('ann', 'k-ann', 'flash_buy', '', $1, 1, 'void')`, sale.Id)
	w.until("the void waits", 2*patience, func() bool {
		w.hurry(sale.Id)
		return scan[int](w, `
			SELECT count(*) FROM pg_stat_activity
			WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%INSERT INTO attempt%'`) == 1
	})
	w.equal("reserved while the void is not written", w.pending(sale.Id), int64(2))
	w.equal("left while the void is not written", w.available(sale.Id), int64(0))
	dying.mend()
	w.until("the late request waits behind the void", patience, func() bool { return w.waiting(ledger.name) >= 2 })
	release.rollback()
	for user, answer := range late {
		w.equal(user, w.outcome(answer, sale), "attempt_expired")
		w.equal(user+", asking again", w.insist(user, sale, "k-"+user, 1).Outcome, "attempt_expired")
	}
	for _, user := range []string{"eve", "dan"} {
		w.equal(user, w.insist(user, sale, "k-"+user, 1).Outcome, "ok")
	}
	w.equal("sold", w.sold(sale), int64(2))
}

func freshDatabasePlan(w *world) {
	for _, t := range []string{"attempt", "orders", "order_line"} {
		w.exec(`ALTER TABLE ` + t + ` SET (autovacuum_enabled = false)`)
	}
	// Asked before it starts, a sale leaves no trace: each statement is planned on empty tables, more
	// often than a server needs to settle for one plan.
	warm := w.saleLater()
	for i := range 40 {
		w.ask(attempt("warm", warm, fmt.Sprint(i), 1))
	}
	sale := w.sale(2000, 1)
	const batches, each = 6, 200
	for n := range batches {
		var attempts []*proto.FlashAttempt
		for i := range each {
			attempts = append(attempts, attempt(fmt.Sprintf("b%d-%d", n, i), sale, "k", 1))
		}
		for _, r := range w.ask(attempts...) {
			w.equal(r.Client, r.Outcome, loadtest.OutcomeOK)
		}
	}
	// A server process hands in what it counted when it ends.
	w.ledgers[0].stop()
	w.until("no session of the ledger is left", patience, func() bool {
		return scan[int](w, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'ledger-1'`) == 0
	})
	read := scan[int64](w, `
		SELECT sum(seq_tup_read)::bigint FROM pg_stat_user_tables WHERE relname IN ('attempt', 'orders', 'order_line')`)
	// One scan a batch would read 3,000 rows of a table; one an order, half a million.
	if limit := int64(60_000); read > limit {
		w.t.Errorf("%d rows were read by scans of whole tables, want at most %d", read, limit)
	}
	w.ledgers[0].start()
}
