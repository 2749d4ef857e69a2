package fault

import (
	"fmt"
	"sync"

	"livecart/cart"
	"livecart/cart/sandbox"
	"livecart/loadtest"
	"livecart/proto"
)

// orderCases are faults in the life of orders.
var orderCases = []faultCase{
	{
		name:     "expirer_crash_restock_once",
		injected: "kill -9 of a ledger in the middle of an expiry, and of one inside its COMMIT, before Redis is counted anew; another goes on",
		holds:    "each piece returns once and can be bought again",
		setup:    setup{ledgers: 2},
		run:      expirerCrashRestockOnce,
	},
	{
		name:     "reprice_races_payment",
		injected: "a reprice and the notice of the old amount wait for the order together, in both orders; a payer comes with the old page",
		holds:    "the old amount pays only an order that was not repriced; it goes back, the new one pays, the old page is closed",
		setup:    setup{gateways: 2},
		run:      repriceRacesPayment,
	},
	{
		name:     "refund_partial_rounding",
		injected: "four refunds of single pieces of a repriced order, each sent to two gateways at once; the bank is out of order first, and a ledger is killed while the bank's answer is held",
		holds:    "the buyer gets back what was paid to the last fen, each refund once",
		setup:    setup{gateways: 2, ledgers: 2},
		run:      refundPartialRounding,
	},
	{
		name:     "shared_pool_two_shops",
		injected: "more orders than pieces, by two shops' listings of one pool, waiting for it together; kill -9 of a gateway among them",
		holds:    "the pool sells out and no more, over both shops; what one shop's order gives back the other can sell",
		setup:    setup{gateways: 2},
		run:      sharedPoolTwoShops,
	},
}

func expirerCrashRestockOnce(w *world) {
	sale := w.sale(3, 0)
	buy := func(user string) string {
		r := w.insist(user, sale, "k-"+user, 1)
		w.equal(user, r.Outcome, loadtest.OutcomeOK)
		return r.OrderID
	}
	// In the middle: the orders are moved, nothing is written down or given back yet.
	o1, o2, o3 := buy("ann"), buy("bob"), buy("eve")
	release := w.hold(`LOCK TABLE order_event IN SHARE MODE`)
	w.overdue(o1, o2)
	dying := w.caught("insert into order_event")
	dying.kill()
	release()
	w.become(o1, "expired")
	w.become(o2, "expired")
	w.equal("sold after two of three expired", w.sold(sale), int64(1))
	w.equal("moves of an order", w.moves(o1), 2)

	// Inside the COMMIT, which goes through: nobody has Redis counted anew but the next Resync.
	other := w.ledgers[0]
	if dying == other {
		other = w.ledgers[1]
	}
	release = w.holdCommits("UPDATE", "orders", "NEW.state = 'expired'")
	w.overdue(o3)
	w.equal("who is in COMMIT", w.caught("commit").name, other.name)
	other.kill()
	release()
	w.become(o3, "expired")
	w.equal("sold after all expired", w.sold(sale), int64(0))
	dying.start()
	w.until("all pieces are on offer again", patience, func() bool {
		w.hurry(sale.Id)
		return w.available(sale.Id) == 3
	})
	for _, user := range []string{"dan", "fay", "gus"} {
		w.equal(user, w.insist(user, sale, "k-"+user, 1).Outcome, loadtest.OutcomeOK)
	}
	w.equal("one more", w.insist("hal", sale, "k-hal", 1).Outcome, string(proto.ReasonSoldOut))
	other.start()
}

