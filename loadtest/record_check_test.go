package loadtest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"livecart/session/stack/stacktest"
	"livecart/session/store"
)

// witnessed is a sale of four pieces, two of them a buyer at most, an order of two shops and two gifts,
// as the clients saw it. Ann's k1 was sent three times.
func witnessed() []Record {
	flash := func(client, key string, quantity, sent int64, outcome, order string) Record {
		r := Record{Client: client, Key: key, Kind: KindFlashBuy, RoomID: "demo", SaleID: "s", Quantity: quantity, SentMs: sent, Outcome: outcome, OrderID: order}
		if outcome != "" {
			r.AnsweredMs = sent + 5
		}
		return r
	}
	return []Record{
		flash("ann", "k1", 2, 100, "", ""),
		flash("ann", "k1", 2, 110, "pending", ""),
		flash("ann", "k1", 2, 120, "ok", "o1"),
		flash("ann", "k2", 1, 130, "limit_per_buyer", ""),
		flash("bob", "k1", 1, 100, "ok", "o2"),
		flash("cid", "k1", 1, 100, "ok", "o3"),
		flash("dee", "k1", 1, 140, "sold_out", ""),
		flash("eve", "k1", 1, 90, "not_started", ""),
		flash("eve", "k1", 1, 150, "sold_out", ""),
		flash("fay", "k1", 1, 150, "attempt_expired", ""),
		flash("gus", "k1", 1, 900, "sale_ended", ""),
		flash("ann", "k1", 3, 160, "idempotency_conflict", ""),
		{Client: "ann", Key: "k1", Kind: KindOrderCreate, RoomID: "demo", Quantity: 5, SentMs: 200, AnsweredMs: 210, Outcome: "ok", OrderID: "o4"},
		{Client: "bob", Key: "k9", Kind: KindOrderCreate, SentMs: 200, AnsweredMs: 210, Outcome: "sold_out"},
		{Client: "ann", Key: "k1", Kind: KindGiftSend, RoomID: "demo", GiftID: "rose", Quantity: 3, SentMs: 300, AnsweredMs: 310, Outcome: "ok", TipID: "t1"},
		{Client: "bob", Key: "k1", Kind: KindGiftSend, RoomID: "demo", GiftID: "rocket", Quantity: 1, SentMs: 300, AnsweredMs: 310, Outcome: "insufficient_beans"},
		{Client: "bob", Key: "k2", Kind: KindGiftSend, RoomID: "demo", GiftID: "rose", Quantity: 1, SentMs: 300},
		{Client: "bob", Key: "k3", Kind: KindGiftSend, GiftID: "rocket", Quantity: 9, SentMs: 300, AnsweredMs: 310, Outcome: "confirmation_required"},
	}
}

