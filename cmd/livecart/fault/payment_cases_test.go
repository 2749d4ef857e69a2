package fault

import (
	"net/http"
	"regexp"

	"livecart/cart/sandbox"
	"livecart/loadtest"
	"livecart/proto"
)

// paymentCases are faults of the bank's notices.
var paymentCases = []faultCase{
	{
		name:     "webhook_twice",
		injected: "copies of a notice at two gateways at once, forged ones between; kill -9 of a gateway in the notice's transaction, and of one inside its COMMIT",
		holds:    "each notice is acted on once, or not at all until it comes again; nothing is owed back",
		setup:    setup{gateways: 2},
		run:      webhookTwice,
	},
	{
		name:     "webhook_before_order",
		injected: "notices before the payment's row, while the row waits for its commit, and before the buyer is told where to pay",
		holds:    "no notice is lost: each pays its order the moment that the payment is there",
		setup:    setup{gateways: 2},
		run:      webhookBeforeOrder,
	},
	{
		name:     "webhook_after_expiry",
		injected: "two buyers pay in time, their notices are held until both orders are expired and all but one piece sold to others",
		holds:    "one gets the last piece, the other the money back; nothing is oversold",
		setup:    setup{gateways: 2},
		run:      webhookAfterExpiry,
	},
	{
		name:     "webhook_races_expirer",
		injected: "money comes while the expiry of its order waits for the sale's row, and while the expiry is in the middle of its writes",
		holds:    "the first stays paid and keeps its piece; the second expires and takes its piece again",
		run:      webhookRacesExpirer,
	},
}

