package cart

import (
	"fmt"
	"testing"

	"livecart/proto"
	"livecart/session/bus"
	"livecart/session/stack/stacktest"
	"livecart/session/store"
)

// benchSale opens a sale of a million pieces.
func benchSale(b *testing.B) (Config, string) {
	b.Helper()
	must := func(err error) {
		b.Helper()
		if err != nil {
			b.Fatal(err)
		}
	}
	pool, err := store.OpenPostgres(b.Context(), stacktest.Postgres(b, store.Migrate))
	must(err)
	b.Cleanup(pool.Close)
	rdb, err := store.OpenRedis(b.Context(), stacktest.Redis(b))
	must(err)
	b.Cleanup(func() { _ = rdb.Close() })
	conn, err := bus.Connect(b.Context(), bus.Config{URL: stacktest.NATS(b)})
	must(err)
	b.Cleanup(conn.Close)
	c, err := New(Config{Pool: pool, Redis: rdb, Bus: conn, Provider: new(fakeProvider)})
	must(err)
	must(c.PutShop(b.Context(), Shop{ID: "shop", Name: "May's", Currency: "CNY"}))
	_, err = pool.Exec(b.Context(), `INSERT INTO room (id, title, phase, host_id, host_name, shop_id) VALUES ('demo', 'Tea', 'live', 'h1', 'May', 'shop')`)
	must(err)
	_, err = c.PutProduct(b.Context(), pot(), map[string]int64{"k-pot": MaxSaleQuantity})
	must(err)
	must(c.PutOnShelf(b.Context(), "demo", "pot", 0))
	sale, err := c.StartSale(b.Context(), "demo", host, "k", &proto.FlashStart{ListingId: "pot", Price: 1, Quantity: MaxSaleQuantity, DurationMs: MaxSaleTime.Milliseconds()})
	must(err)
	return c.cfg, sale.Id
}

// benchBatch makes attempts of n new buyers.
func benchBatch(saleID string, round, n int) []*proto.FlashAttempt {
	batch := make([]*proto.FlashAttempt, n)
	for i := range batch {
		batch[i] = &proto.FlashAttempt{SaleId: saleID, RoomId: "demo", Buyer: buyer(fmt.Sprint("v", round, "-", i)).User, Key: "k", Hash: make([]byte, 32), Quantity: 1}
	}
	return batch
}

// One script call of reserve.lua: reserved attempts, and refused ones once all is sold.
func BenchmarkReserve(b *testing.B) {
	for _, c := range []struct {
		name    string
		soldOut bool
	}{{"reserved", false}, {"sold_out", true}} {
		for _, n := range []int{1, maxReserve} {
			b.Run(fmt.Sprintf("%s/batch=%d", c.name, n), func(b *testing.B) {
				cfg, saleID := benchSale(b)
				a, err := newAdmission(cfg)
				if err != nil {
					b.Fatal(err)
				}
				if c.soldOut {
					if err := cfg.Redis.HSet(b.Context(), saleKeys(saleID)[0], "available", 0).Err(); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportAllocs()
				round := 0
				for b.Loop() {
					bids := make([]*bid, n)
					for i, attempt := range benchBatch(saleID, round, n) {
						bids[i] = &bid{attempt: attempt}
					}
					round++
					if _, err := a.callReserve(place{saleID, "demo"}, bids); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.N*n)/b.Elapsed().Seconds(), "attempts/s")
			})
		}
	}
}

// One transaction of the ledger on one sale.
func BenchmarkBook(b *testing.B) {
	for _, n := range []int{1, 64, maxBatch} {
		b.Run(fmt.Sprintf("batch=%d", n), func(b *testing.B) {
			cfg, saleID := benchSale(b)
			l, err := newSaleLedger(cfg)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			round := 0
			for b.Loop() {
				done := l.book(b.Context(), benchBatch(saleID, round, n))
				round++
				if len(done.made) != n {
					b.Fatalf("made %d orders of %d: %v", len(done.made), n, done.decisions[0])
				}
			}
			b.ReportMetric(float64(b.N*n)/b.Elapsed().Seconds(), "orders/s")
		})
	}
}
