package main

import (
	"encoding/csv"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"

	"livecart/proto"
	"livecart/session"
)

// books is a room with orders of two shops in two currencies, stray money, and tips, written by hand.
type books struct {
	*front
}

// newBooks writes into the room "room" of shop "shop" (CNY, 5 % of orders made after the change to
// that, nothing before) and shop "-other" (USD).
func newBooks(t *testing.T) *books {
	t.Helper()
	b := &books{front: newFront(t)}
	b.exec(`INSERT INTO shop (id, name, currency) VALUES ('-other', '=Other', 'USD')`)
	b.exec(`INSERT INTO fee_policy (shop_id, since, sale_ppm, tip_ppm, set_by, at) VALUES
		('shop', '2026-01-01 10:00Z', 50000, 500000, 'ops', '2026-01-01Z'), ('shop', '2026-01-01 12:00Z', 999999, 500000, 'ops', '2026-01-01Z')`)
	return b
}

func (b *books) exec(sql string, args ...any) {
	b.Helper()
	_, err := b.parts.pool.Exec(b.Context(), sql, args...)
	b.must(err)
}

// order writes an order of pieces at a price, with its reprice, in a state that was reached by way of
// paid or not.
func (b *books) order(id, shop, currency, state string, pieces, price, discount int64, at string) {
	b.Helper()
	amount := pieces*price - discount
	b.exec(`INSERT INTO orders (id, shop_id, room_id, buyer_id, buyer_name, request_id, state, currency, amount, discount, created_at, expires_at)
		VALUES ($1, $2, 'room', 'vi', 'Vi', $1, $3, $4, $5, $6, $7::timestamptz, $7::timestamptz)`, id, shop, state, currency, amount, discount, at)
	b.exec(`INSERT INTO order_line (order_id, n, listing_id, sku_id, title, image_url, quantity, unit_price) VALUES ($1, 1, 'l', 'k', 'x', '', $2, $3)`, id, pieces, price)
	b.exec(`INSERT INTO order_event (order_id, n, from_state, to_state, cause) VALUES ($1, 1, '', 'awaiting_payment', '')`, id)
	if discount > 0 {
		b.exec(`INSERT INTO order_reprice (order_id, n, from_amount, to_amount, by_id) VALUES ($1, 1, $2, $3, 'hana')`, id, pieces*price, amount)
	}
	if slices.Contains([]string{"paid", "shipped", "completed", "refund_due", "refunded"}, state) {
		b.exec(`INSERT INTO order_event (order_id, n, from_state, to_state, cause) VALUES ($1, 2, 'awaiting_payment', 'paid', '')`, id)
		b.exec(`INSERT INTO payment (id, order_id, provider, amount, currency, price_version, state, expires_at) VALUES ('p-' || $1, $1, 'sandbox', $2, $3, 1, 'accepted', now())`, id, amount, currency)
		b.notice("n-"+id, "p-"+id, amount, currency, "accepted")
	}
}

func (b *books) notice(event, payment string, amount int64, currency, result string) {
	b.Helper()
	b.exec(`INSERT INTO payment_notice (provider, event_id, payment_id, kind, amount, currency, result) VALUES ('sandbox', $1, $2, 'payment.succeeded', $3, $4, $5)`,
		event, payment, amount, currency, result)
}

// refund gives back some pieces of an order's only line.
func (b *books) refund(id, order string, pieces, amount int64, state string) {
	b.Helper()
	b.exec(`INSERT INTO refund (id, order_id, payment_id, kind, provider, amount, currency, state, done_at)
		SELECT $1, $2, 'p-' || $2, 'order', 'sandbox', $3, currency, $4, CASE WHEN $4 = 'done' THEN now() END FROM orders WHERE id = $2`, id, order, amount, state)
	b.exec(`INSERT INTO refund_line (refund_id, n, quantity, amount) VALUES ($1, 1, $2, $3)`, id, pieces, amount)
	b.exec(`UPDATE order_line SET refunded = refunded + $2 WHERE order_id = $1`, order, pieces)
}