// putWitnessed writes what Postgres holds of witnessed. Bob's order expired and cid bought its piece.
func putWitnessed(t *testing.T, conn *pgx.Conn) {
	t.Helper()
	put(t, conn, `SET session_replication_role = replica`)
	put(t, conn, `INSERT INTO sale (id, room_id, shop_id, product_id, listing_id, sku_id, title, image_url, currency, price, original_price, quantity, sold, per_buyer_limit, widest_limit, starts_at, ends_at, closed_at) VALUES
		('s', 'demo', 'x', 'x', 'x', 'x', 'x', '', 'CNY', 1, 2, 3, 3, 2, 2, '2026-01-01 10:00Z', '2026-01-01 11:00Z', '2026-01-01 10:30Z')`)
	put(t, conn, `INSERT INTO orders (id, shop_id, room_id, sale_id, buyer_id, buyer_name, request_id, state, currency, amount, created_at, expires_at, split_from) VALUES
		('o1', 'x', 'demo', 's', 'ann', '', 'k1', 'paid', 'CNY', 2, '2026-01-01 10:00:01Z', now(), NULL),
		('o2', 'x', 'demo', 's', 'bob', '', 'k1', 'expired', 'CNY', 1, '2026-01-01 10:00:02Z', now(), NULL),
		('o3', 'x', 'demo', 's', 'cid', '', 'k1', 'paid', 'CNY', 1, '2026-01-01 10:20Z', now(), NULL),
		('o4', 'x', 'demo', NULL, 'ann', '', 'k1', 'paid', 'CNY', 2, '2026-01-01 10:20Z', now(), NULL),
		('o5', 'y', 'demo', NULL, 'ann', '', 'k1', 'paid', 'CNY', 3, '2026-01-01 10:20Z', now(), 'o4')`)
	put(t, conn, `INSERT INTO order_line (order_id, n, listing_id, sku_id, title, image_url, quantity, unit_price) VALUES
		('o1', 1, 'x', 'x', '', '', 2, 1), ('o2', 1, 'x', 'x', '', '', 1, 1), ('o3', 1, 'x', 'x', '', '', 1, 1), ('o4', 1, 'x', 'x', '', '', 2, 1), ('o5', 1, 'x', 'x', '', '', 3, 1)`)
	put(t, conn, `INSERT INTO order_event (order_id, n, from_state, to_state, cause, at) VALUES
		('o1', 1, '', 'awaiting_payment', '', '2026-01-01 10:00:01Z'), ('o1', 2, 'awaiting_payment', 'paid', '', '2026-01-01 10:00:05Z'),
		('o2', 1, '', 'awaiting_payment', '', '2026-01-01 10:00:02Z'), ('o2', 2, 'awaiting_payment', 'expired', '', '2026-01-01 10:10Z'),
		('o3', 1, '', 'awaiting_payment', '', '2026-01-01 10:20Z')`)
	put(t, conn, `INSERT INTO attempt (buyer_id, key, kind, hash, sale_id, quantity, outcome, order_id) VALUES
		('ann', 'k1', 'flash_buy', '', 's', 2, 'ordered', 'o1'), ('bob', 'k1', 'flash_buy', '', 's', 1, 'ordered', 'o2'), ('cid', 'k1', 'flash_buy', '', 's', 1, 'ordered', 'o3'),
		('eve', 'k1', 'flash_buy', '', 's', 1, 'sold_out', NULL), ('fay', 'k1', 'flash_buy', '', 's', 1, 'void', NULL), ('gus', 'k1', 'flash_buy', '', 's', 1, 'sale_ended', NULL),
		('ann', 'k1', 'order_create', '', NULL, 0, 'ordered', 'o4'), ('bob', 'k9', 'order_create', '', NULL, 0, 'sold_out', NULL)`)
	put(t, conn, `INSERT INTO tip (id, room_id, host_id, sender_id, sender_name, sender_role, gift_id, tier, count, price, beans, host_ppm, host_beans, fee_beans, combo_count, balance, version, at) VALUES
		('t1', 'demo', 'hana', 'ann', '', 1, 'rose', 1, 3, 1, 3, 500000, 1, 2, 3, 0, 1, now()), ('t2', 'demo', 'hana', 'bob', '', 1, 'rose', 1, 1, 1, 1, 500000, 0, 1, 1, 0, 1, now())`)
	put(t, conn, `INSERT INTO tip_attempt (sender_id, key, hash, outcome, tip_id) VALUES
		('ann', 'k1', '', 'booked', 't1'), ('bob', 'k1', '', 'insufficient_beans', NULL), ('bob', 'k2', '', 'booked', 't2')`)
	put(t, conn, `INSERT INTO tip_attempt (sender_id, key, hash, outcome, beans) VALUES ('bob', 'k3', '', 'confirmation_required', 9000)`)
}

