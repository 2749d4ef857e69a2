package cart

import (
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"livecart/proto"
	"livecart/session/store"
)

func TestPayAndItsNotice(t *testing.T) {
	m := newMarket(t)
	o := m.order("k", "tea-s", 2)
	p := m.pay(o.Id)
	m.expect("amount", p.Amount, int64(2000))
	m.expect("currency", p.Currency, "CNY")
	m.expect("window", p.ExpiresAtMs, o.ExpiresAtMs)
	m.expect("url", p.Url, "https://pay.test/"+p.PaymentId+"/2000CNY/Tea · S")
	other, err := m.cart.Pay(t.Context(), "ann", "another key", o.Id)
	m.must(err)
	m.expect("the same payment under another key", proto.Equal(other, p), true)
	m.expect("registered once", len(m.pays.created), 1)

	private := m.listen()
	m.notice(success(p, "e1"))
	m.expect("order", m.state(o.Id), paid)
	m.expect("payment", m.paymentState(p), "accepted")
	m.expect("notice", m.result("e1"), "accepted")
	told := private(1)[0].Event.GetOrderUpdated().Order
	m.expect("told", told.State, proto.OrderState_ORDER_STATE_PAID)
	m.expect("version", told.Version, int64(2))

	m.notice(success(p, "e1"))
	m.notice(success(p, "e2")) // the provider's second event of one payment
	m.expect("events of the order", scan[int](m, `SELECT count(*) FROM order_event WHERE order_id = $1`, o.Id), 2)
	m.expect("second event", m.result("e2"), "duplicate")
	m.expect("notices", scan[int](m, `SELECT count(*) FROM payment_notice`), 2)

	again := m.pay(o.Id) // the answer to order_pay was lost
	m.expect("the same payment once paid", proto.Equal(again, p), true)
	_, err = m.cart.Pay(t.Context(), "ann", "new key", o.Id)
	m.refused(err, ErrOrderState)
}

func TestPayRefusals(t *testing.T) {
	m := newMarket(t)
	o := m.order("k", "tea-s", 1)
	two := m.order("k2", "tea-s", 1)
	_, err := m.cart.Pay(t.Context(), "bob", "p", o.Id)
	m.refused(err, ErrOrderNotFound)
	_, err = m.cart.Pay(t.Context(), "ann", "p", "ord_nope")
	m.refused(err, ErrOrderNotFound)
	_, err = m.cart.Pay(t.Context(), "ann", "", o.Id)
	m.refused(err, ErrRequestIDRequired)
	_, err = m.cart.Pay(t.Context(), "ann", "p", o.Id)
	m.must(err)
	_, err = m.cart.Pay(t.Context(), "ann", "p", two.Id)
	m.refused(err, ErrKeyConflict)
	m.overdue(two.Id)
	_, err = m.cart.Pay(t.Context(), "ann", "p2", two.Id)
	m.refused(err, ErrOrderState)
	m.expect("payments", scan[int](m, `SELECT count(*) FROM payment`), 1)
}

var errUnset = proto.Refuse(proto.ReasonTryAgain, "nobody takes payments")

func TestPayAfterTheProviderFailed(t *testing.T) {
	m := newMarket(t)
	o := m.order("k", "tea-s", 1)
	m.pays.fail = errors.New("provider is away")
	_, err := m.cart.Pay(t.Context(), "ann", "p", o.Id)
	m.refused(err, ErrTryAgain)
	m.pays.fail = errUnset
	_, err = m.cart.Pay(t.Context(), "ann", "p", o.Id)
	m.expect("a refusal is told as it is", err, error(errUnset))
	m.pays.fail = nil
	p, err := m.cart.Pay(t.Context(), "ann", "p", o.Id)
	m.must(err)
	m.expect("one payment, registered at last", scan[string](m, `SELECT string_agg(id, ' ') FROM payment`), p.PaymentId)
	m.expect("url is kept", scan[string](m, `SELECT url FROM payment`), p.Url)
}

func TestNoticeSentManyTimesAtOnce(t *testing.T) {
	m := newMarket(t)
	p := m.pay(m.order("k", "tea-s", 1).Id)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() { m.ok(m.cart.HandleNotice(t.Context(), success(p, "e1"))) })
	}
	wg.Wait()
	m.expect("result", m.result("e1"), "accepted")
}