// stray is money that paid nothing.
func (b *books) stray(event, order string, amount int64, currency, state string) {
	b.Helper()
	b.exec(`INSERT INTO payment (id, order_id, provider, amount, currency, price_version, state, expires_at) VALUES ('p-' || $1, $2, 'sandbox', $3, $4, 1, 'refund_due', now())`, event, order, amount, currency)
	b.notice(event, "p-"+event, amount, currency, "late")
	b.exec(`INSERT INTO refund (id, order_id, payment_id, kind, provider, event_id, amount, currency, state, done_at)
		VALUES ('r-' || $1, $2, 'p-' || $1, 'payment', 'sandbox', $1, $3, $4, $5, CASE WHEN $5 = 'done' THEN now() END)`, event, order, amount, currency, state)
}

// tip is one of the sender's; the wallet holds balance afterwards.
func (b *books) tip(id, host, sender string, beans, hostBeans, balance, version int64) {
	b.Helper()
	b.exec(`INSERT INTO tip (id, room_id, host_id, sender_id, sender_name, sender_role, gift_id, tier, count, price, beans, host_ppm, host_beans, fee_beans, combo_count, balance, version, at)
		VALUES ($1, 'room', $2, $3, '', 1, 'rose', 1, 1, $4::bigint, $4::bigint, 500000, $5::bigint, $4::bigint - $5::bigint, 1, $6, $7, now())`, id, host, sender, beans, hostBeans, balance, version)
	b.exec(`INSERT INTO tip_attempt (sender_id, key, hash, outcome, tip_id) VALUES ($1, $2, '', 'booked', $2)`, sender, id)
}

func (b *books) reverse(tip string, balance, version int64) {
	b.Helper()
	b.exec(`INSERT INTO tip_reversal (id, tip_id, room_id, host_id, sender_id, beans, host_beans, fee_beans, reason, by_id, key, balance, version, at)
		SELECT 'rev-' || id, id, room_id, host_id, sender_id, beans, host_beans, fee_beans, '', 'ops', id, $2, $3, now() FROM tip WHERE id = $1`, tip, balance, version)
}

// evening fills the books with some of everything; once is what turns it final.
func (b *books) evening() {
	b.Helper()
	const early, late = "2026-01-01 09:00Z", "2026-01-01 11:00Z"
	b.order("o1", "shop", "CNY", "awaiting_payment", 1, 700, 0, late)
	b.order("o2", "shop", "CNY", "paid", 3, 1000, 1, late) // 2999 paid, 1000 back: a fee of 99 of 1999
	b.refund("r1", "o2", 1, 999, "due")
	b.refund("r2", "o2", 1, 1, "done")
	b.order("o3", "shop", "CNY", "completed", 1, 4000, 0, early) // no fee yet
	b.order("o4", "shop", "CNY", "refunded", 2, 500, 0, late)    // all back
	b.refund("r3", "o4", 2, 1000, "done")
	b.order("o5", "shop", "CNY", "expired", 1, 700, 0, late)
	b.stray("late5", "o5", 700, "CNY", "done")
	b.stray("odd5", "o5", 650, "JPY", "due") // in another currency
	b.notice("again", "p-o2", 2999, "CNY", "duplicate")
	b.order("o6", "shop", "CNY", "cancelled", 1, 300, 0, late)
	b.order("u1", "-other", "USD", "shipped", 2, 1234, 400, late)
	b.exec(`INSERT INTO bean_lot (id, user_id, kind, key, beans, amount, currency, balance, version) VALUES ('lot', 'vi', 'topup', 't', 700, 10000, 'CNY', 700, 1)`)
	b.tip("t1", "hana", "vi", 33, 16, 667, 2)
	b.tip("t2", "hana", "vi", 100, 50, 567, 3)
	b.reverse("t2", 667, 4)
	b.tip("t3", "=guest", "vi", 7, 3, 660, 5)
}

func (b *books) statement(token string) *statement {
	b.Helper()
	s := new(statement)
	b.do("GET", "/v1/rooms/room/statement", token, "").want(http.StatusOK, "").into(s)
	return s
}