// check runs the checks inside tx.
func check(t *testing.T, tx pgx.Tx, records []Record, opts RecordOptions) []RecordViolation {
	t.Helper()
	found, err := CheckRecords(t.Context(), tx, records, opts)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// Each row breaks the history or the database in one way. Exactly the named checks must see it.
func TestRecordedHistoryTurnsRed(t *testing.T) {
	conn := historyDatabase(t)
	with := func(change func(*Record)) func([]Record) []Record {
		return func(records []Record) []Record { change(&records[2]); return records }
	}
	add := func(more ...Record) func([]Record) []Record {
		return func(records []Record) []Record { return append(records, more...) }
	}
	flash := Record{Client: "dee", Key: "k1", Kind: KindFlashBuy, SaleID: "s", Quantity: 1, SentMs: 500, AnsweredMs: 505}
	told := func(r Record, outcome, orderID string) Record { r.Outcome, r.OrderID = outcome, orderID; return r }
	ann := flash
	ann.Client, ann.Quantity = "ann", 2
	const orderFor = `INSERT INTO orders (id, shop_id, room_id, sale_id, buyer_id, buyer_name, request_id, state, currency, amount, created_at, expires_at) VALUES `
	tests := []struct {
		fault  string
		change func([]Record) []Record
		sql    string
		checks string
		says   string
	}{
		{"all is well", nil, ``, "", ""},
		{"order lost", nil, `DELETE FROM orders WHERE id = 'o1'`, checkOrderRecorded + " " + checkSoldAll, "order_id:o1 quantity:2 recorded:[] sale_id:s"},
		{"order of another buyer", nil, `UPDATE orders SET buyer_id = 'zoe' WHERE id = 'o2'`, checkOrderRecorded, "client:bob"},
		{"order under another key", nil, `UPDATE orders SET request_id = 'k7' WHERE id = 'o2'`, checkOrderRecorded, "client:bob"},
		{"order twice", nil, orderFor + `('o9', 'x', 'demo', 's', 'ann', '', 'k1', 'paid', 'CNY', 2, '2026-01-01 10:01Z', now())`, checkOrderRecorded, "o9"},
		{"order of other pieces", nil, `UPDATE order_line SET quantity = 1 WHERE order_id = 'o1'`, checkOrderRecorded, "quantity=1"},
		{"order of another sale", with(func(r *Record) { r.SaleID = "s2" }), ``, checkOrderRecorded, "sale_id:s2"},
		{"order of another room", with(func(r *Record) { r.RoomID = "other" }), ``, checkOrderRecorded, "room=demo"},
		{"another order's id", with(func(r *Record) { r.OrderID = "o3" }), ``, checkOneOutcome + " " + checkOrderRecorded, "one:ok o3 other:ok o1"},
		{"part of a split order lost", nil, `DELETE FROM orders WHERE id = 'o5'`, checkOrderRecorded, "order_id:o4 quantity:5"},
		{"split order not counted", func(records []Record) []Record { records[12].Quantity = 0; return records }, `DELETE FROM orders WHERE id = 'o5'`, "", ""},
		{"tip lost", nil, `DELETE FROM tip WHERE id = 't1'`, checkTipRecorded, "tip_id:t1"},
		{"tip of another", nil, `UPDATE tip SET sender_id = 'zoe' WHERE id = 't1'`, checkTipRecorded, "tip_id:t1"},
		{"tip of another gift", nil, `UPDATE tip SET gift_id = 'gem' WHERE id = 't1'`, checkTipRecorded, "of=gem"},
		{"tip of another count", nil, `UPDATE tip SET count = 2, price = 1, beans = 2, host_beans = 1, fee_beans = 1, combo_count = 3 WHERE id = 't1'`, checkTipRecorded, "quantity=2"},
		{"tip in another room", nil, `UPDATE tip SET room_id = 'x' WHERE id = 't1'`, checkTipRecorded, "room=x"},
		{"tip under a refused key", nil, `UPDATE tip_attempt SET outcome = 'booked', tip_id = 't2' WHERE sender_id = 'bob' AND key = 'k1'`, checkOneOutcome + " " + checkRefused, "refused:insufficient_beans"},
		{"tip that nobody agreed to", nil, `UPDATE tip_attempt SET outcome = 'booked', tip_id = 't2', beans = NULL WHERE sender_id = 'bob' AND key = 'k3'`, checkOneOutcome + " " + checkRefused, "refused:confirmation_required"},
		{"tip known by another id", func(records []Record) []Record { records[14].TipID = "t2"; return records }, ``, checkOneOutcome + " " + checkTipRecorded, "other:ok t1"},
		{"sold out and then bought", add(told(flash, "ok", "o6")), orderFor + `('o6', 'x', 'demo', 's', 'dee', '', 'k1', 'paid', 'CNY', 1, '2026-01-01 10:21Z', now())`, checkOneOutcome + " " + checkOrderRecorded + " " + checkRefused, "one:sold_out other:ok o6"},
		{"bought and then sold out", add(told(ann, "sold_out", "")), ``, checkOneOutcome + " " + checkRefused, "one:ok o1 other:sold_out"},
		{"two orders for a key", add(told(ann, "ok", "o9")), ``, checkOneOutcome + " " + checkOrderRecorded, "one:ok o1 other:ok o9"},
		{"two refusals for a key", add(told(flash, "limit_per_buyer", "")), ``, checkOneOutcome, "limit_per_buyer"},
		{"not final after final", add(told(ann, "pending", ""), told(ann, "busy", ""), told(ann, "try_again", ""), told(ann, "idempotency_conflict", "")), ``, "", ""},
		{"recorded otherwise", nil, `UPDATE attempt SET outcome = 'sale_ended' WHERE buyer_id = 'fay'`, checkOneOutcome, "one:attempt_expired other:sale_ended"},
		{"expired key ordered", nil, orderFor + `('o6', 'x', 'demo', 's', 'fay', '', 'k1', 'paid', 'CNY', 1, '2026-01-01 10:21Z', now())`, checkRefused, "refused:attempt_expired"},
		{"ended key ordered", nil, orderFor + `('o6', 'x', 'demo', 's', 'gus', '', 'k1', 'paid', 'CNY', 1, '2026-01-01 10:21Z', now())`, checkRefused, "refused:sale_ended"},
		{"limited key ordered", nil, orderFor + `('o6', 'x', 'demo', 's', 'ann', '', 'k2', 'paid', 'CNY', 1, '2026-01-01 10:21Z', now())`, checkRefused, "refused:limit_per_buyer"},
		{"sold out key ordered", nil, orderFor + `('o6', 'x', 'demo', NULL, 'bob', '', 'k9', 'paid', 'CNY', 1, '2026-01-01 10:21Z', now())`, checkRefused, "kind:order_create"},
		{"served early", nil, `UPDATE orders SET created_at = '2026-01-01 09:59:59.999Z' WHERE id = 'o1'`, checkWindow, "order_id:o1"},
		{"served at the start", nil, `UPDATE orders SET created_at = '2026-01-01 10:00Z' WHERE id = 'o1'`, "", ""},
		{"served at the end", nil, `UPDATE sale SET ends_at = '2026-01-01 10:20Z'`, checkWindow, "order_id:o3"},
		{"served after it closed", nil, `UPDATE sale SET closed_at = '2026-01-01 10:19:59Z'`, checkWindow, "order_id:o3"},
		{"pieces never sold", nil, `UPDATE sale SET quantity = 5`, checkSoldAll, "demand:6 held_by_undone_attempts:1 most_sold:3 quantity:5"},
		{"a void had held the last piece", nil, `UPDATE sale SET quantity = 4`, "", ""},
		{"that void was for another sale", nil, `UPDATE sale SET quantity = 4; UPDATE attempt SET sale_id = 'x' WHERE buyer_id = 'fay'`, checkSoldAll, "most_sold:3 quantity:4"},
		{"less demand than pieces", nil, `UPDATE sale SET quantity = 7`, "", ""},
		{"one buyer's demand above the limit", add(told(ann, "ok", "o1")), `UPDATE sale SET quantity = 7, widest_limit = 1`, "", ""},
		{"fewer left than were asked for", func(r []Record) []Record { r[6].Quantity, r[8].Quantity = 2, 2; return r }, `UPDATE sale SET quantity = 5`, "", ""},
		{"a refund with restock made room", nil, refunded(true) + `UPDATE sale SET quantity = 4; DELETE FROM attempt WHERE buyer_id = 'fay'`, checkSoldAll, "most_sold:3"},
		{"late money took a piece again", nil, `UPDATE sale SET quantity = 5;
			INSERT INTO order_event (order_id, n, from_state, to_state, cause, at) VALUES ('o2', 3, 'expired', 'paid', '', '2026-01-01 10:25Z')`, "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.fault, func(t *testing.T) {
			tx, err := conn.Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer tx.Rollback(context.Background())
			records := witnessed()
			if tt.change != nil {
				records = tt.change(records)
			}
			if _, err := tx.Exec(t.Context(), tt.sql); err != nil {
				t.Fatal(err)
			}
			found := check(t, tx, records, RecordOptions{})
			var red []string
			for _, v := range found {
				red = append(red, v.Check)
			}
			slices.Sort(red)
			if got := strings.Join(slices.Compact(red), " "); got != tt.checks {
				t.Errorf("red: %q, want %q: %v", got, tt.checks, found)
			}
			if !strings.Contains(fmt.Sprint(found), tt.says) {
				t.Errorf("%v does not say %q", found, tt.says)
			}
		})
	}
}