func TestNoticeBeforeItsPayment(t *testing.T) {
	m := newMarket(t)
	for _, row := range []struct {
		name   string
		amount int64
		want   state
		result string
		pay    string
	}{
		{"of the right amount", 1000, paid, "accepted", "accepted"},
		{"of another amount", 999, awaitingPayment, "amount_mismatch", "refund_due"},
	} {
		t.Run(row.name, func(t *testing.T) {
			o := m.order(row.name, "tea-s", 1)
			id := store.NewID("pay")
			early := Notice{EventID: row.name, PaymentID: id, Kind: PaymentSucceeded, Amount: row.amount, Currency: "CNY"}
			m.notice(early)
			m.expect("kept", m.result(row.name), "unmatched")
			m.expect("order untouched", m.state(o.Id), awaitingPayment)
			m.must(store.InTx(t.Context(), m.pool(), func(tx pgx.Tx) error {
				locked, err := lockOrder(t.Context(), tx, o.Id)
				m.must(err)
				p, settled, err := m.cfg.requestPayment(t.Context(), tx, locked, id)
				m.must(err)
				m.expect("settled", settled, row.want == paid)
				m.expect("payment", p.state, row.pay)
				return nil
			}))
			m.notice(early)
			m.expect("result", m.result(row.name), row.result)
			m.expect("order", m.state(o.Id), row.want)
		})
	}
}

// TestNoticeWaitsForItsPayment has a notice come while the payment is being made but not committed.
func TestNoticeWaitsForItsPayment(t *testing.T) {
	m := newMarket(t)
	o := m.order("k", "tea-s", 1)
	tx, err := m.pool().Begin(t.Context())
	m.must(err)
	defer tx.Rollback(t.Context())
	id := store.NewID("pay")
	m.must(lockPaymentID(t.Context(), tx, id))
	locked, err := lockOrder(t.Context(), tx, o.Id)
	m.must(err)
	_, _, err = m.cfg.requestPayment(t.Context(), tx, locked, id)
	m.must(err)
	done := make(chan error, 1)
	go func() {
		done <- m.cart.HandleNotice(t.Context(), Notice{EventID: "e", PaymentID: id, Kind: PaymentSucceeded, Amount: 1000, Currency: "CNY"})
	}()
	m.waitForLock()
	m.must(tx.Commit(t.Context()))
	m.must(<-done)
	m.expect("order", m.state(o.Id), paid)
}

func TestNoticeThatDoesNotFit(t *testing.T) {
	m := newMarket(t)
	for _, row := range []struct {
		name    string
		change  func(n *Notice, orderID string)
		result  string
		payment string
	}{
		{"one unit less", func(n *Notice, _ string) { n.Amount-- }, "amount_mismatch", "refund_due"},
		{"one unit more", func(n *Notice, _ string) { n.Amount++ }, "amount_mismatch", "refund_due"},
		{"another currency", func(n *Notice, _ string) { n.Currency = "JPY" }, "amount_mismatch", "refund_due"},
		{"an old price", func(n *Notice, orderID string) {
			o, err := m.reprice("old", m.read(orderID), 900)
			m.must(err)
			m.expect("the price", o.PriceVersion, int64(2))
		}, "amount_mismatch", "refund_due"},
		{"declined", func(n *Notice, _ string) { n.Kind = PaymentDeclined }, "declined", "requested"},
	} {
		t.Run(row.name, func(t *testing.T) {
			o := m.order(row.name, "tea-s", 1)
			p := m.pay(o.Id)
			n := success(p, row.name)
			row.change(&n, o.Id)
			m.notice(n)
			m.expect("order", m.state(o.Id), awaitingPayment)
			m.expect("notice", m.result(row.name), row.result)
			m.expect("payment", m.paymentState(p), row.payment)

			// The buyer can still pay properly.
			again, err := m.cart.Pay(t.Context(), "ann", "again "+row.name, o.Id)
			m.must(err)
			m.expect("a new payment", again.PaymentId != p.PaymentId, row.payment == "refund_due")
			m.notice(success(again, "good "+row.name))
			m.expect("order at last", m.state(o.Id), paid)
		})
	}
}

func TestNoticeThatCannotBe(t *testing.T) {
	m := newMarket(t)
	good := Notice{EventID: "e", PaymentID: "pay_1", Kind: PaymentSucceeded, Amount: 1, Currency: "CNY"}
	for name, change := range map[string]func(n *Notice){
		"no event id":         func(n *Notice) { n.EventID = "" },
		"a huge event id":     func(n *Notice) { n.EventID = strings.Repeat("e", 201) },
		"no payment":          func(n *Notice) { n.PaymentID = "" },
		"payment is no id":    func(n *Notice) { n.PaymentID = "a b" },
		"unknown kind":        func(n *Notice) { n.Kind = "payment.maybe" },
		"negative amount":     func(n *Notice) { n.Amount = -1 },
		"nothing paid":        func(n *Notice) { n.Amount = 0 },
		"a NUL":               func(n *Notice) { n.TransactionID = "a\x00b" },
		"a huge transaction":  func(n *Notice) { n.TransactionID = strings.Repeat("t", 201) },
		"currency of a novel": func(n *Notice) { n.Currency = strings.Repeat("C", 9) },
	} {
		t.Run(name, func(t *testing.T) {
			n := good
			change(&n)
			m.refused(m.cart.HandleNotice(t.Context(), n), ErrInvalid)
		})
	}
	m.expect("notices", scan[int](m, `SELECT count(*) FROM payment_notice`), 0)
}

