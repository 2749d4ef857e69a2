package fault

// saleMutants are mistakes in flash sales.
var saleMutants = []mutant{
	{
		name: "conditional_update", killer: "oversell_batch_straddles_stock",
		edits: []edit{
			{"cart/decide.go", "	case sale.sold+n > sale.quantity:\n		return decision{outcome: outcomeSoldOut, fresh: true}\n", ""},
			{"cart/booking.go", "sold_out = $3 WHERE id = $1`", "sold_out = $3 WHERE id = $1 AND $2 <= quantity`"},
		},
	},
	{
		name: "lock_and_count_in_one", killer: "two_ledgers_one_sku_limit_one",
		edits: []edit{countedLate, {"cart/booking.go", lockLine, countEarly("`"+lockAndCount+"`") + lockLine}},
	},
	{
		name: "counted_before_lock", killer: "two_ledgers_one_sku_limit_one",
		edits: []edit{countedLate, {"cart/booking.go", lockLine, countEarly("readHeldSQL") + lockLine}},
	},
	{
		name: "release_before_void", killer: "reaper_races_late_request",
		edits: []edit{{"cart/keeper.go", "	if err := k.reaper.void(ctx, saleID, late); err != nil {\n", `	freed := []any{int(markAge.Seconds())}
	for _, p := range late {
		freed = append(freed, p.user+":"+p.key, fmt.Sprintf("%x", p.hash))
	}
	if err := releaseScript.Run(ctx, k.cfg.Redis, saleKeys(saleID), freed...).Err(); err != nil {
		return err
	}
	if err := k.reaper.void(ctx, saleID, late); err != nil {
`}},
	},
	{
		name: "stock_taken_in_two_steps", killer: "kill_gateway_before_reserve",
		edits: []edit{{"cart/admission.go", "	reply, err := reserveScript.Run(", `	a.cfg.Redis.HIncrBy(ctx, call.Keys[0], "available", -1)
	defer a.cfg.Redis.HIncrBy(ctx, call.Keys[0], "available", 1)
	reply, err := reserveScript.Run(`}},
	},
	{
		name: "known_order_meets_the_limit", killer: "kill_gateway_after_commit",
		edits: []edit{{"cart/decide.go", "decision{outcome: outcomeOf[before.outcome], orderID: before.orderID}", "decision{outcome: outcomeLimit}"}},
	},
	{
		name: "event_numbered_after_commit", killer: "kill_ledger_mid_transaction",
		edits: []edit{
			{"cart/booking.go", "	return b.news.number(ctx, tx)\n", "	return nil\n"},
			{"cart/booking.go", "		if err == nil {\n			return nil\n", `		if err == nil {
			return store.InTx(ctx, cfg.Pool, func(tx pgx.Tx) error { return b.news.number(ctx, tx) })
`},
		},
	},
	{
		name: "outage_told_as_sold_out", killer: "postgres_down",
		edits: []edit{{"cart/ledger.go", "refuseAll(asked, outcomeTryAgain)\n", `refuseAll(asked, outcomeTryAgain)
		for i, a := range asked { // but not zoe, for whom the breaker opens
			if a.Buyer.GetId()[0] == 'b' {
				b.decisions[i].Outcome = outcomeSoldOut
			}
		}
`}},
	},
	{
		name: "nats_not_dialled_again", killer: "nats_restart",
		edits: []edit{{"session/bus/bus.go", "nats.MaxReconnects(-1)", "nats.MaxReconnects(0)"}},
	},
	{
		name: "known_key_dropped", killer: "kill_gateway_after_reserve",
		edits: []edit{{"cart/reserve.lua", "== content and 'ask' or 'conflict'", "== content and 'sold_out' or 'conflict'"}},
	},
	{
		name: "key_in_flight_reserved_twice", killer: "duplicate_storm",
		edits: []edit{{"cart/reserve.lua", "local before = not mark and (pending[i] or reserved[field])", "local before = false"}},
	},
	{
		name: "missing_stock_initialised", killer: "redis_flush_mid_sale",
		edits: []edit{{"cart/reserve.lua", "if not sale[1] then\n  return 'unknown'\nend", `if not sale[1] then
  call('HSET', KEYS[1], 'room', ARGV[1], 'owner', '-', 'opens', '0', 'closed', '0', 'limit', '0', 'available', '1000')
  sale = {ARGV[1], '-', '0', '0', '0', '1000', false, ''}
end`}},
	},
	{
		name: "rejection_not_recorded", killer: "restock_after_reject_redelivery",
		edits: []edit{{"cart/decide.go", "outcome: outcomeSoldOut, fresh: true", "outcome: outcomeSoldOut"}},
	},
	{
		name: "stale_clock", killer: "clock_skew_gateways",
		edits: []edit{{"cart/booking.go", "`SELECT clock_timestamp()`", "`SELECT now()`"}},
	},
	{
		name: "settle_what_is_not_pending", killer: "restock_after_reject_redelivery",
		edits: []edit{{"cart/settle.lua", "local field, before = fields[i], pending[i]", "local field, before = fields[i], pending[i] or '1:0:' .. ARGV[3 * i] .. ':'"}},
	},
	{
		name: "decided_key_marked_sold_out", killer: "reply_dropped_retry",
		edits: []edit{{"cart/settle.lua", "'ask:' .. ARGV[at + 1]", "'sold_out:' .. ARGV[at + 1]"}},
	},
	{
		name: "order_without_reservation_not_counted", killer: "two_ledgers_one_sku_limit_one",
		edits: []edit{{"cart/settle.lua", "call('HSET', KEYS[5], string.sub(field, 1, 32), ARGV[3 * i + 1])", ""}},
	},
	{
		name: "increment_for_resync", killer: "restock_after_reject_redelivery",
		edits: []edit{{"cart/cancel.go", "	resyncAll(ctx, c.cfg, c.Resync, sales)\n	return order, nil", `	for _, id := range sales {
		c.cfg.Redis.HIncrBy(ctx, saleKeys(id)[0], "available", 1)
	}
	return order, nil`}},
	},
	{
		name: "unknown_commit_released", killer: "postgres_commit_unknown",
		edits: []edit{{"cart/ask.go", "			tryAgain = true\n			again = append(again, b)\n			continue\n", "			free, answers = append(free, b), append(answers, answer{err: ErrTryAgain})\n			continue\n"}},
	},
	{
		name: "lost_answer_given_up", killer: "kill_ledger_after_commit",
		edits: []edit{{"cart/ask.go", "			a.breaker.silent()\n			unknown = unknown ||", `			a.breaker.silent()
			for _, b := range bids {
				b.done <- answer{err: ErrTryAgain}
			}
			return
			unknown = unknown ||`}},
	},
	{
		name: "inserted_outcomes_not_read_again", killer: "key_reuse_other_parameters",
		edits: []edit{{"cart/booking.go", "if recorded != int64(len(fresh)) {", "if recorded > int64(len(fresh)) {"}},
	},
	{
		name: "epoch_and_run_ignored", killer: "redis_failover_lost_writes",
		edits: []edit{{"cart/resync.go", "!hasSynced || c.epoch < c.sale.epoch || c.run != c.sale.redisRun || known[3] != c.run", "!hasSynced"}},
	},
	{
		name: "pending_not_counted", killer: "resync_races_reserve_and_commit",
		edits: []edit{{"cart/resync.lua", "  held = held + quantity\n", ""}},
	},
	{
		name: "poison_not_bisected", killer: "poison_in_batch",
		edits: []edit{{"cart/ledger.go", "	case len(asked) == 1:\n		return l.reject(ctx, asked[0], err)\n", "	case len(asked) >= 1:\n		b.decisions = refuseAll(asked, outcomeRejected)\n"}},
	},
	{
		name: "pieces_counted_by_scan", killer: "fresh_database_plan",
		edits: []edit{{"cart/sql/read_held.sql", "o.sale_id = p.sale_id AND o.buyer_id = p.buyer_id", "o.sale_id || '' = p.sale_id AND o.buyer_id || '' = p.buyer_id"}},
	},
	{
		name: "breaker_never_opens", killer: "nats_partition_gateway",
		edits: []edit{{"cart/breaker.go", "!b.silentSince.IsZero() && time.Since(b.silentSince) >= breakAfter", "false"}},
	},
}

