package fault

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"livecart/proto"
)

// sale starts a flash sale of a new product with so many pieces.
func (w *world) sale(quantity int64, perBuyer int32) *proto.FlashSale {
	w.t.Helper()
	listing := w.product(quantity)
	sale, err := w.cart.StartSale(w.t.Context(), roomID, host(), "start-"+listing, &proto.FlashStart{
		ListingId: listing, Price: 500, Quantity: quantity, PerBuyerLimit: perBuyer, DurationMs: 600_000,
	})
	w.must(err)
	return sale
}

// product puts a new product with one listing of so many pieces on the shelf.
func (w *world) product(stock int64) (listing string) {
	w.t.Helper()
	w.products++
	id := fmt.Sprintf("p%d", w.products)
	_, err := w.cart.PutProduct(w.t.Context(), &proto.Product{
		Id: id, ShopId: shopID, Title: "Product " + id, OnSale: true, Listings: []*proto.Listing{{Id: id, SkuId: id, Price: 1000}},
	}, map[string]int64{id: stock})
	w.must(err)
	w.must(w.cart.PutOnShelf(w.t.Context(), roomID, id, w.products))
	return id
}

// sold is how many pieces a sale has sold, by Postgres.
func (w *world) sold(sale *proto.FlashSale) int64 {
	w.t.Helper()
	return scan[int64](w, `SELECT sold FROM sale WHERE id = $1`, sale.Id)
}

// saleKey names a Redis key of a sale: "sale", "pending" or "buyers".
func saleKey(saleID, name string) string { return "{f:" + saleID + "}:" + name }

// counters are a sale's hash in Redis; empty while it has none.
func (w *world) counters(saleID string) map[string]string {
	w.t.Helper()
	all, err := w.redis.HGetAll(w.t.Context(), saleKey(saleID, "sale")).Result()
	w.must(err)
	return all
}

// available is what a sale has left by Redis.
func (w *world) available(saleID string) int64 {
	w.t.Helper()
	n, err := strconv.ParseInt(w.counters(saleID)["available"], 10, 64)
	w.must(err)
	return n
}

// pending is how many reservations of a sale wait for their outcome.
func (w *world) pending(saleID string) int64 {
	w.t.Helper()
	n, err := w.redis.HLen(w.t.Context(), saleKey(saleID, "pending")).Result()
	w.must(err)
	return n
}

// leaveAlone keeps the periodic Resync off a sale for the rest of the case, so that what a case sees
// in Redis is what the commands did.
func (w *world) leaveAlone(saleID string) {
	w.t.Helper()
	w.exec(`UPDATE sale SET resynced_at = clock_timestamp() + interval '1 hour' WHERE id = $1`, saleID)
}

// held is an open transaction of the case; what it has locked or written holds up others until commit
// or rollback.
type held struct {
	w  *world
	tx pgx.Tx
}

func (h held) commit() {
	h.w.t.Helper()
	h.w.must(h.tx.Commit(h.w.t.Context()))
}

func (h held) rollback() {
	h.w.t.Helper()
	h.w.must(h.tx.Rollback(h.w.t.Context()))
}

// lock runs a statement in a transaction that stays open.
func (w *world) lock(sql string, args ...any) held {
	w.t.Helper()
	tx, err := w.pool.Begin(w.t.Context())
	w.must(err)
	w.t.Cleanup(func() { tx.Rollback(context.Background()) })
	_, err = tx.Exec(w.t.Context(), sql, args...)
	w.must(err)
	return held{w, tx}
}

// lockSale holds a sale's row: everybody who decides about the sale waits.
func (w *world) lockSale(saleID string) held {
	w.t.Helper()
	return w.lock(`SELECT FROM sale WHERE id = $1 FOR UPDATE`, saleID)
}

// waiting is how many sessions of a process, all if "", wait for a lock.
func (w *world) waiting(process string) int {
	w.t.Helper()
	return scan[int](w, `
		SELECT count(*) FROM pg_stat_activity
		WHERE datname = current_database() AND wait_event_type = 'Lock' AND $1 IN ('', application_name)`, process)
}

// hurry makes a sale due for the keepers' next turn, unless somebody is about it.
func (w *world) hurry(saleID string) {
	w.t.Helper()
	w.exec(`UPDATE sale SET resynced_at = '-infinity' WHERE id = (SELECT id FROM sale WHERE id = $1 FOR UPDATE SKIP LOCKED)`, saleID)
}

// saleLater starts a sale of ten pieces that opens in an hour.
func (w *world) saleLater() *proto.FlashSale {
	w.t.Helper()
	listing := w.product(10)
	sale, err := w.cart.StartSale(w.t.Context(), roomID, host(), "start-"+listing, &proto.FlashStart{
		ListingId: listing, Price: 500, Quantity: 10, DurationMs: 600_000, StartsAtMs: time.Now().Add(time.Hour).UnixMilli(),
	})
	w.must(err)
	return sale
}
