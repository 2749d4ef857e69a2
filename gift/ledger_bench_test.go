package gift

import (
	"fmt"
	"strconv"
	"testing"

	"livecart/proto"
)

// Tips a second through one worker's transactions, without NATS; Postgres runs without fsync, as in
// all tests. On 2 shared cores of an AMD EPYC (linux/amd64, Go 1.26.8, Postgres 15): 0.9k one by
// one, 12k in batches of 50, 16k of 200, 20k of 500.
func BenchmarkBook(b *testing.B) {
	const senders = 1000
	for _, size := range []int{1, 50, 200, 500} {
		b.Run("batch="+strconv.Itoa(size), func(b *testing.B) {
			w := newWorld(b)
			w.exec(`INSERT INTO bean_lot (id, user_id, kind, key, beans, amount, currency, balance, version)
				SELECT 'lot_' || i, 'user' || i, 'grant', 'seed', 1000000000, 0, '', 1000000000, 1 FROM generate_series(0, $1 - 1) i`, senders)
			w.exec(`INSERT INTO wallet SELECT user_id, balance, version FROM bean_lot`)
			l := w.newLedger()
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				asked := make([]*proto.TipRequest, size)
				for i := range asked {
					n++
					asked[i] = request(b, "user"+strconv.Itoa(n%senders), strconv.Itoa(n), live, "rose", 1, fmt.Sprint("combo", n%3))
				}
				decided, _ := l.settle(b.Context(), asked)
				if decided[0].outcome != booked {
					b.Fatal(decided[0].outcome)
				}
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "tips/s")
		})
	}
}