func repriceRacesPayment(w *world) {
	first, second := w.gateways[0], w.gateways[1]
	listing := w.product(10)
	ann, seller := w.sit("ann", first), w.sitHost(second)
	version := func(orderID string) int64 {
		return scan[int64](w, `SELECT version FROM orders WHERE id = $1`, orderID)
	}

	// The reprice comes first.
	o1 := ann.order("k1", 1, listing)
	p1 := ann.bill("p1", o1)
	release := w.holdOrder(o1)
	repriced := seller.calling("r1", repriceCommand(o1, 700, version(o1)))
	w.waits(second, 1)
	paid := w.bank.paying(p1.Url)
	w.waits(first, 1)
	release()
	w.equal("the reprice that came first", (<-repriced).reason, loadtest.OutcomeOK)
	w.equal("the payer of the old amount", (<-paid).Outcome, "paid")
	w.equal("the order after the old amount", w.state(o1), "awaiting_payment")
	w.until("the bank has given the old amount back", patience, func() bool { return w.bank.account(p1.PaymentId).back() == 1000 })
	again := ann.bill("p1-again", o1)
	w.equal("asked for now", again.Amount, int64(700))
	w.equal("the payer of the new amount", w.bank.pay(again.Url).Outcome, "paid")
	w.become(o1, "paid")
	w.equal("given back of the new amount", w.bank.account(again.PaymentId).back(), int64(0))

	// The notice comes first.
	o2 := ann.order("k2", 1, listing)
	p2 := ann.bill("p2", o2)
	release = w.holdOrder(o2)
	paid = w.bank.paying(p2.Url)
	w.waits(first, 1)
	repriced = seller.calling("r2", repriceCommand(o2, 700, version(o2)))
	w.waits(second, 1)
	release()
	w.equal("the payer who came first", (<-paid).Outcome, "paid")
	w.equal("the reprice of what is paid", (<-repriced).reason, string(proto.ReasonRepriceNotUnpaid))
	w.equal("the order that was paid first", w.state(o2), "paid")

	// Nobody can pay by the page of the old price.
	o3 := ann.order("k3", 1, listing)
	p3 := ann.bill("p3", o3)
	_, reason := seller.call("r3", repriceCommand(o3, 700, version(o3)))
	w.equal("the third reprice", reason, loadtest.OutcomeOK)
	w.equal("the payment of the old price", scan[string](w, `SELECT state FROM payment WHERE id = $1`, p3.PaymentId), "void")
	w.until("the bank has closed the old page", patience, func() bool { return w.bank.account(p3.PaymentId).State == string(cart.ChargeClosed) })
	w.equal("a payer with the old page", w.bank.pay(p3.Url).Outcome, "closed")
}

func refundPartialRounding(w *world) {
	first := w.gateways[0]
	_, err := w.cart.PutProduct(w.t.Context(), &proto.Product{Id: "odd", ShopId: shopID, Title: "Odd", OnSale: true, Listings: []*proto.Listing{
		{Id: "odd-1", SkuId: "odd-1", Price: 333}, {Id: "odd-2", SkuId: "odd-2", Price: 777},
	}}, map[string]int64{"odd-1": 10, "odd-2": 10})
	w.must(err)
	w.must(w.cart.PutOnShelf(w.t.Context(), roomID, "odd", 1))
	ann := w.sit("ann", first)
	var sellers []*seat
	for _, g := range w.gateways {
		sellers = append(sellers, w.sitHost(g))
	}
	const amount = 1001 // of 2220
	id := ann.order("k", 2, "odd-1", "odd-2")
	_, reason := sellers[0].call("r", repriceCommand(id, amount, 1))
	w.equal("the reprice", reason, loadtest.OutcomeOK)
	p := ann.bill("p", id)
	w.equal("the payer", w.bank.pay(p.Url).Outcome, "paid")
	w.become(id, "paid")

	refund := func(line int32, restock bool) {
		key := fmt.Sprintf("ref-%d", scan[int](w, `SELECT count(*) FROM refund`))
		var asking sync.WaitGroup
		for _, s := range sellers {
			asking.Go(func() {
				_, reason := s.call(key, &proto.Command{Command: &proto.Command_OrderRefund{OrderRefund: &proto.OrderRefund{
					OrderId: id, Pieces: []*proto.LinePieces{{Line: line, Quantity: 1}}, Restock: &restock,
				}}})
				w.equal(key, reason, loadtest.OutcomeOK)
			})
		}
		asking.Wait()
	}
	// The bank's answer about the first one does not reach the ledger that asked.
	asked := w.bank.door.onSight(up, "refund.create", func() { w.bank.door.hold(down) })
	refund(1, false)
	w.come("a ledger asks the bank for the first refund", asked)
	w.until("the bank has done it", patience, func() bool { return w.bank.account(p.PaymentId).back() > 0 })
	for _, l := range w.ledgers {
		l.kill()
	}
	w.bank.door.drop()
	w.bank.door.mend()
	w.exec(`UPDATE refund SET next_at = clock_timestamp()`) // the minute is over in which no other ledger asks
	w.ledgers[0].start()
	w.until("the first refund is done", patience, func() bool { return scan[int](w, `SELECT count(*) FROM refund WHERE state = 'done'`) == 1 })
	given := scan[int64](w, `SELECT sum(amount)::bigint FROM refund`)
	w.equal("given back by the first refund, which was asked for twice", w.bank.account(p.PaymentId).back(), given)

	w.bank.behave(sandbox.Behaviour{RefundFail: 1})
	refund(1, true)
	refund(2, false)
	w.equal("the order with a piece left", w.state(id), "paid")
	refund(2, true)
	w.equal("refunds", scan[int](w, `SELECT count(*) FROM refund`), 4)
	w.equal("to be given back in all", scan[int64](w, `SELECT sum(amount)::bigint FROM refund`), int64(amount))
	w.become(id, "refunded")
	w.equal("given back in all", w.bank.account(p.PaymentId).back(), int64(amount))
	w.equal("pieces that hold stock", scan[int64](w, `SELECT sum(sold)::bigint FROM sku WHERE id LIKE 'odd%'`), int64(2))
	w.ledgers[1].start()
}

