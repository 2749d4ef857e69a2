package fault

// unmatchedForgotten keeps the ledgers from looking for notices that nobody acted on, which mends more than
// one mistake within a second.
var unmatchedForgotten = edit{"cart/reconcile.go", "WHERE n.result = 'unmatched' LIMIT $1", "WHERE n.result = 'nothing' LIMIT $1"}

// paymentMutants are mistakes with notices.
var paymentMutants = []mutant{
	{
		name: "notice_acted_on_again", killer: "webhook_twice",
		edits: []edit{{"cart/notice.go", "return tag.RowsAffected() == 1, err", "return tag.RowsAffected() >= 0, err"}},
	},
	{
		name: "notice_stored_before_its_effects", killer: "webhook_twice",
		edits: []edit{unmatchedForgotten, {"cart/notice.go", `	err := store.InTx(ctx, cfg.Pool, func(tx pgx.Tx) error { return h.run(ctx, tx) })
`, `	if !h.filed {
		var fresh bool
		err := store.InTx(ctx, cfg.Pool, func(tx pgx.Tx) (err error) {
			fresh, err = h.file(ctx, tx)
			return err
		})
		if err != nil || !fresh {
			return err
		}
		h.filed = true
	}
	err := store.InTx(ctx, cfg.Pool, func(tx pgx.Tx) error { return h.run(ctx, tx) })
`}},
	},
	{
		name: "early_notice_forgotten", killer: "webhook_before_order",
		edits: []edit{unmatchedForgotten, {"cart/payment.go", "for _, n := range early {", "for _, n := range early[:0] {"}},
	},
	{
		name: "notice_does_not_wait_for_its_payment", killer: "webhook_before_order",
		edits: []edit{unmatchedForgotten, {"cart/notice.go", "if err := lockPaymentID(ctx, tx, n.PaymentID); err != nil {", "if err := ctx.Err(); err != nil {"}},
	},
	{
		name: "late_money_takes_no_stock", killer: "webhook_after_expiry",
		edits: []edit{{"cart/notice.go", "taken, err := takeAgain(ctx, tx, o)", "taken, err := true, error(nil)"}},
	},
	{
		name: "expiry_does_not_look_again", killer: "webhook_races_expirer",
		edits: []edit{
			{"cart/sweeper.go", "SELECT id FROM orders WHERE id = ANY ($1) AND state = 'awaiting_payment' AND expires_at <= clock_timestamp()`, locked)", "SELECT id FROM orders WHERE id = ANY ($1)`, locked)"},
			{"cart/sweeper.go", "returnStock(ctx, tx, moved)", "returnStock(ctx, tx, overdue)"},
		},
	},
}
