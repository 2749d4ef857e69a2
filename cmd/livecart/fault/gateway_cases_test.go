package fault

// gatewayCases are faults of gateways and of their links.
var gatewayCases = []faultCase{
	{
		name:     "kill_gateway_before_reserve",
		injected: "kill -9 of a gateway whose flash_buys have not reached Redis; the buyers ask another",
		holds:    "nothing was taken for the dead gateway; each buyer is served once",
		setup:    setup{gateways: 2},
		run: func(w *world) {
			sale := w.sale(3, 1)
			w.leaveAlone(sale.Id)
			dying := w.gateways[0]
			// Redis is told of an attempt by its room, in the arguments of the script.
			held := dying.redis.onSight(up, saleKey(sale.Id, "pending"), func() { dying.redis.hold(up) })
			buyers := []string{"ann", "bob", "eve"}
			for _, user := range buyers {
				w.sit(user, dying).buying(sale, "k-"+user, 1)
			}
			w.come("an attempt is on its way to Redis", held)
			dying.kill()
			dying.mend()
			w.equal("left in Redis", w.available(sale.Id), int64(3))
			for _, user := range buyers {
				w.equal(user, w.insistAtGateway(1, user, sale, "k-"+user, 1).Outcome, "ok")
			}
			w.equal("sold", w.sold(sale), int64(3))
		},
	},
	{
		name:     "kill_gateway_after_reserve",
		injected: "kill -9 of a gateway between the reservation in Redis and the ledger; the buyers ask another under their keys",
		holds:    "a known key goes to the ledger and gets its piece, though the sale looks sold out",
		setup:    setup{gateways: 2},
		run: func(w *world) {
			sale := w.sale(2, 1)
			w.leaveAlone(sale.Id)
			dying := w.gateways[0]
			dying.nats.onSight(up, ledgerSubject, func() { dying.nats.hold(up) })
			for _, user := range []string{"ann", "bob"} {
				w.sit(user, dying).buying(sale, "k-"+user, 1)
			}
			w.until("both pieces are reserved", patience, func() bool { return w.pending(sale.Id) == 2 })
			dying.kill()
			dying.mend()
			w.equal("left in Redis", w.available(sale.Id), int64(0))
			w.equal("another buyer", w.insistAtGateway(1, "eve", sale, "k-eve", 1).Outcome, "sold_out")
			for _, user := range []string{"ann", "bob"} {
				w.equal(user, w.insistAtGateway(1, user, sale, "k-"+user, 1).Outcome, "ok")
			}
			w.equal("sold", w.sold(sale), int64(2))
		},
	},
	{
		name:     "kill_gateway_after_commit",
		injected: "kill -9 of a gateway that the ledger's answer has not reached; the buyer asks another under the key",
		holds:    "the order that was committed, once",
		setup:    setup{gateways: 2},
		run: func(w *world) {
			sale := w.sale(2, 1)
			dying := w.gateways[0]
			dying.nats.onSight(up, ledgerSubject, func() { dying.nats.hold(down) })
			w.sit("ann", dying).buying(sale, "k-ann", 1)
			w.until("the order is committed", patience, func() bool { return w.sold(sale) == 1 })
			dying.kill()
			dying.mend()
			got := w.insistAtGateway(1, "ann", sale, "k-ann", 1)
			w.equal("the buyer", got.Outcome, "ok")
			w.equal("sold", w.sold(sale), int64(1))
		},
	},
}