func sharedPoolTwoShops(w *world) {
	ctx := w.t.Context()
	dying, other := w.gateways[0], w.gateways[1]
	own := w.product(5)
	w.must(w.cart.PutShop(ctx, cart.Shop{ID: "partner", Name: "Partner", Currency: "CNY"}))
	w.must(w.cart.ShareSku(ctx, shopID, own, "partner"))
	_, err := w.cart.PutProduct(ctx, &proto.Product{Id: "shared", ShopId: "partner", Title: "Shared", OnSale: true, Listings: []*proto.Listing{
		{Id: "shared", SkuId: own, Price: 1200},
	}}, nil)
	w.must(err)
	w.must(w.cart.PutAnyOnShelf(ctx, roomID, "shared", 2))
	listings := []string{own, "shared"}
	create := func(i int) *proto.Command {
		return &proto.Command{Command: &proto.Command_OrderCreate{OrderCreate: &proto.OrderCreate{
			Items: []*proto.OrderItem{{ListingId: listings[i%2], Quantity: 1}},
		}}}
	}

	// Eight want one piece each; half of them lose their gateway and ask the other one.
	release := w.hold(`SELECT FROM sku WHERE id = $1 FOR UPDATE`, own)
	var buying sync.WaitGroup
	got := make([]loadtest.Record, 8)
	for i := range got {
		user := fmt.Sprintf("b%d", i)
		s := w.sit(user, w.gateways[i/4])
		buying.Go(func() {
			switch got[i] = s.do("k", create(i)); {
			case got[i].Outcome == string(proto.ReasonInternal):
				w.t.Errorf("%s got an internal error", user)
			case !final(got[i].Outcome):
				got[i] = w.insistAt(w.gateways[1:], user, "k", create(i))
			}
		})
	}
	w.waits(dying, 4)
	w.waits(other, 4)
	dying.kill()
	release()
	buying.Wait()
	if w.t.Failed() {
		return // what follows would be waited for in vain
	}
	outcomes := map[string]int{}
	ordered := ""
	for i, r := range got {
		outcomes[r.Outcome]++
		if r.Outcome == loadtest.OutcomeOK && i%2 == 0 {
			ordered = r.OrderID
		}
	}
	w.equal("ordered", outcomes[loadtest.OutcomeOK], 5)
	w.equal("sold out", outcomes[string(proto.ReasonSoldOut)], 3)
	w.equal("sold of the pool", scan[int64](w, `SELECT sold FROM sku WHERE id = $1`, own), int64(5))
	if ordered == "" {
		ordered = scan[string](w, `SELECT id FROM orders LIMIT 1`)
	}
	w.overdue(ordered)
	w.become(ordered, "expired")
	w.equal("the partner's buyer of what came back", w.insistAt(w.gateways[1:], "late", "k", create(1)).Outcome, loadtest.OutcomeOK)
	w.equal("the shop's buyer after that", w.insistAt(w.gateways[1:], "later", "k", create(0)).Outcome, string(proto.ReasonSoldOut))
	dying.start()
}
