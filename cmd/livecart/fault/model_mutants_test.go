package fault

// modelMutants are mistakes in the decisions over a batch.
var modelMutants = []mutant{
	{
		name: "sold_out_only_at_none_left", killer: "model_seeded",
		edits: []edit{{"cart/decide.go", "sale.sold+n > sale.quantity", "sale.sold >= sale.quantity"}},
	},
	{
		name: "limit_per_buyer_by_batch", killer: "model_seeded",
		edits: []edit{{"cart/decide.go", "	b.held[who] += n\n", ""}},
	},
	{
		name: "limit_refusal_not_recorded", killer: "model_seeded",
		edits: []edit{{"cart/decide.go", "outcome: outcomeLimit, fresh: true", "outcome: outcomeLimit"}},
	},
	{
		name: "known_key_answers_other_parameters", killer: "model_seeded",
		edits: []edit{{"cart/decide.go", "if !bytes.Equal(before.hash, a.Hash) {", "if false {"}},
	},
	{
		name: "tip_overdraws_by_one_bean", killer: "model_seeded",
		edits: []edit{{"gift/decide.go", "wallet.balance < beans", "wallet.balance < beans-1"}},
	},
	{
		name: "combo_counts_by_batch", killer: "model_seeded",
		edits: []edit{{"gift/decide.go", "		b.combos[combo] = comboCount\n", ""}},
	},
}
