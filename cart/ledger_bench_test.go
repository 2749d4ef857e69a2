package cart

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"livecart/proto"
	"livecart/session/store"
)

// benchOrders counts buyers, so that each has a name of its own.
var benchOrders atomic.Int64

// bookAll has two workers, as a process has, book batches of new buyers, each worker of its own sale or
// both of one.
func bookAll(b *testing.B, l *saleLedger, batches, size int, sales [ledgerWorkers]string) (int, time.Duration) {
	var workers sync.WaitGroup
	began := time.Now()
	for _, saleID := range sales {
		workers.Go(func() {
			for range batches / ledgerWorkers {
				done := l.book(b.Context(), benchBatch(saleID, int(benchOrders.Add(1)), size))
				if len(done.made) != size {
					b.Errorf("made %d orders of %d: %v", len(done.made), size, done.decisions[0])
				}
			}
		})
	}
	workers.Wait()
	return batches * size, time.Since(began)
}

// orderOne is a flash order as one would write it without batches: the hot row takes the piece, and the
// lock is held until the commit.
func orderOne(ctx context.Context, pool *pgxpool.Pool, saleID string) error {
	orderID, buyerID := store.NewID("ord"), fmt.Sprint("one-", benchOrders.Add(1))
	return store.InTx(ctx, pool, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `
			UPDATE sale SET sold = sold + 1 WHERE id = $1 AND closed_at IS NULL AND sold + 1 <= quantity`, saleID)
		if err == nil && tag.RowsAffected() != 1 {
			err = ErrSoldOut
		}
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `
			WITH o AS (
				INSERT INTO orders (id, shop_id, room_id, sale_id, buyer_id, buyer_name, request_id, state, currency, amount, expires_at)
				VALUES ($1, 'shop', 'demo', $2, $3, 'N', 'k', 'awaiting_payment', 'CNY', 1, now() + interval '5 minutes')
			), a AS (
				INSERT INTO attempt (buyer_id, key, kind, hash, sale_id, quantity, outcome, order_id)
				VALUES ($3, 'k', 'flash_buy', $4, $2, 1, 'ordered', $1)
			)
			INSERT INTO order_line (order_id, n, listing_id, sku_id, title, image_url, quantity, unit_price)
			VALUES ($1, 1, 'pot', 'k-pot', 'Pot', '', 1, 1)`, orderID, saleID, buyerID, make([]byte, 32))
		return err
	})
}

// Orders a second by a ledger's two workers in batches of 200, events and answers included, and one order a
// transaction on as many connections; both under the durability of the tests' server (synchronous commits,
// no fsync). On 2 cores of an AMD EPYC that others kept at a load of 12 to 27 (linux/amd64, Go 1.26.8,
// Postgres 15): 9.9 times one connection (8.8 to 12.4 in three runs), 12 times 32 (11 to 14).
func BenchmarkRatioLedger(b *testing.B) {
	for _, connections := range []int{1, 32} {
		b.Run(fmt.Sprintf("connections=%d", connections), func(b *testing.B) {
			cfg, saleID := benchSale(b)
			l, err := newSaleLedger(cfg)
			if err != nil {
				b.Fatal(err)
			}
			wide := cfg.Pool.Config()
			wide.MaxConns = int32(connections)
			pool, err := pgxpool.NewWithConfig(b.Context(), wide)
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(pool.Close)
			ratio(b, 5, func() (int, time.Duration) {
				return bookAll(b, l, 20, maxBatch, [ledgerWorkers]string{saleID, saleID})
			}, func() (int, time.Duration) {
				const orders = 640
				var writers sync.WaitGroup
				began := time.Now()
				for range connections {
					writers.Go(func() {
						for range orders / connections {
							if err := orderOne(b.Context(), pool, saleID); err != nil {
								b.Error(err)
							}
						}
					})
				}
				writers.Wait()
				return orders, time.Since(began)
			})
		})
	}
}

// Orders a second by two workers on one sale, and on a sale each, in batches of 500. On the machine of
// BenchmarkRatioLedger 0.65 (0.61 to 0.86 in five runs): a worker locks the sale before it reads and keeps
// the lock while it writes, so that what it decided on cannot change, and on a busy machine each wait for a
// processor is under the lock too. Deciding without the lock would be faster and could oversell.
func BenchmarkRatioSales(b *testing.B) {
	cfg, saleID := benchSale(b)
	c, err := New(cfg)
	if err != nil {
		b.Fatal(err)
	}
	if _, err = c.PutProduct(b.Context(), tea(), map[string]int64{"k-tea-s": MaxSaleQuantity, "k-tea-l": 1}); err != nil {
		b.Fatal(err)
	}
	if err := c.PutOnShelf(b.Context(), "demo", "tea", 0); err != nil {
		b.Fatal(err)
	}
	second, err := c.StartSale(b.Context(), "demo", host, "k2", &proto.FlashStart{ListingId: "tea-s", Price: 1, Quantity: MaxSaleQuantity, DurationMs: MaxSaleTime.Milliseconds()})
	if err != nil {
		b.Fatal(err)
	}
	l, err := newSaleLedger(cfg)
	if err != nil {
		b.Fatal(err)
	}
	ratio(b, 7, func() (int, time.Duration) {
		return bookAll(b, l, 10, 500, [ledgerWorkers]string{saleID, saleID})
	}, func() (int, time.Duration) {
		return bookAll(b, l, 10, 500, [ledgerWorkers]string{saleID, second.Id})
	})
}