// figure returns one amount, which must be there once.
func (s *statement) figure(t testing.TB, of owner, name, unit string) int64 {
	t.Helper()
	var found []int64
	for _, f := range s.Figures {
		if f.owner == of && f.Name == name && f.Unit == unit {
			found = append(found, f.Amount)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%v %s in %s is there %d times", of, name, unit, len(found))
	}
	return found[0]
}

var (
	wholeRoom = owner{Scope: scopeRoom}
	ofHanas   = owner{Scope: scopeShop, ShopID: "shop"}
	ofOther   = owner{Scope: scopeShop, ShopID: "-other"}
	ofHana    = owner{Scope: scopeHost, HostID: "hana"}
	ofNobody  = owner{Scope: scopeHost, HostID: "=guest"}
)

func TestStatementOfAnEvening(t *testing.T) {
	b := newBooks(t)
	b.evening()
	s := b.statement(b.operator())
	for _, want := range []struct {
		of     owner
		name   string
		unit   string
		amount int64
	}{
		{ofHanas, "orders", "orders", 6}, {ofOther, "orders", "orders", 1}, {wholeRoom, "orders", "orders", 7},
		{ofHanas, "orders_awaiting_payment", "orders", 1}, {ofHanas, "orders_paid", "orders", 1}, {ofHanas, "orders_completed", "orders", 1},
		{ofHanas, "orders_refunded", "orders", 1}, {ofHanas, "orders_expired", "orders", 1}, {ofHanas, "orders_cancelled", "orders", 1},
		{ofOther, "orders_shipped", "orders", 1}, {ofHanas, "orders_refund_due", "orders", 0},
		{wholeRoom, "pieces", "pieces", 11}, {wholeRoom, "pieces_refunded", "pieces", 4},
		{ofHanas, "gross_sales", "CNY", 9700}, {ofHanas, "discounts", "CNY", 1}, {ofHanas, "unpaid_sales", "CNY", 1700},
		{ofHanas, "paid_sales", "CNY", 7999}, {ofHanas, "refunds", "CNY", 2000}, {ofHanas, "refunds_due", "CNY", 999}, {ofHanas, "net_sales", "CNY", 5999},
		{ofHanas, "platform_fees", "CNY", 99}, {ofHanas, "shop_shares", "CNY", 5900},
		{ofHanas, "received", "CNY", 8699}, {ofHanas, "stray_money", "CNY", 700}, {ofHanas, "stray_money_due", "CNY", 0},
		{ofHanas, "received", "JPY", 650}, {ofHanas, "stray_money", "JPY", 650}, {ofHanas, "stray_money_due", "JPY", 650}, {ofHanas, "paid_sales", "JPY", 0},
		{ofOther, "paid_sales", "USD", 2068}, {ofOther, "platform_fees", "USD", 0}, {ofOther, "shop_shares", "USD", 2068}, {ofOther, "discounts", "USD", 400},
		{wholeRoom, "paid_sales", "CNY", 7999}, {wholeRoom, "paid_sales", "USD", 2068}, {wholeRoom, "paid_sales", "JPY", 0},
		{ofHana, "tips", "tips", 2}, {ofHana, "tips_reversed", "tips", 1}, {ofHana, "tip_beans", "beans", 133}, {ofHana, "reversed_beans", "beans", 100},
		{ofHana, "host_share", "beans", 16}, {ofHana, "platform_share", "beans", 17}, {ofNobody, "host_share", "beans", 3},
		{wholeRoom, "tip_beans", "beans", 140}, {wholeRoom, "host_share", "beans", 19}, {wholeRoom, "platform_share", "beans", 21},
	} {
		if got := s.figure(t, want.of, want.name, want.unit); got != want.amount {
			t.Errorf("%v %s is %d %s, want %d", want.of, want.name, got, want.unit, want.amount)
		}
	}
	if !s.Balanced || s.Final {
		t.Errorf("balanced %v, final %v: %+v", s.Balanced, s.Final, s.Balances)
	}
	if s.RoomID != "room" || s.HostID != "hana" || s.ShopID != "shop" || s.Phase != "ROOM_PHASE_LIVE" || s.StartedAtMs == 0 || s.AsOfMs < s.StartedAtMs || s.EndedAtMs != 0 {
		t.Errorf("head: %+v", s)
	}
}

// openSale opens a sale of the shop's first listing.
const openSale = `INSERT INTO sale (id, room_id, shop_id, product_id, listing_id, sku_id, title, image_url, currency, price, original_price, quantity, starts_at, ends_at)
	SELECT 's', 'room', p.shop_id, p.id, l.id, l.sku_id, '', '', 'CNY', l.price - 1, l.price, 1, now(), now() + interval '1 hour'
	FROM listing l JOIN product p ON p.id = l.product_id ORDER BY l.id LIMIT 1`

func TestStatementIsFinalWhenNothingComesAnyMore(t *testing.T) {
	b := newBooks(t)
	b.evening()
	b.exec(`UPDATE orders SET state = 'cancelled' WHERE id = 'o1'`)
	b.exec(`UPDATE refund SET state = 'done', done_at = now()`)
	b.do("POST", "/v1/rooms/room/end", b.operator(), "").want(http.StatusOK, "")
	if s := b.statement(b.operator()); !s.Final || s.EndedAtMs == 0 {
		t.Fatalf("not final: %+v", s)
	}
	for fault, sql := range map[string][2]string{
		"room lives":             {`UPDATE room SET phase = 'paused' WHERE id = 'room'`, `UPDATE room SET phase = 'ended' WHERE id = 'room'`},
		"sale is open":           {openSale, `UPDATE sale SET closed_at = now(), close_cause = 'room_ended' WHERE room_id = 'room'`},
		"order awaits payment":   {`UPDATE orders SET state = 'awaiting_payment' WHERE id = 'o1'`, `UPDATE orders SET state = 'cancelled' WHERE id = 'o1'`},
		"order is refund_due":    {`UPDATE orders SET state = 'refund_due' WHERE id = 'o4'`, `UPDATE orders SET state = 'refunded' WHERE id = 'o4'`},
		"refund is due":          {`UPDATE refund SET state = 'due', done_at = NULL WHERE id = 'r1'`, `UPDATE refund SET state = 'done', done_at = now() WHERE id = 'r1'`},
		"late money is due":      {`UPDATE refund SET state = 'due', done_at = NULL WHERE id = 'r-late5'`, `UPDATE refund SET state = 'done', done_at = now() WHERE id = 'r-late5'`},
		"money of others, too":   {`UPDATE refund SET state = 'due', done_at = NULL WHERE id = 'r-odd5'`, `UPDATE refund SET state = 'done', done_at = now() WHERE id = 'r-odd5'`},
		"other shop's is unpaid": {`UPDATE orders SET state = 'awaiting_payment' WHERE id = 'u1'`, `UPDATE orders SET state = 'shipped' WHERE id = 'u1'`},
	} {
		b.exec(sql[0])
		if s := b.statement(b.operator()); s.Final {
			t.Errorf("%s, and the statement is final", fault)
		}
		b.exec(sql[1])
	}
	if s := b.statement(b.operator()); !s.Final || !s.Balanced {
		t.Errorf("final %v, balanced %v", s.Final, s.Balanced)
	}
}

// Each row is tampered with once; the named balances must show it, and no other.
func TestStatementShowsWhatDoesNotBalance(t *testing.T) {
	b := newBooks(t)
	b.evening()
	for _, tt := range []struct {
		fault, sql, undo string
		red              string
	}{
		{"order in no known state", `ALTER TABLE orders DROP CONSTRAINT orders_state_check; UPDATE orders SET state = 'lost' WHERE id = 'o6'`, `UPDATE orders SET state = 'cancelled' WHERE id = 'o6'`, "orders_by_state 1"},
		{"line worth more", `UPDATE order_line SET unit_price = unit_price + 1 WHERE order_id = 'o3'`, `UPDATE order_line SET unit_price = unit_price - 1 WHERE order_id = 'o3'`, "sales_gross 1"},
		{"discount without reprice", `UPDATE orders SET discount = 5 WHERE id = 'o6'`, `UPDATE orders SET discount = 0 WHERE id = 'o6'`, "sales_discounts 5 sales_gross -5"},
		{"payment of another amount", `UPDATE payment SET amount = amount - 7 WHERE id = 'p-o3'`, `UPDATE payment SET amount = amount + 7 WHERE id = 'p-o3'`, "money_received 7 sales_gross 7 sales_paid -7"},
		{"paid without event", `DELETE FROM order_event WHERE order_id = 'o3' AND n = 2`, `INSERT INTO order_event (order_id, n, from_state, to_state, cause) VALUES ('o3', 2, 'awaiting_payment', 'paid', '')`, "sales_paid 4000"},
		{"refund above its lines", `UPDATE refund SET amount = amount + 3 WHERE id = 'r1'`, `UPDATE refund SET amount = amount - 3 WHERE id = 'r1'`, "sales_refunds 3"},
		{"money that nobody knows", `UPDATE payment_notice SET amount = amount + 9 WHERE event_id = 'late5'`, `UPDATE payment_notice SET amount = amount - 9 WHERE event_id = 'late5'`, "money_received 9"},
		{"stray money kept", `DELETE FROM refund WHERE id = 'r-odd5'`, `INSERT INTO refund (id, order_id, payment_id, kind, provider, event_id, amount, currency) VALUES ('r-odd5', 'o5', 'p-odd5', 'payment', 'sandbox', 'odd5', 650, 'JPY')`, "money_received 650"},
		{"tip of no request", `DELETE FROM tip_attempt WHERE tip_id = 't1'`, `INSERT INTO tip_attempt (sender_id, key, hash, outcome, tip_id) VALUES ('vi', 't1', '', 'booked', 't1')`, "tips_confirmed 1"},
		{"legs that do not sum", `ALTER TABLE tip DROP CONSTRAINT tip_legs; UPDATE tip SET host_beans = host_beans + 2 WHERE id = 't1'`, `UPDATE tip SET host_beans = host_beans - 2 WHERE id = 't1'`, "tip_legs -2 tips_split -2"},
		{"wallet debited otherwise", `UPDATE tip SET balance = balance + 1 WHERE id = 't3'`, `UPDATE tip SET balance = balance - 1 WHERE id = 't3'`, "tip_wallets 1"},
		{"wallet credited otherwise", `UPDATE tip_reversal SET balance = balance - 4; UPDATE tip SET balance = balance - 4 WHERE id = 't3'`, `UPDATE tip_reversal SET balance = balance + 4; UPDATE tip SET balance = balance + 4 WHERE id = 't3'`, "reversal_wallets 4"},
		{"reversal of a part", `UPDATE tip_reversal SET beans = 98, host_beans = 48`, `UPDATE tip_reversal SET beans = 100, host_beans = 50`, "reversal_wallets -2 reversals -2"},
	} {
		t.Run(tt.fault, func(t *testing.T) {
			b.exec(tt.sql)
			s := b.statement(b.operator())
			b.exec(tt.undo)
			var red []string
			for _, w := range s.Balances {
				if w.Difference != 0 && w.Scope == scopeRoom {
					red = append(red, fmt.Sprint(w.Name, " ", w.Difference))
				}
				if w.Difference != w.LeftSum-w.RightSum || w.Doc == "" || len(w.Left) == 0 || len(w.Right) == 0 {
					t.Errorf("%+v", w)
				}
			}
			slices.Sort(red)
			if got := strings.Join(red, " "); got != tt.red || s.Balanced {
				t.Errorf("red: %s, want %s; balanced %v", got, tt.red, s.Balanced)
			}
			if !b.statement(b.operator()).Balanced {
				t.Fatal("it stays red")
			}
		})
	}
}

// A random room's statement balances, and its parts add up to it.
func TestStatementPartsAddUp(t *testing.T) {
	b := newBooks(t)
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 1))
	states := []string{"awaiting_payment", "paid", "shipped", "completed", "expired", "cancelled", "refund_due", "refunded"}
	for i := range 60 {
		id, shop, currency := fmt.Sprint("o", i), "shop", "CNY"
		if r.IntN(2) == 0 {
			shop, currency = "-other", "USD"
		}
		state := states[r.IntN(len(states))]
		pieces, price := 1+r.Int64N(9), 1+r.Int64N(9999)
		discount := r.Int64N(pieces * price)
		b.order(id, shop, currency, state, pieces, price, discount, fmt.Sprintf("2026-01-01 %02d:00Z", 9+r.IntN(4)))
		if slices.Contains(states[1:4], state) && r.IntN(2) == 0 || slices.Contains(states[6:], state) {
			b.refund("r"+id, id, 1+r.Int64N(pieces), 1+r.Int64N(pieces*price-discount), "done")
		}
		if r.IntN(4) == 0 {
			b.stray("s"+id, id, 1+r.Int64N(500), []string{"CNY", "USD"}[r.IntN(2)], "due")
		}
	}
	balance := int64(10_000)
	b.exec(`INSERT INTO bean_lot (id, user_id, kind, key, beans, amount, currency, balance, version) VALUES ('lot', 'vi', 'grant', 't', 10000, 0, '', 10000, 1)`)
	for i := range int64(20) {
		beans := 1 + r.Int64N(99)
		balance -= beans
		b.tip(fmt.Sprint("t", i), []string{"hana", "=guest", "mei"}[r.IntN(3)], "vi", beans, r.Int64N(beans+1), balance, i+2)
	}
	s := b.statement(b.operator())
	if !s.Balanced {
		t.Errorf("seed %d: %+v", seed, s.Balances)
	}
	type figure struct{ name, unit string }
	rooms, sums := map[figure]int64{}, map[figure]int64{}
	for _, f := range s.Figures {
		if f.Scope == scopeRoom {
			rooms[figure{f.Name, f.Unit}] = f.Amount
		} else {
			sums[figure{f.Name, f.Unit}] += f.Amount
		}
	}
	if len(rooms) != len(sums) || len(rooms) < 50 {
		t.Errorf("seed %d: %d figures of the room, %d of its parts", seed, len(rooms), len(sums))
	}
	for f, amount := range rooms {
		if sums[f] != amount {
			t.Errorf("seed %d: %v is %d, its parts are %d", seed, f, amount, sums[f])
		}
	}
	// Once more without the parts, straight from the rows.
	for name, sql := range map[string]string{
		"paid_sales":  `SELECT sum(p.amount) FROM payment p JOIN orders o ON o.id = p.order_id WHERE o.room_id = 'room' AND p.state = 'accepted' AND p.currency = $1`,
		"refunds":     `SELECT coalesce(sum(amount), 0) FROM refund WHERE kind = 'order' AND currency = $1`,
		"stray_money": `SELECT coalesce(sum(amount), 0) FROM refund WHERE kind = 'payment' AND currency = $1`,
		"gross_sales": `SELECT sum(quantity * unit_price) FROM order_line JOIN orders o ON o.id = order_id WHERE currency = $1`,
	} {
		for _, currency := range []string{"CNY", "USD"} {
			var want int64
			b.must(b.parts.pool.QueryRow(t.Context(), sql, currency).Scan(&want))
			if got := rooms[figure{name, currency}]; got != want {
				t.Errorf("seed %d: %s is %d %s, the rows are %d", seed, name, got, currency, want)
			}
		}
	}
}

