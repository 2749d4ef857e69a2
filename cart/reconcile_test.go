package cart

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"livecart/proto"
)

func (m *market) reconciler() *reconciler {
	return &reconciler{m.cfg, func(context.Context, string) error { return nil }}
}

// ask has the provider asked about every payment, whatever its time.
func (m *market) ask() error {
	m.t.Helper()
	m.exec(`UPDATE payment SET query_at = clock_timestamp() WHERE query_at IS NOT NULL`)
	return m.reconciler().askAll(m.t.Context())
}

// paidWith is a charge that was paid with the payment's money or another amount.
func paidWith(p *proto.Payment, event string, amount int64) Charge {
	return Charge{State: ChargePaid, Receipts: []Receipt{{EventID: event, TransactionID: "txn " + event, Amount: amount, Currency: p.Currency}}}
}

func TestNextQuery(t *testing.T) {
	made := time.Unix(1_000_000, 0)
	for _, row := range []struct {
		name        string
		window, now time.Duration
		want        time.Duration // after made; 0 for never
	}{
		{"at first", 5 * time.Minute, 0, 10 * time.Second},
		{"at the first", 5 * time.Minute, 10 * time.Second, 30 * time.Second},
		{"before the expiry", 5 * time.Minute, time.Minute, 5*time.Minute + 5*time.Second},
		{"a long window", 30 * time.Minute, 5 * time.Minute, 10 * time.Minute},
		{"after the expiry", 5 * time.Minute, 5*time.Minute + 5*time.Second, 5*time.Minute + 30*time.Second},
		{"an hour later", 5 * time.Minute, 11 * time.Minute, 65 * time.Minute},
		{"the last time", 5 * time.Minute, 12 * time.Hour, 24*time.Hour + 5*time.Minute},
		{"never again", 5 * time.Minute, 24*time.Hour + 5*time.Minute, 0},
	} {
		got := nextQuery(made, made.Add(row.window), made.Add(row.now))
		if row.want == 0 && !got.IsZero() || row.want != 0 && !got.Equal(made.Add(row.want)) {
			t.Errorf("%s: %v after the payment was made, want %v", row.name, got.Sub(made), row.want)
		}
	}
}

// TestPaidAndNotTold finds money whose notice never came; when it comes after all it is known.
func TestPaidAndNotTold(t *testing.T) {
	m := newMarket(t)
	o := m.order("k", "tea-s", 1)
	p := m.pay(o.Id)
	m.expect("asked later", scan[bool](m, `SELECT query_at > clock_timestamp() + interval '5 seconds' FROM payment`), true)
	m.must(m.reconciler().askAll(t.Context()))
	m.expect("not asked yet", m.state(o.Id), awaitingPayment)

	m.pays.charge(p.PaymentId, Charge{State: ChargeUnpaid})
	m.must(m.ask())
	m.expect("unpaid", m.state(o.Id), awaitingPayment)
	m.expect("not closed while it may be paid", len(m.pays.closed), 0)

	m.pays.charge(p.PaymentId, paidWith(p, "e1", p.Amount))
	m.must(m.ask())
	m.expect("order", m.state(o.Id), paid)
	m.expect("payment", m.paymentState(p), "accepted")
	n := success(p, "e1")
	n.TransactionID = "txn e1"
	m.notice(n)
	m.expect("notices", scan[int](m, `SELECT count(*) FROM payment_notice`), 1)
}

// TestReconcileAndNoticeAtOnce lets workers and notices race for one payment.
func TestReconcileAndNoticeAtOnce(t *testing.T) {
	m := newMarket(t)
	o := m.order("k", "tea-s", 1)
	p := m.pay(o.Id)
	m.pays.charge(p.PaymentId, paidWith(p, "e1", p.Amount))
	m.exec(`UPDATE payment SET query_at = clock_timestamp()`)
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() { m.ok(m.reconciler().askAll(t.Context())) })
		wg.Go(func() { m.ok(m.cart.HandleNotice(t.Context(), success(p, "e1"))) })
	}
	wg.Wait()
	m.expect("order", m.state(o.Id), paid)
	m.expect("events", scan[int](m, `SELECT count(*) FROM order_event WHERE order_id = $1`, o.Id), 2)
}