// benchServer runs a gateway and a ledger of a sale until the benchmark ends.
func benchServer(b *testing.B) (c *Cart, l *saleLedger, saleID string) {
	cfg, saleID := benchSale(b)
	c, err := New(cfg)
	if err != nil {
		b.Fatal(err)
	}
	ledger, err := NewLedger(cfg)
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for _, run := range []func(context.Context) error{c.Run, ledger.Run} {
		running.Go(func() {
			if err := run(ctx); err != nil {
				b.Error(err)
			}
		})
	}
	b.Cleanup(func() {
		cancel()
		running.Wait()
	})
	for c.cfg.Bus.Request(ctx, busFlash, new(proto.FlashBatch), new(proto.FlashDecisions)) != nil {
		if b.Context().Err() != nil {
			b.Fatal("no ledger answers")
		}
	}
	return c, ledger.sales, saleID
}

// buyOne has a new buyer order a piece.
func buyOne(b *testing.B, c *Cart, saleID string) {
	who := buyer(fmt.Sprint("e2e-", benchOrders.Add(1)))
	if _, err := c.Buy(b.Context(), "demo", who, "k", &proto.FlashBuy{SaleId: saleID, Quantity: 1}); err != nil {
		b.Error(err)
	}
}

// buyAll has as many buyers as fill two ledger batches twice ask one after another.
func buyAll(b *testing.B, c *Cart, saleID string, orders int) (int, time.Duration) {
	const buyers = 4 * maxBatch
	var asking sync.WaitGroup
	began := time.Now()
	for range buyers {
		asking.Go(func() {
			for range orders / buyers {
				buyOne(b, c, saleID)
			}
		})
	}
	asking.Wait()
	return orders / buyers * buyers, time.Since(began)
}

// Orders a second from command to confirmation (gateway, Redis, NATS, ledger, all in one process beside its
// servers), and by the ledger's workers alone. On the machine of BenchmarkRatioLedger 0.67 (0.66 to 0.77
// in five runs), of which Redis, NATS and the buyers themselves take what they need of the same 2 cores.
func BenchmarkRatioEndToEnd(b *testing.B) {
	c, l, saleID := benchServer(b)
	ratio(b, 5, func() (int, time.Duration) {
		return buyAll(b, c, saleID, 4000)
	}, func() (int, time.Duration) {
		return bookAll(b, l, 20, maxBatch, [ledgerWorkers]string{saleID, saleID})
	})
}

// Time from command to confirmation when buyers come evenly, at 40 % of what end to end just reached. They
// come when they come: an answer that is late holds nobody up. Beside it the time of one booking of 200,
// three of which are the bound. On the machine of BenchmarkRatioLedger 2.1 to 3.4 such times where the load
// was 10 to 18 (74 to 199 ms), and 8 to 19 where it was 25: every hop then waits for a processor.
func BenchmarkRatioLatency(b *testing.B) {
	c, l, saleID := benchServer(b)
	var p50s, p99s, books []float64
	rate := 0.0
	for b.Loop() {
		for range 5 {
			n, took := buyAll(b, c, saleID, 4000)
			rate = 0.4 * float64(n) / took.Seconds()
			for range 5 {
				_, took := bookAll(b, l, 2, maxBatch, [ledgerWorkers]string{saleID, saleID})
				books = append(books, float64(took.Microseconds())/2000)
			}
			times := make([]float64, int(rate))
			var asking sync.WaitGroup
			began := time.Now()
			for i := range times {
				at := began.Add(time.Duration(float64(i) / rate * float64(time.Second)))
				time.Sleep(time.Until(at))
				asking.Go(func() {
					buyOne(b, c, saleID)
					times[i] = float64(time.Since(at).Microseconds()) / 1000
				})
			}
			asking.Wait()
			slices.Sort(times)
			p50s, p99s = append(p50s, times[len(times)/2]), append(p99s, times[len(times)*99/100])
		}
	}
	b.ReportMetric(median(p50s), "p50-ms")
	b.ReportMetric(median(p99s), "p99-ms")
	b.ReportMetric(median(books), "book-ms")
	b.ReportMetric(median(p99s)/median(books), "p99/book")
	b.ReportMetric(rate, "orders/s")
	b.ReportMetric(0, "ns/op")
}