func TestStatementIsForThoseWhoSell(t *testing.T) {
	b := newBooks(t)
	b.evening()
	const path = "/v1/rooms/room/statement"
	room := session.RoomList{"room"}
	b.do("GET", path, "", "").want(http.StatusUnauthorized, proto.ReasonSignInRequired)
	b.do("GET", path, b.viewer(), "").want(http.StatusForbidden, proto.ReasonForbidden)
	b.do("GET", path, b.moderator(), "").want(http.StatusForbidden, proto.ReasonForbidden)
	b.do("GET", path, b.stranger(), "").want(http.StatusForbidden, proto.ReasonForbidden)
	b.do("GET", path, b.token(session.Claims{Subject: "eve", Role: "host", Rooms: room}), "").want(http.StatusForbidden, proto.ReasonForbidden)
	b.do("GET", path, b.token(session.Claims{Subject: "hana", Role: "host", Rooms: session.RoomList{"next"}, Shop: "shop"}), "").want(http.StatusForbidden, proto.ReasonForbidden)
	b.do("GET", "/v1/rooms/none/statement", b.operator(), "").want(http.StatusNotFound, proto.ReasonRoomNotFound)
	b.do("GET", path+"?format=pdf", b.operator(), "").want(http.StatusUnprocessableEntity, proto.ReasonInvalidArgument)

	scopes := func(token string) string {
		var seen []string
		s := b.statement(token)
		for _, f := range s.Figures {
			seen = append(seen, f.Scope+":"+f.ShopID+f.HostID)
		}
		for _, w := range s.Balances {
			seen = append(seen, w.Scope+":"+w.ShopID+w.HostID)
		}
		slices.Sort(seen)
		return strings.Join(slices.Compact(seen), " ")
	}
	const all = "host:=guest host:hana room: shop:-other shop:shop"
	for name, tt := range map[string]struct{ token, want string }{
		"operator":           {b.operator(), all},
		"host of the shop":   {b.host(), all},
		"the room's host":    {b.token(session.Claims{Subject: "hana", Role: "host", Rooms: room}), all},
		"another shop":       {b.token(session.Claims{Subject: "olga", Role: "host", Rooms: room, Shop: "-other"}), "shop:-other"},
		"a shop not in it":   {b.token(session.Claims{Subject: "olga", Role: "host", Rooms: room, Shop: "third"}), ""},
		"the host elsewhere": {b.token(session.Claims{Subject: "hana", Role: "host", Rooms: room, Shop: "third"}), ""},
	} {
		if got := scopes(tt.token); got != tt.want {
			t.Errorf("%s sees %q, want %q", name, got, tt.want)
		}
	}
}

