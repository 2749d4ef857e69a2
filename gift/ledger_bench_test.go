package gift

import (
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"livecart/proto"
)

// booker books tips of a thousand senders in batches of a size.
type booker struct {
	*world
	ledger *Ledger
	tips   int
}

func newBooker(b *testing.B) *booker {
	const senders = 1000
	w := newWorld(b)
	w.exec(`INSERT INTO bean_lot (id, user_id, kind, key, beans, amount, currency, balance, version)
		SELECT 'lot_' || i, 'user' || i, 'grant', 'seed', 1000000000, 0, '', 1000000000, 1 FROM generate_series(0, $1 - 1) i`, senders)
	w.exec(`INSERT INTO wallet SELECT user_id, balance, version FROM bean_lot`)
	return &booker{world: w, ledger: w.newLedger()}
}

func (k *booker) book(size int) {
	asked := make([]*proto.TipRequest, size)
	for i := range asked {
		k.tips++
		asked[i] = request(k, "user"+strconv.Itoa(k.tips%1000), strconv.Itoa(k.tips), live, "rose", 1, fmt.Sprint("combo", k.tips%3))
	}
	decided, _ := k.ledger.settle(k.Context(), asked)
	for _, d := range decided {
		if d.outcome != booked {
			k.Fatal(d.outcome)
		}
	}
}

// Tips a second through one worker's transactions, without NATS; Postgres runs without fsync, as in
// all tests. On 2 shared cores of an AMD EPYC (linux/amd64, Go 1.26.8, Postgres 15): 0.9k one by
// one, 12k in batches of 50, 16k of 200, 20k of 500.
func BenchmarkBook(b *testing.B) {
	for _, size := range []int{1, 50, 200, 500} {
		b.Run("batch="+strconv.Itoa(size), func(b *testing.B) {
			k := newBooker(b)
			b.ReportAllocs()
			for b.Loop() {
				k.book(size)
			}
			b.ReportMetric(float64(k.tips)/b.Elapsed().Seconds(), "tips/s")
		})
	}
}

// Tips a second in batches of 500, and one by one, in turn, so that a busy machine slows both; the
// median of five rounds. 25 on 2 cores of an AMD EPYC under a load of 20 (Go 1.26.8, Postgres 15).
func BenchmarkRatioBook(b *testing.B) {
	k := newBooker(b)
	rate := func(batches, size int) float64 {
		began := time.Now()
		for range batches {
			k.book(size)
		}
		return float64(batches*size) / time.Since(began).Seconds()
	}
	var batched, single, ratios []float64
	for b.Loop() {
		for range 5 {
			batched, single = append(batched, rate(10, 500)), append(single, rate(300, 1))
			ratios = append(ratios, batched[len(batched)-1]/single[len(single)-1])
		}
	}
	for unit, values := range map[string][]float64{"ratio": ratios, "batched/s": batched, "single/s": single} {
		slices.Sort(values)
		b.ReportMetric(values[len(values)/2], unit)
	}
	b.ReportMetric(0, "ns/op")
}
