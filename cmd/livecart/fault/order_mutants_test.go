package fault

// orderMutants are mistakes in the life of orders.
var orderMutants = []mutant{
	{
		name: "expiry_gives_stock_back_later", killer: "expirer_crash_restock_once",
		edits: []edit{
			{"cart/sweeper.go", `	sales, err := returnStock(ctx, tx, moved)
	if err != nil {
		return nil, nil, err
	}
`, "	var sales []string\n"},
			{"cart/sweeper.go", "		s.cfg.entered(orders...)\n", `		if what == "expire" {
			if err := store.InTx(turn, s.cfg.Pool, func(tx pgx.Tx) (err error) {
				if err := lockStock(turn, tx, ids); err != nil {
					return err
				}
				var moved []string
				for _, o := range orders {
					moved = append(moved, o.Id)
				}
				sales, err = returnStock(turn, tx, moved)
				return err
			}); err != nil {
				return err
			}
		}
		s.cfg.entered(orders...)
`},
		},
	},
	{
		name: "reprice_keeps_the_old_payment", killer: "reprice_races_payment",
		edits: []edit{keepsOldPayment},
	},
	{
		name: "old_price_pays", killer: "reprice_races_payment",
		edits: []edit{keepsOldPayment, {
			"cart/notice.go", "n.Currency != p.currency || p.priceVersion != o.PriceVersion || p.amount != o.Amount || p.currency != o.Currency", "n.Currency != p.currency",
		}},
	},
	{
		name: "refund_rounds_by_itself", killer: "refund_partial_rounding",
		edits: []edit{{"cart/refund.go", "	amount := total - given.amount\n", `	var mine int64
	for _, w := range weights {
		mine += w
	}
	amount := share(o.Amount, mine, sum)
`}},
	},
	{
		name: "refund_asked_under_another_id", killer: "refund_partial_rounding",
		edits: []edit{{"cart/refund_worker.go", "Provider.Refund(call, r.id,", `Provider.Refund(call, store.NewID("ref"),`}},
	},
	{
		name: "listing_counts_its_own_pieces", killer: "shared_pool_two_shops",
		edits: []edit{{
			"cart/sql/read_offers.sql", "k.stock - k.sold - k.moved AS available",
			"k.stock - coalesce((SELECT sum(quantity - restocked) FROM order_line WHERE listing_id = l.id), 0)::bigint AS available",
		}},
	},
}

// keepsOldPayment leaves a payment of the price before open.
var keepsOldPayment = edit{"cart/reprice.go", `return voidPayments(ctx, tx, o.ID, "")`, "return nil"}