func TestStatementOfAnEmptyRoom(t *testing.T) {
	b := newBooks(t)
	s := b.statement(b.host())
	if got := s.figure(t, wholeRoom, "paid_sales", "CNY"); got != 0 || !s.Balanced || s.Final {
		t.Errorf("%+v", s)
	}
	if got := s.figure(t, ofHana, "host_share", "beans"); got != 0 {
		t.Errorf("%d beans", got)
	}
	club := new(statement)
	b.do("GET", "/v1/rooms/club/statement", b.operator(), "").want(http.StatusOK, "").into(club)
	if len(club.Figures) == 0 || !club.Balanced {
		t.Errorf("a room without a shop: %+v", club)
	}
}

func TestStatementAsCSV(t *testing.T) {
	b := newBooks(t)
	b.evening()
	const path = "/v1/rooms/room/statement"
	a := b.do("GET", path+"?format=csv", b.operator(), "").want(http.StatusOK, "")
	if got := a.header.Get("Content-Type") + " " + a.header.Get("Content-Disposition"); got != `text/csv; charset=utf-8; header=present attachment; filename="statement-room.csv"` {
		t.Errorf("headers: %s", got)
	}
	text := string(a.body)
	if n := strings.Count(text, "\n"); n != strings.Count(text, "\r\n") || !strings.HasSuffix(text, "\r\n") {
		t.Error("lines do not end with CR LF")
	}
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	b.must(err)
	s := b.statement(b.operator())
	if got := strings.Join(rows[0], ","); got != "scope,shop,host,name,currency,amount" || len(rows) != 3+len(s.Figures)+len(s.Balances) {
		t.Errorf("%s and %d rows", got, len(rows))
	}
	for _, line := range []string{
		"room,shop,hana,final,,0\r\n", "room,,,paid_sales,CNY,7999\r\n", "room,,,tip_beans,beans,140\r\n", "shop,shop,,platform_fees,CNY,99\r\n",
		"shop,'-other,,paid_sales,USD,2068\r\n", "host,,'=guest,host_share,beans,3\r\n", "room,,,balance.money_received,JPY,0\r\n",
	} {
		if !strings.Contains(text, line) {
			t.Errorf("there is no row %q", line)
		}
	}
	again := string(b.do("GET", path, b.operator(), "", "Accept: text/csv;q=0.9, */*").want(http.StatusOK, "").body)
	if _, rest, _ := strings.Cut(again, "as_of_ms"); rest[strings.Index(rest, "\n"):] != text[strings.Index(text, "as_of_ms"):][strings.Index(text[strings.Index(text, "as_of_ms"):], "\n"):] {
		t.Error("the order of rows changed")
	}
	for _, accept := range []string{"application/json, text/csv", "*/*", "text/html", ""} {
		if got := b.do("GET", path, b.operator(), "", "Accept: "+accept).want(http.StatusOK, "").header.Get("Content-Type"); got != "application/json" {
			t.Errorf("Accept %q: %s", accept, got)
		}
	}
	if got := b.do("GET", path+"?format=json", b.operator(), "", "Accept: text/csv").header.Get("Content-Type"); got != "application/json" {
		t.Errorf("format=json: %s", got)
	}
}

func TestCellsAreNoFormulas(t *testing.T) {
	for text, want := range map[string]string{
		"": "", "shop": "shop", "a=b": "a=b", "=1+1": "'=1+1", "+1": "'+1", "-1": "'-1", "@x": "'@x", "\t=1": "'\t=1", "\r=1": "'\r=1",
		"  =1": "'  =1", "＝1": "'＝1", "安": "安", " ": " ",
	} {
		if got := cell(text); got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
}
