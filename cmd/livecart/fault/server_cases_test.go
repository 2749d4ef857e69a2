package fault

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"livecart/loadtest"
	"livecart/proto"
	"livecart/session/stack/stacktest"
	"livecart/session/store"
)

// serverCases are faults of Postgres, Redis and NATS, and of clocks.
var serverCases = []faultCase{
	{
		name:     "postgres_down",
		injected: "kill -9 of Postgres under load, started again after the breakers have opened",
		holds:    "nobody is told what is not so; every key gets its outcome; all pieces are sold",
		setup:    setup{gateways: 2, ledgers: 2, ownPostgres: true},
		run: func(w *world) {
			sale := w.sale(20, 1)
			buyers := w.crowd(30, sale)
			w.until("the sale runs", patience, func() bool { return w.sold(sale) > 0 })
			w.postgres.Kill()
			turned := w.sit("zoe", w.gateways[0])
			w.until("attempts are turned away", 2*patience, func() bool { return turned.buy(sale, "k-zoe", 1).Outcome == "try_again" })
			w.postgres.Start()
			buyers.Wait()
			w.equal("sold", w.sold(sale), int64(20))
		},
	},
	{
		name:     "postgres_commit_unknown",
		injected: "the COMMIT reaches Postgres, and the connection breaks before its answer",
		holds:    "the ledger does not know, the gateway asks again by key, and the buyer's one sending gets the order",
		run: func(w *world) {
			sale := w.sale(2, 1)
			w.leaveAlone(sale.Id)
			link := w.ledgers[0].postgres
			link.onSightAfter(up, "k-ann", "commit\x00", func() { link.hold(down) })
			answer := w.sit("ann", w.gateways[0]).buying(sale, "k-ann", 1)
			w.until("the order is committed", patience, func() bool { return w.sold(sale) == 1 })
			link.drop()
			link.mend()
			w.equal("the buyer", w.outcome(answer, sale), "ok")
			w.until("her reservation is settled", patience, func() bool { return w.pending(sale.Id) == 0 })
			w.equal("left in Redis", w.available(sale.Id), int64(1))
		},
	},
	{
		name:     "redis_flush_mid_sale",
		injected: "FLUSHALL under load, and once more when all is sold",
		holds:    "nothing is admitted before a Resync has counted; all pieces are sold once",
		setup:    setup{gateways: 2, ownRedis: true},
		run: func(w *world) {
			w.redisLost = true
			sale := w.sale(20, 1)
			buyers := w.crowd(30, sale)
			w.until("the sale runs", patience, func() bool { return w.sold(sale) > 2 })
			w.must(w.redis.FlushAll(w.t.Context()).Err())
			buyers.Wait()
			w.equal("sold", w.sold(sale), int64(20))
			w.leaveAlone(sale.Id)
			w.must(w.redis.FlushAll(w.t.Context()).Err())
			w.equal("a late buyer", w.insist("zoe", sale, "k-zoe", 1).Outcome, "sold_out")
			w.equal("left in Redis", w.available(sale.Id), int64(0))
			if counted := w.counters(sale.Id); counted["epoch"] == "" {
				w.t.Errorf("counters that no Resync made: %v", counted)
			}
			w.must(w.redis.FlushAll(w.t.Context()).Err())
			w.equal("a buyer of before", w.insist("b0", sale, "k-b0-new", 1).Outcome != "ok", true)
		},
	},
	{
		name:     "redis_failover_lost_writes",
		injected: "a replica that lags behind takes over: the last reservations, marks and counts are lost",
		holds:    "the counters are made anew from Postgres; lost keys keep their outcome; nobody gets more than the limit",
		setup:    setup{gateways: 2, ownRedis: true},
		run:      redisFailover,
	},
	{
		name:     "nats_partition_gateway",
		injected: "one gateway's connection to NATS is a black hole for longer than its breaker waits",
		holds:    "it turns new attempts away, the other gateway sells on, and what was held is answered on the same connections",
		setup:    setup{gateways: 2},
		run: func(w *world) {
			sale := w.sale(8, 1)
			apart := w.gateways[0]
			apart.nats.onSight(up, ledgerSubject, func() { apart.nats.hold(up, down) })
			var held []<-chan loadtest.Record
			for i := range 3 {
				held = append(held, w.sit(fmt.Sprintf("a%d", i), apart).buying(sale, "k", 1))
			}
			w.until("the held attempts are reserved", patience, func() bool { return w.pending(sale.Id) == 3 })
			turned := w.sit("zoe", apart)
			w.until("attempts are turned away", 2*patience, func() bool { return turned.buy(sale, "k-zoe", 1).Outcome == "try_again" })
			for i := range 4 {
				w.equal("at the other gateway", w.insistAtGateway(1, fmt.Sprintf("b%d", i), sale, "k", 1).Outcome, "ok")
			}
			apart.mend()
			for _, answer := range held {
				w.equal("who waited", w.outcome(answer, sale), "ok")
			}
			w.equal("the one who was turned away", w.insist("zoe", sale, "k-zoe", 1).Outcome, "ok")
			w.equal("sold", w.sold(sale), int64(8))
		},
	},
	{
		name:     "nats_restart",
		injected: "NATS ends under load and another server starts in its place",
		holds:    "every key gets its outcome; all pieces are sold",
		setup:    setup{gateways: 2, ledgers: 2},
		run: func(w *world) {
			sale := w.sale(20, 1)
			buyers := w.crowd(15, sale)
			w.until("the sale runs", patience, func() bool { return w.sold(sale) > 2 })
			w.nats.Close()
			w.startNATS()
			late := w.crowdOf("late", 5, sale) // the others may all have been served before
			late.Wait()
			buyers.Wait()
			w.equal("sold", w.sold(sale), int64(20))
		},
	},
	{
		name:     "clock_skew_gateways",
		injected: "one gateway's clock is 90 min ahead, another's 90 min behind; a sale ends while a transaction waits for it",
		holds:    "sales start and end by the clock of Postgres, read after the lock",
		run:      clockSkew,
	},
}

