package fault

// giftMutants are mistakes with beans.
var giftMutants = []mutant{
	{
		name: "tips_see_the_balance_before_the_batch", killer: "wallet_overdraft_same_batch",
		edits: []edit{{"gift/decide.go", "	b.wallets[sender] = wallet\n", ""}},
	},
	{
		name: "wallets_locked_as_they_came", killer: "wallet_cross_room_deadlock",
		edits: []edit{
			{"gift/book.go", "	senderIDs := slices.Collect(maps.Keys(senders))\n", `	var senderIDs []string
	for _, req := range fresh {
		if !slices.Contains(senderIDs, senderOf(req)) {
			senderIDs = append(senderIDs, senderOf(req))
		}
	}
`},
			{"gift/book.go", "ORDER BY user_id FOR UPDATE`, senderIDs", "ORDER BY array_position($1::text[], user_id) FOR UPDATE`, senderIDs"},
		},
	},
	{
		name: "tip_keys_claimed_as_they_came", killer: "wallet_cross_room_deadlock",
		edits: []edit{{"gift/book.go", "return compareKeys(keyOf(x), keyOf(y))", "return 0"}},
	},
	{
		name: "tip_not_noted_as_unannounced", killer: "tip_killed_before_broadcast",
		edits: []edit{{"gift/sql/insert_tips.sql", "INSERT INTO tip_unannounced (tip_id, at) SELECT id, at FROM written", "SELECT count(*) FROM written"}},
	},
	{
		name: "settlement_forgets_reversals", killer: "tip_reversal_after_settlement",
		edits: []edit{{"gift/sql/take_entries.sql", "SELECT id, -host_beans, false", "SELECT id, 0, false"}},
	},
}
