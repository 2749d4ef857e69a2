package cart

import (
	"fmt"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"

	"livecart/session/store"
)

// TestInvariantsTurnRed breaks the database in each way that an invariant is there to see, in a
// transaction that is rolled back.
func TestInvariantsTurnRed(t *testing.T) {
	m := newMarket(t)
	paidOrder := m.order("paid", "tea-l", 2)
	p := m.pay(paidOrder.Id)
	m.notice(success(p, "e"))
	gone := m.order("gone", "tea-l", 1)
	m.expire(gone.Id)
	m.flashOrder("f", 2)
	m.turnRed([]breakage{
		{"order_rows_have_order", []string{`UPDATE order_line SET order_id = 'none' WHERE order_id = '` + paidOrder.Id + `'`}},
		{"order_rows_have_order", []string{`UPDATE order_event SET order_id = 'none' WHERE order_id = '` + gone.Id + `'`}},
		{"order_rows_have_order", []string{`UPDATE orders SET shop_id = 'none' WHERE id = '` + gone.Id + `'`}},
		{"order_rows_have_order", []string{`UPDATE orders SET sale_id = 'none' WHERE sale_id IS NOT NULL`}},
		{"sku_stock", []string{`ALTER TABLE sku DROP CONSTRAINT sku_never_oversold`, `UPDATE sku SET stock = 1 WHERE id = 'k-tea-l'`}},
		{"sku_stock", []string{`ALTER TABLE sku DROP CONSTRAINT sku_never_oversold`, `UPDATE sku SET stock = 5 WHERE id = 'k-tea-s'`}},
		{"sale_stock", []string{`ALTER TABLE sale DROP CONSTRAINT sale_never_oversold`, `UPDATE sale SET sold = 7`}},
		{"sku_moved", []string{`UPDATE sku SET moved = moved + 1 WHERE id = 'k-tea-s'`}},
		{"sku_moved", []string{`UPDATE sale SET closed_at = now()`}},
		{"sku_sold", []string{`UPDATE sku SET sold = sold - 1 WHERE id = 'k-tea-l'`}},
		{"order_holds_stock", []string{`UPDATE order_line SET restocked = 1 WHERE order_id = '` + paidOrder.Id + `'`}},
		{"order_holds_stock", []string{`UPDATE order_line SET restocked = 0 WHERE order_id = '` + gone.Id + `'`}},
		{"order_amount", []string{`UPDATE orders SET amount = amount - 1 WHERE id = '` + gone.Id + `'`}},
		{"order_amount", []string{`DELETE FROM order_line WHERE order_id = '` + gone.Id + `'`}},
		{"order_paid_once", []string{`UPDATE payment SET state = 'void'`}},
		{"order_paid_once", []string{`DROP INDEX payment_one_accepted`, `INSERT INTO payment SELECT 'pay_x', order_id, provider, amount, currency, price_version, url, state, created_at, expires_at FROM payment`}},
		{"order_paid_once", []string{`UPDATE payment SET order_id = '` + gone.Id + `'`}},
		{"order_paid_once", []string{`UPDATE payment SET amount = amount - 1`}},
		{"payment_has_notice", []string{`UPDATE payment_notice SET result = 'late'`}},
		{"payment_has_notice", []string{`UPDATE payment_notice SET amount = 1`}},
		{"payment_has_notice", []string{`INSERT INTO payment_notice SELECT provider, 'e2', payment_id, kind, amount, currency, result FROM payment_notice`}},
		{"order_event_gapless", []string{`UPDATE order_event SET n = 3 WHERE n = 2`}},
		{"order_event_gapless", []string{`UPDATE order_event SET from_state = 'shipped' WHERE n = 2`}},
		{"order_event_ends_at_state", []string{`UPDATE orders SET state = 'shipped' WHERE state = 'paid'`}},
		{"order_event_ends_at_state", []string{`DELETE FROM order_event WHERE order_id = '` + gone.Id + `'`}},
		{"order_has_attempt", []string{`DELETE FROM attempt WHERE key = 'paid'`}},
		{"order_has_attempt", []string{`UPDATE attempt SET outcome = 'sold_out' WHERE key = 'paid'`}},
		{"order_has_attempt", []string{`UPDATE attempt SET order_id = NULL WHERE key = 'paid'`}},
		{"order_has_attempt", []string{`INSERT INTO attempt SELECT buyer_id, 'other', kind, hash, sale_id, quantity, outcome, order_id FROM attempt WHERE key = 'paid'`}},
		{"order_has_attempt", []string{`UPDATE attempt SET buyer_id = 'bob' WHERE key = 'paid'`}},
	})
}

// breakage is SQL that must make an invariant red.
type breakage struct {
	name string
	sql  []string
}

// turnRed does the damage of each row in a transaction that is rolled back.
func (m *market) turnRed(rows []breakage) {
	m.t.Helper()
	for _, row := range rows {
		m.t.Run(row.name, func(t *testing.T) {
			tx, err := m.pool().Begin(t.Context())
			m.must(err)
			defer tx.Rollback(t.Context())
			m.expect("before", fmt.Sprint(m.violated(tx)), "[]")
			for _, sql := range row.sql {
				tag, err := tx.Exec(t.Context(), sql)
				m.must(err)
				if tag.RowsAffected() == 0 && sql[:5] != "ALTER" && sql[:4] != "DROP" {
					t.Fatalf("changed nothing: %s", sql)
				}
			}
			if found := m.violated(tx); !slices.Contains(found, row.name) {
				t.Errorf("%v makes only %v red", row.sql, found)
			}
		})
	}
}

// violated returns the names of the invariants that do not hold.
func (m *market) violated(tx pgx.Tx) []string {
	m.t.Helper()
	found, err := store.Check(m.t.Context(), tx, slices.Concat(orderInvariants, sellerInvariants, refundInvariants))
	m.must(err)
	var names []string
	for _, v := range found {
		names = append(names, v.Invariant)
	}
	return names
}

func TestInvariantsAreNamed(t *testing.T) {
	seen := map[string]bool{}
	for _, inv := range Invariants {
		if inv.Name == "" || inv.Doc == "" || inv.SQL == "" || seen[inv.Name] {
			t.Errorf("invariant %q lacks something or is named twice", inv.Name)
		}
		seen[inv.Name] = true
	}
}