// TestLateMoney pays orders whose window is over: with stock left the order is paid after all.
func TestLateMoney(t *testing.T) {
	type world struct {
		m *market
		o *proto.Order
		p *proto.Payment
	}
	ordinary := func(m *market) *proto.Order { return m.order("k", "tea-s", 2) }
	flash := func(m *market) *proto.Order { return m.flashOrder("f", 2) }
	for _, row := range []struct {
		name    string
		order   func(m *market) *proto.Order
		between func(w world)
		want    state
		result  string
		counts  [2]int64 // of k-tea-s afterwards
		sold    int64    // of the sale afterwards
	}{
		{"ordinary, stock left", ordinary, func(world) {}, paid, "accepted", [2]int64{2, 0}, 0},
		{"ordinary, just enough left", ordinary, func(w world) { w.m.order("x", "tea-s", 8) }, paid, "accepted", [2]int64{10, 0}, 0},
		{"ordinary, one piece short", ordinary, func(w world) { w.m.order("x", "tea-s", 9) }, refundDue, "refund_due", [2]int64{9, 0}, 0},
		{"open sale, stock left", flash, func(world) {}, paid, "accepted", [2]int64{0, 6}, 2},
		{"open sale, sold to others", flash, func(w world) {
			w.m.flashOrder("g", 5)
			w.m.exec(`UPDATE orders SET buyer_id = 'bob' WHERE request_id = 'g'`)
			w.m.exec(`UPDATE attempt SET buyer_id = 'bob' WHERE key = 'g'`)
		}, refundDue, "refund_due", [2]int64{0, 6}, 5},
		{"open sale, buyer's limit reached by another order", flash, func(w world) { w.m.flashOrder("g", 3) }, refundDue, "refund_due", [2]int64{0, 6}, 3},
		{"open sale, up to the buyer's limit", flash, func(w world) { w.m.flashOrder("g", 2) }, paid, "accepted", [2]int64{0, 6}, 4},
		{"closed sale, stock left", flash, func(w world) { w.m.closeSale() }, paid, "accepted", [2]int64{0, 2}, 2},
		{"closed sale, sku sold out", flash, func(w world) { w.m.closeSale(); w.m.order("x", "tea-s", 9) }, refundDue, "refund_due", [2]int64{9, 0}, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			m := newMarket(t)
			o := row.order(m)
			p := m.pay(o.Id)
			m.expire(o.Id)
			row.between(world{m, o, p})
			m.notice(success(p, "e"))
			m.notice(success(p, "e"))
			m.expect("order", m.state(o.Id), row.want)
			m.expect("notice", m.result("e"), row.result)
			m.expect("payment", m.paymentState(p), row.result)
			m.expect("sku", m.counts("k-tea-s"), row.counts)
			if o.SaleId != "" {
				m.expect("sale", scan[int64](m, `SELECT sold FROM sale WHERE id = 's1'`), row.sold)
			}
		})
	}
}

func TestMoneyForACancelledOrder(t *testing.T) {
	m := newMarket(t)
	o := m.order("k", "tea-s", 1)
	p := m.pay(o.Id)
	_, err := m.cart.Cancel(t.Context(), "ann", "c", o.Id)
	m.must(err)
	m.expect("payment", m.paymentState(p), "void")
	m.notice(success(p, "e"))
	m.expect("order", m.state(o.Id), cancelled)
	m.expect("payment", m.paymentState(p), "refund_due")
	m.expect("notice", m.result("e"), "late")
}

// TestSecondPaymentOfAPaidOrder has money come for an older payment of an order that is paid.
func TestSecondPaymentOfAPaidOrder(t *testing.T) {
	m := newMarket(t)
	o := m.order("k", "tea-s", 1)
	first := m.pay(o.Id)
	m.exec(`UPDATE payment SET amount = 900, price_version = 0 WHERE id = $1`, first.PaymentId) // asked at an older price
	second, err := m.cart.Pay(t.Context(), "ann", "p2", o.Id)
	m.must(err)
	m.expect("another payment", second.PaymentId != first.PaymentId, true)
	m.notice(success(second, "e2"))
	m.expect("first", m.paymentState(first), "void")
	first.Amount = 900
	m.notice(success(first, "e1"))
	m.expect("order", m.state(o.Id), paid)
	m.expect("first", m.paymentState(first), "refund_due")
}
