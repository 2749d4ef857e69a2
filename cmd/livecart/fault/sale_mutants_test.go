package fault

// saleMutants are mistakes in flash sales.
var saleMutants = []mutant{
	{
		name: "known_key_dropped", killer: "kill_gateway_after_reserve",
		edits: []edit{{"cart/reserve.lua", "  elseif before then\n    word = 'ask'", "  elseif before then\n    word = 'sold_out'"}},
	},
}
