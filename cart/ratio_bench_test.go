package cart

import (
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"livecart/session/store"
)

// ratio runs two ways of the same work in turn and reports what each did in a second, and what the
// first did for each of the second: the median of the rounds, so that a busy machine slows both. Each
// call does work for some tenths of a second and returns how much, and the time that it took.
func ratio(b *testing.B, rounds int, fast, slow func() (n int, took time.Duration)) {
	b.Helper()
	var fasts, slows, ratios []float64
	for b.Loop() {
		for range rounds {
			n, took := fast()
			fasts = append(fasts, float64(n)/took.Seconds())
			n, took = slow()
			slows = append(slows, float64(n)/took.Seconds())
			ratios = append(ratios, fasts[len(fasts)-1]/slows[len(slows)-1])
		}
	}
	b.ReportMetric(median(ratios), "ratio")
	b.ReportMetric(median(fasts), "fast/s")
	b.ReportMetric(median(slows), "slow/s")
	b.ReportMetric(0, "ns/op")
}

func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}

// Attempts a second through reserve.lua: 50 a call, and one a call with 50 calls a pipeline, each over two
// connections. On 2 cores of an AMD EPYC that others kept at a load of 12 to 27 (linux/amd64, Go 1.26.8,
// Redis 7.0): 4.0 reserved and 6.2 sold out, medians of three runs.
func BenchmarkRatioReserve(b *testing.B) {
	const batch, batches, connections = 50, 200, 2
	for _, c := range []struct {
		name    string
		soldOut bool
	}{{"reserved", false}, {"sold_out", true}} {
		b.Run(c.name, func(b *testing.B) {
			cfg, saleID := benchSale(b)
			at := place{saleID, "demo"}
			if c.soldOut {
				if err := cfg.Redis.HSet(b.Context(), saleKeys(saleID)[0], "available", 0).Err(); err != nil {
					b.Fatal(err)
				}
			}
			round := 0
			run := func(send func([]*bid) error) (int, time.Duration) {
				work := make([][]*bid, batches)
				for i := range work {
					round++
					for _, a := range benchBatch(saleID, round, batch) {
						work[i] = append(work[i], &bid{attempt: a})
					}
				}
				began := time.Now()
				var next atomic.Int64
				var wg sync.WaitGroup
				for range connections {
					wg.Go(func() {
						for {
							i := int(next.Add(1)) - 1
							if i >= len(work) {
								return
							}
							if err := send(work[i]); err != nil {
								b.Error(err)
							}
						}
					})
				}
				wg.Wait()
				return batch * batches, time.Since(began)
			}
			a, err := newAdmission(cfg)
			if err != nil {
				b.Fatal(err)
			}
			ratio(b, 5, func() (int, time.Duration) {
				return run(func(bids []*bid) error {
					_, err := a.callReserve(at, bids)
					return err
				})
			}, func() (int, time.Duration) {
				return run(func(bids []*bid) error {
					calls := make([]store.Call, len(bids))
					for i := range bids {
						calls[i] = reserveCall(at, bids[i:i+1])
					}
					replies, err := reserveScript.RunAll(b.Context(), cfg.Redis, calls)
					if err != nil {
						return err
					}
					for _, r := range replies {
						reply, err := r.Text()
						if _, err = reserveWords(reply, err, 1); err != nil {
							return err
						}
					}
					return nil
				})
			})
		})
	}
}