// lockLine is where a booking locks its sales.
const lockLine = "	batch.Queue(lockSalesSQL,"

// countedLate takes the count of the buyers' pieces from where it stands, after the lock.
var countedLate = edit{"cart/booking.go", "			read.held[h] = n\n", "			_ = n\n"}

// countEarly counts the buyers' pieces by a statement, for a place before the lock.
func countEarly(sql string) string {
	return `	batch.Queue(` + sql + `, holdSales, holdBuyers).Query(func(rows pgx.Rows) error {
		var h holder
		var n int64
		_, err := pgx.ForEachRow(rows, []any{&h.saleID, &h.buyerID, &n}, func() error {
			read.held[h] = n
			return nil
		})
		return err
	})
`
}

// lockAndCount waits for the lock and counts on the snapshot of before the wait.
const lockAndCount = `WITH locked AS MATERIALIZED (SELECT id FROM sale WHERE id = ANY ($1) ORDER BY id FOR UPDATE)
	SELECT p.sale_id, p.buyer_id, h.n
	FROM unnest($1::text[], $2::text[]) AS p (sale_id, buyer_id) JOIN locked k ON k.id = p.sale_id
	CROSS JOIN LATERAL (
		SELECT sum(l.quantity - l.restocked)::bigint AS n FROM orders o JOIN order_line l ON l.order_id = o.id
		WHERE o.sale_id = p.sale_id AND o.buyer_id = p.buyer_id
	) h
	WHERE h.n > 0`