// refunded is SQL that gives ann's two pieces back before cid buys.
func refunded(restock bool) string {
	return fmt.Sprintf(`INSERT INTO refund (id, order_id, payment_id, kind, provider, amount, currency, restock, created_at) VALUES ('r1', 'o1', 'p', 'order', 'x', 1, 'CNY', %v, '2026-01-01 10:15Z');
		INSERT INTO refund_line (refund_id, n, quantity, amount) VALUES ('r1', 1, 2, 1);`, restock)
}

// After a loss of Redis a key may have forgotten a refusal that admission gave, and nothing else.
func TestHistoryAfterALossOfRedis(t *testing.T) {
	conn := historyDatabase(t)
	dee := Record{Client: "dee", Key: "k1", Kind: KindFlashBuy, SaleID: "s", Quantity: 1, SentMs: 500, AnsweredMs: 505, Outcome: "ok", OrderID: "o6"}
	const order = `INSERT INTO orders (id, shop_id, room_id, sale_id, buyer_id, buyer_name, request_id, state, currency, amount, created_at, expires_at) VALUES
			('o6', 'x', 'demo', 's', 'dee', '', 'k1', 'paid', 'CNY', 1, '2026-01-01 10:21Z', now());
		INSERT INTO order_line (order_id, n, listing_id, sku_id, title, image_url, quantity, unit_price) VALUES ('o6', 1, 'x', 'x', '', '', 1, 1);
		INSERT INTO attempt (buyer_id, key, kind, hash, sale_id, quantity, outcome, order_id) VALUES ('dee', 'k1', 'flash_buy', '', 's', 1, 'ordered', 'o6');`
	refusedAt := func(sent int64) Record {
		r := dee
		r.SentMs, r.AnsweredMs, r.Outcome, r.OrderID = sent, sent+5, "sold_out", ""
		return r
	}
	other := dee
	other.OrderID = "o3"
	limited := refusedAt(600)
	limited.Outcome = "limit_per_buyer"
	ended := refusedAt(600)
	ended.Outcome = "sale_ended"
	bob := Record{Client: "bob", Key: "k9", Kind: KindOrderCreate, SentMs: 200, AnsweredMs: 210, Outcome: "ok", OrderID: "o7"}
	tests := []struct {
		name string
		more []Record
		sql  string
		red  string // with the loss; without it all but the first are red
	}{
		{"nothing happened", nil, ``, ""},
		{"sold out and then bought", []Record{dee}, order, ""},
		{"sold out, not told of the order", nil, order, ""},
		{"refused while the order was on its way", []Record{dee, refusedAt(504)}, order, ""},
		{"sold out and then limited", []Record{limited}, ``, ""},
		{"sold out and then ended", []Record{ended}, ``, ""},
		{"bought and then sold out", []Record{dee, refusedAt(505)}, order, checkOneOutcome},
		{"bought twice", []Record{dee, other}, order, checkOneOutcome + " " + checkOrderRecorded},
		{"expired and then ended", []Record{{Client: "fay", Key: "k1", Kind: KindFlashBuy, SaleID: "s", Quantity: 1, SentMs: 500, AnsweredMs: 505, Outcome: "sale_ended"}}, ``, checkOneOutcome},
		{"expired and bought", []Record{{Client: "fay", Key: "k1", Kind: KindFlashBuy, SaleID: "s", Quantity: 1, SentMs: 500, AnsweredMs: 505, Outcome: "ok", OrderID: "o1"}}, ``, checkOneOutcome + " " + checkOrderRecorded},
		{"an ordinary order, which Postgres refused", []Record{bob}, ``, checkOneOutcome + " " + checkOrderRecorded},
	}
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tx, err := conn.Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer tx.Rollback(context.Background())
			if _, err := tx.Exec(t.Context(), tt.sql); err != nil {
				t.Fatal(err)
			}
			records := append(witnessed(), tt.more...)
			var red []string
			for _, v := range check(t, tx, records, RecordOptions{RedisLost: true}) {
				red = append(red, v.Check)
			}
			slices.Sort(red)
			if got := strings.Join(slices.Compact(red), " "); got != tt.red {
				t.Errorf("red: %q, want %q", got, tt.red)
			}
			if found := check(t, tx, records, RecordOptions{}); (len(found) == 0) != (i == 0) {
				t.Errorf("without a loss: %v", found)
			}
		})
	}
}