func webhookTwice(w *world) {
	first, second := w.gateways[0], w.gateways[1]
	listing := w.product(10)
	ann := w.sit("ann", second)

	// Four copies wait together, the first of them in the middle of its transaction.
	o1 := ann.order("k1", 1, listing)
	p1 := ann.bill("p1", o1)
	release := w.holdOrder(o1)
	var copies []<-chan int
	for i := range 4 {
		copies = append(copies, w.notifying(w.gateways[i%2], success(p1, "evt-1")))
	}
	w.waits(first, 2, copies...)
	w.waits(second, 2, copies...)
	release()
	for _, status := range copies {
		w.equal("answer to a copy", <-status, http.StatusNoContent)
	}
	w.equal("the first order", w.state(o1), "paid")
	w.equal("what came of the notice", w.result("evt-1"), "accepted")

	// A gateway is killed when it has the notice and not yet its order; another gateway gets it again.
	o2 := ann.order("k2", 1, listing)
	p2 := ann.bill("p2", o2)
	release = w.holdOrder(o2)
	lost := w.notifying(first, success(p2, "evt-2"))
	w.waits(first, 1, lost)
	first.kill()
	release()
	w.equal("answer of the killed gateway", <-lost, 0)
	w.until("no transaction of the killed gateway is left", patience, func() bool {
		return scan[int](w, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = $1`, first.name) == 0
	})
	w.equal("the second order before the notice comes again", w.state(o2), "awaiting_payment")
	w.equal("the notice that was lost", w.result("evt-2"), "")
	w.equal("answer when it comes again", w.notify(second, success(p2, "evt-2")), http.StatusNoContent)
	w.equal("the second order", w.state(o2), "paid")

	// The bank's own notice, sent more often than needed and with forged ones: its gateway is killed inside
	// the COMMIT, which goes through. The bank hears of it only when it sends again.
	first.start()
	w.bank.behave(sandbox.Behaviour{Duplicate: 2, Forge: true})
	o3 := ann.order("k3", 1, listing)
	p3 := ann.bill("p3", o3)
	release = w.holdCommits("UPDATE", "orders", "NEW.state = 'paid'")
	paid := w.bank.paying(p3.Url)
	w.equal("who is in COMMIT", w.caught("commit").name, first.name)
	first.kill()
	release()
	w.become(o3, "paid")
	w.equal("the payer", (<-paid).Outcome, "paid")
	first.start()
	w.until("the bank has sent all its notices", patience, func() bool { return w.bank.account(p3.PaymentId).Notices == 0 })

	for _, o := range []string{o1, o2, o3} {
		w.equal("moves of "+o, w.moves(o), 2)
	}
	w.equal("notices kept", scan[int](w, `SELECT count(*) FROM payment_notice`), 3)
	w.equal("money owed back", scan[int](w, `SELECT count(*) FROM refund`), 0)
}

var paymentID = regexp.MustCompile(`pay_[0-9a-f]{32}`)

func webhookBeforeOrder(w *world) {
	first, second := w.gateways[0], w.gateways[1]
	listing := w.product(10)
	ann := w.sit("ann", first)
	// named has act called when a payment's id is about to reach Postgres first, and returns the payment
	// as it will be.
	named := func(act func()) func() *proto.Payment {
		id := make(chan string, 1)
		sight := first.postgres.onSightOf(up, "pay_", func(seen []byte) {
			act()
			id <- string(paymentID.Find(seen))
		})
		return func() *proto.Payment {
			w.come("a payment gets its id", sight)
			return &proto.Payment{PaymentId: <-id, Amount: 1000, Currency: "CNY"}
		}
	}

	// Nothing of the payment is in Postgres yet.
	o1 := ann.order("k1", 1, listing)
	early := named(func() { first.postgres.hold(up) })
	billed := ann.calling("p1", payCommand(o1))
	p1 := early()
	w.equal("answer to the early notice", w.notify(second, success(p1, "evt-1")), http.StatusNoContent)
	w.equal("the early notice", w.result("evt-1"), "unmatched")
	w.equal("its order", w.state(o1), "awaiting_payment")
	first.postgres.mend()
	got := <-billed
	w.equal("order_pay", got.reason, loadtest.OutcomeOK)
	w.equal("its payment", got.ok.GetPayment().GetPaymentId(), p1.PaymentId)
	w.equal("the order, once it has its payment", w.state(o1), "paid")

	// The payment is being made: the notice has to wait for that.
	o2 := ann.order("k2", 1, listing)
	release := w.holdOrder(o2)
	early = named(func() {})
	billed = ann.calling("p2", payCommand(o2))
	p2 := early()
	w.waits(first, 1)
	status := w.notifying(second, success(p2, "evt-2"))
	w.waits(second, 1, status)
	release()
	w.equal("answer to the notice that waited", <-status, http.StatusNoContent)
	w.equal("order_pay that was overtaken", (<-billed).reason, loadtest.OutcomeOK)
	w.equal("the order whose notice waited", w.state(o2), "paid")

	// The bank notifies before it answers who registers the payment.
	w.bank.behave(sandbox.Behaviour{Early: true})
	o3 := ann.order("k3", 1, listing)
	p3 := ann.bill("p3", o3)
	w.equal("the order that was paid before its buyer knew where", w.state(o3), "paid")
	w.equal("the bank, asked by a payer", w.bank.pay(p3.Url).Outcome, "paid")
	w.equal("notices accepted", scan[int](w, `SELECT count(*) FROM payment_notice WHERE result = 'accepted'`), 3)
	w.equal("money owed back", scan[int](w, `SELECT count(*) FROM refund`), 0)
}

func webhookAfterExpiry(w *world) {
	first, second := w.gateways[0], w.gateways[1]
	sale := w.sale(2, 1)
	// The bank's notices go to the first gateway; everybody else is with the second.
	first.front.hold(up)
	payments := map[string]*proto.Payment{}
	var orders []string
	var payers []<-chan payer
	for _, user := range []string{"ann", "bob"} {
		s := w.sit(user, second)
		id := s.buy(sale, "k", 1).OrderID
		payments[id] = s.bill("p", id)
		orders = append(orders, id)
		payers = append(payers, w.bank.paying(payments[id].Url))
	}
	w.until("the bank has both payers' money", patience, func() bool {
		return w.bank.account(payments[orders[0]].PaymentId).Notices+w.bank.account(payments[orders[1]].PaymentId).Notices == 2
	})
	w.overdue(orders...)
	for _, id := range orders {
		w.become(id, "expired")
	}
	w.equal("sold after both expired", w.sold(sale), int64(0))
	w.until("their pieces are on offer", patience, func() bool { return w.available(sale.Id) == 2 })
	w.equal("eve, who comes meanwhile", w.insistAtGateway(1, "eve", sale, "k", 1).Outcome, loadtest.OutcomeOK)

	first.front.mend()
	for _, p := range payers {
		w.equal("a payer", (<-p).Outcome, "paid")
	}
	var kept, back int
	for _, id := range orders {
		p := payments[id]
		w.until("the bank has sent its notices", patience, func() bool { return w.bank.account(p.PaymentId).Notices == 0 })
		if w.state(id) == "paid" {
			kept++
			w.equal("given back of what was paid", w.bank.account(p.PaymentId).back(), int64(0))
			continue
		}
		back++
		w.become(id, "refunded")
		w.equal("given back where nothing was left", w.bank.account(p.PaymentId).back(), p.Amount)
	}
	w.equal("orders that got the last piece", kept, 1)
	w.equal("orders that got their money back", back, 1)
	w.equal("sold", w.sold(sale), int64(2))
}

func webhookRacesExpirer(w *world) {
	gateway, ledger := w.gateways[0], w.ledgers[0]
	sale := w.sale(5, 0)
	ann := w.sit("ann", gateway)
	order := func(key string) (string, *proto.Payment) {
		id := ann.buy(sale, key, 1).OrderID
		return id, ann.bill("pay-"+key, id)
	}

	// The expirer has found the order and waits for its stock.
	o1, p1 := order("k1")
	witness, _ := order("k2")
	release := w.hold(`SELECT FROM sale WHERE id = $1 FOR UPDATE`, sale.Id)
	w.overdue(o1)
	w.equal("who waits for the sale", w.caught("select from sale where id in").name, ledger.name)
	w.equal("the payer in time", w.bank.pay(p1.Url).Outcome, "paid")
	w.become(o1, "paid")
	release()
	w.overdue(witness)
	w.become(witness, "expired") // so the expirer is past the first one
	w.equal("the order after the expirer", w.state(o1), "paid")
	w.equal("sold after the expirer", w.sold(sale), int64(1))

	// The expirer has moved the order, and waits to write it down.
	o2, p2 := order("k3")
	release = w.hold(`LOCK TABLE order_event IN SHARE MODE`)
	w.overdue(o2)
	w.equal("who writes down a move", w.caught("insert into order_event").name, ledger.name)
	paid := w.bank.paying(p2.Url)
	w.waits(gateway, 1)
	release()
	w.equal("the payer a moment late", (<-paid).Outcome, "paid")
	w.become(o2, "paid")
	w.equal("moves of the late order", w.moves(o2), 3)
	w.equal("sold", w.sold(sale), int64(2))
}
