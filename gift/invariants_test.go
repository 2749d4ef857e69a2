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
		{"bean_sum_zero", "a lost refund", `DELETE FROM lot_refund`},
		{"bean_sum_zero", "a lost reversal", `DELETE FROM tip_reversal`},
		{"wallet_history", "a lost refund", `DELETE FROM lot_refund`},
		{"wallet_history", "a lost reversal", `DELETE FROM tip_reversal`},
		{"wallet_history", "two wrongs that add up", `UPDATE wallet SET balance = balance + CASE user_id WHEN 'ann' THEN 1 ELSE -1 END WHERE user_id IN ('ann', 'bo')`},
		{"wallet_history", "a lost wallet", `DELETE FROM wallet WHERE user_id = 'bo'`},
		{"wallet_history", "a wallet without lots", `INSERT INTO wallet VALUES ('eve', 5, 1)`},
		{"wallet_history", "a gap", `UPDATE tip SET version = 9 WHERE sender_id = 'ann' AND version = 3`},
		{"wallet_not_negative", "now", `ALTER TABLE wallet DROP CONSTRAINT wallet_never_negative; UPDATE wallet SET balance = -1 WHERE user_id = 'ann'`},
		{"wallet_not_negative", "once", `ALTER TABLE tip DROP CONSTRAINT tip_balance_check; UPDATE tip SET balance = -1 WHERE sender_id = 'ann' AND version = 2`},
		{"wallet_not_negative", "at a refund", `ALTER TABLE lot_refund DROP CONSTRAINT lot_refund_balance_check; UPDATE lot_refund SET balance = -1`},
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
		{"room_sender_sums", "a reversed tip", `DELETE FROM tip_reversal`},
		{"tip_reversal", "more beans", `UPDATE tip_reversal SET beans = beans + 2, host_beans = host_beans + 1, fee_beans = fee_beans + 1`},
		{"tip_reversal", "other legs", `UPDATE tip_reversal SET host_beans = host_beans + 1, fee_beans = fee_beans - 1`},
		{"tip_reversal", "another sender", `UPDATE tip_reversal SET sender_id = 'ann'`},
		{"tip_reversal", "another host", `UPDATE tip_reversal SET host_id = 'hana'`},
		{"tip_reversal", "another room", `UPDATE tip_reversal SET room_id = 'room_live'`},
		{"tip_reversal", "before its tip", `UPDATE tip_reversal SET at = at - interval '1 day'`},
		{"tip_reversal", "twice", `ALTER TABLE tip_reversal DROP CONSTRAINT tip_reversal_once;
			INSERT INTO tip_reversal SELECT 'rev_x', tip_id, room_id, host_id, sender_id, beans, host_beans, fee_beans, reason, by_id, 'x', balance, 99, at FROM tip_reversal`},
		{"lot_refund", "more than the lot", `UPDATE lot_refund SET beans = 8`},
		{"lot_refund", "more money", `UPDATE lot_refund SET amount = amount + 1`},
		{"lot_refund", "a grant", `UPDATE lot_refund SET lot_id = (SELECT id FROM bean_lot WHERE kind = 'grant' AND user_id = 'bo')`},
		{"lot_refund", "to another user", `UPDATE lot_refund SET user_id = 'ann'`},
		{"topup_refund", "money without beans", `DELETE FROM lot_refund`},
		{"topup_refund", "beans without money", `DELETE FROM topup_refund WHERE kind = 'lot'`},
		{"topup_refund", "other money", `UPDATE topup_refund SET amount = amount + 1 WHERE kind = 'lot'`},
		{"topup_refund", "a payment that was kept", `DELETE FROM topup_refund WHERE kind = 'payment'`},
		{"topup_refund", "money for nothing", `UPDATE topup_notice SET result = 'unmatched' WHERE result = 'duplicate'`},
		{"topup_refund", "more than was paid", `UPDATE topup_refund SET amount = amount + 1 WHERE kind = 'payment'`},
		{"topup_refund", "twice", `DROP INDEX topup_refund_of_notice;
			INSERT INTO topup_refund (id, topup_id, kind, provider, event_id, amount, currency) SELECT 'brf_x', topup_id, kind, provider, event_id, amount, currency FROM topup_refund WHERE kind = 'payment'`},
		{"settlement_entries", "a lost entry", `DELETE FROM settlement_entry WHERE entry_id = (SELECT max(entry_id) FROM settlement_entry WHERE entry_id LIKE 'tip%')`},
		{"settlement_entries", "another host's", `UPDATE settlement SET host_id = 'hana' WHERE n = 1`},
		{"settlement_entries", "after its time", `UPDATE settlement SET until = 'epoch' WHERE n = 1`},
		{"settlement_entries", "of nothing", `INSERT INTO settlement_entry SELECT 'tip_none', id FROM settlement WHERE n = 1`},
		{"settlement_entries", "taken twice", `ALTER TABLE settlement_entry DROP CONSTRAINT settlement_entry_pkey; INSERT INTO settlement_entry SELECT * FROM settlement_entry`},
		{"settlement_entries", "another sum", `ALTER TABLE settlement DROP CONSTRAINT settlement_debt_first; UPDATE settlement SET earned = earned + 1`},
		{"settlement_entries", "other counts", `UPDATE settlement SET tips = tips + 1`},
		{"host_balance", "a gap", `UPDATE settlement SET n = 5 WHERE n = 2`},
		{"host_balance", "a debt forgiven", `ALTER TABLE settlement DROP CONSTRAINT settlement_debt_first; UPDATE settlement SET debt_after = 0 WHERE n = 2`},
		{"host_balance", "a debt forgotten by the next", `UPDATE settlement SET debt_before = 1, beans = beans - 1, amount = (beans - 1) * 100 / 7, rest = (beans - 1) * 100 % 7 WHERE n = 1`},
		{"host_balance", "paid in debt", `ALTER TABLE settlement DROP CONSTRAINT settlement_debt_first; UPDATE settlement SET beans = 7, debt_after = debt_after + 7, amount = 100, rest = 0 WHERE n = 2`},
		{"host_balance", "other money", `ALTER TABLE settlement DROP CONSTRAINT settlement_money; UPDATE settlement SET amount = amount + 1 WHERE n = 1`},
		{"host_balance", "rounded the other way", `ALTER TABLE settlement DROP CONSTRAINT settlement_rest_check; UPDATE settlement SET amount = amount + 1, rest = rest - 7 WHERE n = 1`},
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

// populate makes tips, a refusal, a paid and an open top-up, a second payment and a refund of the paid
// one, and a tip that is reversed once it has been settled.
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
	if err := g.Paid(w.Context(), Notice{Provider: "sandbox", EventID: "e2", PaymentID: paid.ID, Amount: 100, Currency: "CNY"}); err != nil {
		w.Fatal(err)
	}
	decided, _ := w.newLedger().settle(w.Context(), []*proto.TipRequest{
		request(w, "bo", "b1", other, "rose", 10, "d"), request(w, "bo", "b2", other, "rose", 4, "d"),
	})
	w.settled("otto", "first", 7)
	if _, err := g.ReverseTip(w.Context(), decided[0].tip.ID, "op", "rev", "fraud"); err != nil {
		w.Fatal(err)
	}
	w.settled("otto", "second", 0)
	if _, err := g.RefundLot(w.Context(), w.lot("bo", "topup").ID, "op", "ref", 3); err != nil {
		w.Fatal(err)
	}
}