func TestRecordViolationsAreBounded(t *testing.T) {
	conn := historyDatabase(t)
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(context.Background())
	var records []Record
	for i := range 25 {
		records = append(records, Record{Client: "zoe", Key: fmt.Sprint(i), Kind: KindFlashBuy, SaleID: "s", Quantity: 1, SentMs: 1, AnsweredMs: 2, Outcome: "ok", OrderID: "none"})
	}
	if found := check(t, tx, records, RecordOptions{}); len(found) != 20 {
		t.Errorf("%d violations", len(found))
	}
	records[1].OrderID = ""
	if _, err := CheckRecords(t.Context(), tx, records, RecordOptions{}); err == nil || !strings.HasPrefix(err.Error(), "record 2: the ok of a flash_buy names an order") {
		t.Errorf("a record that contradicts itself: %v", err)
	}
}

func historyDatabase(t *testing.T) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), stacktest.Postgres(t, store.Migrate))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	putWitnessed(t, conn)
	return conn
}

// Every outcome that the schema lets be recorded has its word here.
func TestEveryRecordedOutcomeIsKnown(t *testing.T) {
	conn := historyDatabase(t)
	rows, err := conn.Query(t.Context(), `
		SELECT w[1] FROM pg_constraint, regexp_matches(pg_get_constraintdef(oid), '\''(\w+)\''::text', 'g') AS w
		WHERE conname IN ('attempt_outcome_check', 'tip_attempt_outcome_check')`)
	if err != nil {
		t.Fatal(err)
	}
	words, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(words) < 14 {
		t.Fatalf("%q, %v", words, err)
	}
	for _, word := range words {
		if _, ok := keptWords[word]; !ok {
			t.Errorf("%s is not known", word)
		}
	}
}