func TestProviderIsAwayWhenAsked(t *testing.T) {
	m := newMarket(t)
	o := m.order("k", "tea-s", 1)
	p := m.pay(o.Id)
	m.pays.fail = errors.New("away")
	m.refused(m.ask(), m.pays.fail)
	m.expect("asked again", scan[bool](m, `SELECT query_at > clock_timestamp() AND query_at < clock_timestamp() + interval '11 seconds' FROM payment`), true)
	m.pays.fail = nil
	m.pays.charge(p.PaymentId, paidWith(p, "e1", p.Amount))
	m.must(m.ask())
	m.expect("order", m.state(o.Id), paid)
}

// TestProviderIsAwayForDays finds money that came just before the provider was away for longer than its
// notices are sent and than is asked on schedule.
func TestProviderIsAwayForDays(t *testing.T) {
	m := newMarket(t)
	o := m.order("k", "tea-s", 1)
	p := m.pay(o.Id)
	m.expire(o.Id)
	m.exec(`UPDATE payment SET created_at = clock_timestamp() - interval '3 days', expires_at = clock_timestamp() - interval '3 days'`)
	m.pays.fail = errors.New("away")
	m.refused(m.ask(), m.pays.fail)
	m.expect("asked again", scan[bool](m, `
		SELECT query_at BETWEEN clock_timestamp() + interval '5 hours' AND clock_timestamp() + interval '6 hours' FROM payment`), true)
	m.pays.fail = nil
	m.pays.charge(p.PaymentId, paidWith(p, "e1", p.Amount))
	m.must(m.ask())
	m.expect("order", m.state(o.Id), paid)
}

// TestEndedPaymentsAreClosed closes what nobody should pay any more, and gives back what came.
func TestEndedPaymentsAreClosed(t *testing.T) {
	for _, row := range []struct {
		name string
		end  func(m *market, o *proto.Order)
	}{
		{"cancelled", func(m *market, o *proto.Order) {
			_, err := m.cart.Cancel(m.t.Context(), "ann", "c", o.Id)
			m.must(err)
		}},
		{"expired", func(m *market, o *proto.Order) {
			m.expire(o.Id)
			m.exec(`UPDATE payment SET expires_at = clock_timestamp() - interval '1 second'`)
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			m := newMarket(t)
			o := m.order("k", "tea-s", 1)
			p := m.pay(o.Id)
			m.pays.charge(p.PaymentId, Charge{State: ChargeUnpaid})
			row.end(m, o)
			m.pays.fail = errors.New("away")
			m.refused(m.ask(), m.pays.fail)
			m.expect("not closed", scan[bool](m, `SELECT query_at IS NOT NULL FROM payment`), true)
			m.pays.fail = nil
			m.must(m.ask())
			m.expect("closed", fmt.Sprint(m.pays.closed), "["+p.PaymentId+"]")
			m.expect("asked no more", scan[bool](m, `SELECT query_at IS NULL FROM payment`), true)
		})
	}
}

// TestMoneyForAVoidPaymentIsFound has a buyer pay while the order is cancelled, with no notice sent.
func TestMoneyForAVoidPaymentIsFound(t *testing.T) {
	m := newMarket(t)
	o := m.order("k", "tea-s", 1)
	p := m.pay(o.Id)
	_, err := m.cart.Cancel(t.Context(), "ann", "c", o.Id)
	m.must(err)
	m.pays.charge(p.PaymentId, paidWith(p, "e1", p.Amount))
	m.must(m.reconciler().askAll(t.Context())) // a void payment is asked about at once
	m.expect("payment", m.paymentState(p), "refund_due")
	m.expect("owed back", m.owed("e1"), fmt.Sprintf("%s 1000 CNY late due", p.PaymentId))
}

