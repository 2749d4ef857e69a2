package cart

import (
	"slices"
	"testing"

	"livecart/session/store"
)

// TestPaymentInvariantsTurnRed breaks what is recorded of money and of the outbox in each way.
func TestPaymentInvariantsTurnRed(t *testing.T) {
	m := newMarket(t)
	m.hook(newShopEnd(t))
	late, p := m.owedOrder("late")
	paidOnce := m.paid("good", "tea-s", 1)
	m.refund("r", refundOf(paidOnce.Id, false))
	for _, row := range []struct {
		name, sql string
	}{
		{"stray_money_owed_once", `DELETE FROM refund WHERE kind = 'payment'`},
		{"stray_money_owed_once", `UPDATE refund SET amount = amount - 1 WHERE kind = 'payment'`},
		{"stray_money_owed_once", `UPDATE refund SET currency = 'USD' WHERE kind = 'payment'`},
		{"stray_money_owed_once", `UPDATE refund SET event_id = 'other' WHERE kind = 'payment'`},
		{"stray_money_owed_once", `UPDATE payment_notice SET result = 'duplicate' WHERE result = 'late'`},
		{"payment_refund_state", `UPDATE payment SET state = 'refunded' WHERE id = '` + p.PaymentId + `'`},
		{"payment_refund_state", `UPDATE payment SET state = 'void' WHERE id = '` + p.PaymentId + `'`},
		{"payment_refund_state", `UPDATE refund SET state = 'done', done_at = now() WHERE kind = 'payment'`},
		{"refund_within_received", `UPDATE refund SET amount = amount + 1 WHERE kind = 'order'`},
		{"refund_within_received", `UPDATE refund SET currency = 'USD' WHERE kind = 'order'`},
		{"refund_within_received", `UPDATE payment_notice SET result = 'declined' WHERE result = 'accepted'`},
		{"outbox_gapless", `DELETE FROM webhook_delivery WHERE order_id = '` + late.Id + `' AND n = 2`},
	} {
		t.Run(row.name, func(t *testing.T) {
			tx, err := m.pool().Begin(t.Context())
			m.must(err)
			defer tx.Rollback(t.Context())
			before, err := store.Check(t.Context(), tx, paymentInvariants)
			m.must(err)
			m.expect("before", len(before), 0)
			tag, err := tx.Exec(t.Context(), row.sql)
			m.must(err)
			if tag.RowsAffected() == 0 {
				t.Fatalf("changed nothing: %s", row.sql)
			}
			found, err := store.Check(t.Context(), tx, paymentInvariants)
			m.must(err)
			if !slices.ContainsFunc(found, func(v store.Violation) bool { return v.Invariant == row.name }) {
				t.Errorf("%s makes only %v red", row.sql, found)
			}
		})
	}
}