// crowd has so many buyers insist on one piece each, all at once; Wait on what it returns.
func (w *world) crowd(n int, sale *proto.FlashSale) *sync.WaitGroup { return w.crowdOf("b", n, sale) }

// crowdOf is crowd with buyers of another name.
func (w *world) crowdOf(name string, n int, sale *proto.FlashSale) *sync.WaitGroup {
	var buyers sync.WaitGroup
	for i := range n {
		user := fmt.Sprintf("%s%d", name, i)
		buyers.Go(func() {
			pause(w.t.Context(), time.Duration(i)*20*time.Millisecond)
			w.insist(user, sale, "k-"+user, 1)
		})
	}
	return &buyers
}

func redisFailover(w *world) {
	w.redisLost = true
	sale := w.sale(12, 1)
	// A replica of its own, over a link that will lag.
	replica := stacktest.PrivateRedis(w.t)
	options, err := redis.ParseURL(replica.URL)
	w.must(err)
	next, err := store.OpenRedis(w.t.Context(), replica.URL)
	w.must(err)
	w.t.Cleanup(func() { next.Close() })
	from, err := redis.ParseURL(w.redisAt)
	w.must(err)
	replication := newLink(w.t, from.Addr)
	host, port, _ := strings.Cut(replication.near(), ":")
	w.must(next.Do(w.t.Context(), "REPLICAOF", host, port).Err())
	for i := range 4 {
		w.equal("before the lag", w.insist(fmt.Sprintf("b%d", i), sale, "k", 1).Outcome, "ok")
	}
	w.until("the replica has all", patience, func() bool {
		n, err := next.HGet(w.t.Context(), saleKey(sale.Id, "sale"), "available").Int64()
		return err == nil && n == 8
	})
	replication.hold(down)
	for i := range 4 {
		w.equal("during the lag", w.insist(fmt.Sprintf("l%d", i), sale, "k", 1).Outcome, "ok")
	}
	// The primary is gone, the replica takes over as it is.
	replication.cut()
	w.must(next.Do(w.t.Context(), "REPLICAOF", "NO", "ONE").Err())
	w.redis = next
	for _, p := range w.processes() {
		p.redis.aim(options.Addr)
		p.redis.drop()
	}
	w.ownRedis.Kill()
	w.until("the buyers are counted anew", patience, func() bool { return w.buyersDiffer(sale.Id) == "" })
	for i := range 4 {
		w.equal("again, of the lost", w.insist(fmt.Sprintf("l%d", i), sale, "k", 1).Outcome, "ok")
		w.equal("a second piece", w.insist(fmt.Sprintf("l%d", i), sale, "k2", 1).Outcome, "limit_per_buyer")
	}
	for i := range 4 {
		w.equal("the rest", w.insist(fmt.Sprintf("r%d", i), sale, "k", 1).Outcome, "ok")
	}
	w.equal("sold", w.sold(sale), int64(12))
	w.equal("one too many", w.insist("zoe", sale, "k", 1).Outcome, "sold_out")
}

func clockSkew(w *world) {
	ahead := w.addGateway("ahead", build(w.t, variant{skew: 90 * time.Minute}))
	behind := w.addGateway("behind", build(w.t, variant{skew: -90 * time.Minute}))
	sale := w.saleLater()
	for _, g := range []*process{ahead, behind} {
		w.equal("before the start, "+g.name, w.sit("early-"+g.name, g).buy(sale, "k", 1).Outcome, "not_started")
	}
	w.equal("past every gateway", w.ask(attempt("direct", sale, "k", 1))[0].Outcome, "not_started")
	w.exec(`UPDATE sale SET starts_at = clock_timestamp() WHERE id = $1`, sale.Id)
	w.must(w.cart.Resync(context.Background(), sale.Id))
	for _, g := range []*process{ahead, behind} {
		w.equal("after the start, "+g.name, w.sit("ann-"+g.name, g).buy(sale, "k", 1).Outcome, "ok")
	}
	// It ends while a transaction, begun in time, waits for its row.
	release := w.lock(`SELECT FROM sale WHERE id = $1 FOR UPDATE`, sale.Id)
	var answers []<-chan loadtest.Record
	for _, g := range []*process{ahead, behind} {
		answers = append(answers, w.sit("late-"+g.name, g).buying(sale, "k", 1))
	}
	w.until("a transaction waits", patience, func() bool { return w.waiting(w.ledgers[0].name) > 0 && w.pending(sale.Id) == 2 })
	_, err := release.tx.Exec(w.t.Context(), `UPDATE sale SET ends_at = clock_timestamp() WHERE id = $1`, sale.Id)
	w.must(err)
	release.commit()
	for _, answer := range answers {
		w.equal("after the end", w.outcome(answer, sale), "sale_ended")
	}
}
