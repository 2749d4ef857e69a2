package gift

import (
	"context"
	"slices"
	"testing"

	"livecart/proto"
	"livecart/session/store"
)

// Every invariant is broken once, in each way that it is there to find.
func TestInvariantsFind(t *testing.T) {
	tests := []struct{ invariant, name, breakIt string }{
		{"bean_sum_zero", "beans from nowhere", `UPDATE wallet SET balance = balance + 1 WHERE user_id = 'ann'`},
		{"bean_sum_zero", "a lost tip", `DELETE FROM tip WHERE sender_id = 'ann' AND version = 3`},
		{"wallet_history", "two wrongs that add up", `UPDATE wallet SET balance = balance + CASE user_id WHEN 'ann' THEN 1 ELSE -1 END WHERE user_id IN ('ann', 'bo')`},
		{"wallet_history", "a lost wallet", `DELETE FROM wallet WHERE user_id = 'bo'`},
		{"wallet_history", "a wallet without lots", `INSERT INTO wallet VALUES ('eve', 5, 1)`},
		{"wallet_history", "a gap", `UPDATE tip SET version = 9 WHERE sender_id = 'ann' AND version = 3`},
		{"wallet_not_negative", "now", `ALTER TABLE wallet DROP CONSTRAINT wallet_never_negative; UPDATE wallet SET balance = -1 WHERE user_id = 'ann'`},
		{"wallet_not_negative", "once", `ALTER TABLE tip DROP CONSTRAINT tip_balance_check; UPDATE tip SET balance = -1 WHERE sender_id = 'ann' AND version = 2`},
		{"tip_legs", "more than its beans", `ALTER TABLE tip DROP CONSTRAINT tip_legs; UPDATE tip SET fee_beans = fee_beans + 1`},
		{"tip_legs", "another price", `ALTER TABLE tip DROP CONSTRAINT tip_beans; UPDATE tip SET price = price + 1`},
		{"tip_legs", "rounded up", `UPDATE tip SET host_beans = host_beans + 1, fee_beans = fee_beans - 1`},
		{"tip_attempt", "a tip without attempt", `DELETE FROM tip_attempt WHERE key = '1'`},
		{"tip_attempt", "an attempt without tip", `INSERT INTO tip_attempt (sender_id, key, hash, tip_id) VALUES ('ann', 'x', '', 'tip_x')`},
		{"tip_attempt", "two attempts of one tip", `INSERT INTO tip_attempt (sender_id, key, hash, tip_id) SELECT sender_id, 'x', hash, tip_id FROM tip_attempt WHERE key = '1'`},
		{"tip_attempt", "another sender's attempt", `UPDATE tip_attempt SET sender_id = 'bo' WHERE key = '1'`},
		{"combo_count", "too many", `UPDATE tip SET combo_count = combo_count + 1 WHERE version = 3 AND sender_id = 'ann'`},
		{"combo_count", "no combo", `UPDATE tip SET combo_count = 9 WHERE combo_id = ''`},
		{"room_sender_sums", "beans", `UPDATE room_sender SET beans = beans + 1`},
		{"room_sender_sums", "tips", `UPDATE room_sender SET tips = tips + 1`},
		{"room_sender_sums", "a lost row", `DELETE FROM room_sender`},
		{"topup_credit", "paid without credit", `UPDATE topup SET state = 'paid', paid_at = now() WHERE state <> 'paid'`},
		{"topup_credit", "credited without notice", `DELETE FROM topup_notice`},
		{"topup_credit", "credited for other money", `UPDATE bean_lot SET amount = amount + 1 WHERE kind = 'topup'`},
		{"topup_credit", "accepted for other money", `UPDATE topup_notice SET amount = amount + 1`},
		{"topup_credit", "a lot of no top-up", `UPDATE bean_lot SET key = 'top_x' WHERE kind = 'topup'`},
	}
	for _, inv := range Invariants {
		if !slices.ContainsFunc(tests, func(tt struct{ invariant, name, breakIt string }) bool { return tt.invariant == inv.Name }) {
			t.Errorf("nothing breaks %s", inv.Name)
		}
	}
	w := newWorld(t)
	w.populate()
	for _, tt := range tests {
		t.Run(tt.invariant+"/"+tt.name, func(t *testing.T) {
			tx, err := w.pool.Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer tx.Rollback(context.Background())
			if _, err := tx.Exec(t.Context(), tt.breakIt); err != nil {
				t.Fatal(err)
			}
			found, err := store.Check(t.Context(), tx, Invariants)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.ContainsFunc(found, func(v store.Violation) bool { return v.Invariant == tt.invariant }) {
				t.Errorf("not found; found %v", found)
			}
		})
	}
}

// populate makes tips, a refusal, a paid and an open top-up.
func (w *world) populate() {
	w.Helper()
	w.grant("ann", 100)
	w.grant("bo", 100)
	_, g := w.till()
	paid, err := g.TopUp(w.Context(), "bo", "k", 7)
	if err != nil {
		w.Fatal(err)
	}
	if err := g.Paid(w.Context(), Notice{Provider: "sandbox", EventID: "e", PaymentID: paid.ID, Amount: 100, Currency: "CNY"}); err != nil {
		w.Fatal(err)
	}
	if _, err := g.TopUp(w.Context(), "bo", "open", 7); err != nil {
		w.Fatal(err)
	}
	w.newLedger().settle(w.Context(), []*proto.TipRequest{
		request(w, "ann", "1", live, "rose", 3, "c"), request(w, "ann", "2", live, "rose", 2, "c"), request(w, "ann", "3", live, "cake", 1, ""),
		request(w, "ann", "refused", live, "rocket", 1, ""),
	})
}