func TestUnmatchedNoticesAreMatched(t *testing.T) {
	m := newMarket(t)
	o := m.order("k", "tea-s", 1)
	p := m.pay(o.Id)
	m.exec(`INSERT INTO payment_notice (provider, event_id, payment_id, kind, amount, currency, result)
		VALUES ('sandbox', 'e1', $1, 'payment.succeeded', 1000, 'CNY', 'unmatched')`, p.PaymentId)
	m.must(m.reconciler().matchAll(t.Context()))
	m.expect("order", m.state(o.Id), paid)
	m.expect("notice", m.result("e1"), "accepted")
	m.must(m.reconciler().matchAll(t.Context()))
}

// owed describes the refund that a notice led to.
func (m *market) owed(event string) string {
	m.t.Helper()
	return scan[string](m, `
		SELECT coalesce(string_agg(concat_ws(' ', payment_id, amount, currency, reason, state), ', '), 'nothing') FROM refund WHERE event_id = $1`, event)
}

// TestStrayMoney sends money that pays nothing, each kind once and twice.
func TestStrayMoney(t *testing.T) {
	for _, row := range []struct {
		name  string
		money func(m *market, o *proto.Order, p *proto.Payment) Notice
		want  string // after the payment's id
		pay   string // the payment's state
		order state
	}{
		{"too little", func(_ *market, _ *proto.Order, p *proto.Payment) Notice {
			n := success(p, "e")
			n.Amount--
			return n
		}, "999 CNY amount_mismatch due", "refund_due", awaitingPayment},
		{"in another currency", func(_ *market, _ *proto.Order, p *proto.Payment) Notice {
			n := success(p, "e")
			n.Currency = "USD"
			return n
		}, "1000 USD amount_mismatch due", "refund_due", awaitingPayment},
		{"of the old amount after a reprice", func(m *market, o *proto.Order, p *proto.Payment) Notice {
			_, err := m.reprice("cheaper", o, 900)
			m.must(err)
			return success(p, "e")
		}, "1000 CNY amount_mismatch due", "refund_due", awaitingPayment},
		{"a second time", func(m *market, _ *proto.Order, p *proto.Payment) Notice {
			first, second := success(p, "e0"), success(p, "e")
			first.TransactionID, second.TransactionID = "t1", "t2"
			m.notice(first)
			return second
		}, "1000 CNY paid_again due", "accepted", paid},
		{"as late money without stock", func(m *market, o *proto.Order, p *proto.Payment) Notice {
			m.expire(o.Id)
			m.order("x", "tea-s", 10)
			return success(p, "e")
		}, "1000 CNY refund_due due", "refund_due", refundDue},
	} {
		t.Run(row.name, func(t *testing.T) {
			m := newMarket(t)
			o := m.order("k", "tea-s", 1)
			p := m.pay(o.Id)
			n := row.money(m, o, p)
			m.notice(n)
			m.notice(n)
			m.expect("owed back", m.owed("e"), p.PaymentId+" "+row.want)
			m.expect("payment", m.paymentState(p), row.pay)
			m.expect("order", m.state(o.Id), row.order)
		})
	}
}

// TestSameMoneyToldAgain sends second events of one payment that are no second money.
func TestSameMoneyToldAgain(t *testing.T) {
	m := newMarket(t)
	for _, row := range [][2]string{{"t1", "t1"}, {"", "t1"}, {"t1", ""}, {"", ""}} {
		key := fmt.Sprint(row)
		p := m.pay(m.order(key, "tea-s", 1).Id)
		first, second := success(p, "a"+key), success(p, "b"+key)
		first.TransactionID, second.TransactionID = row[0], row[1]
		m.notice(first)
		m.notice(second)
		m.expect(key, m.result("b"+key), "duplicate")
		m.expect(key, m.owed("b"+key), "nothing")
	}
}
