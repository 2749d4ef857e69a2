package cart

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"livecart/proto"
)

// owedOrder is a cancelled order whose money came all the same.
func (m *market) owedOrder(key string) (*proto.Order, *proto.Payment) {
	m.t.Helper()
	o := m.order(key, "tea-s", 1)
	p := m.pay(o.Id)
	_, err := m.cart.Cancel(m.t.Context(), "ann", "c"+key, o.Id)
	m.must(err)
	m.notice(success(p, "e"+key))
	return o, p
}

func TestRefundWorkerGivesMoneyBackOnce(t *testing.T) {
	m := newMarket(t)
	_, p := m.owedOrder("k")
	w := &refundWorker{m.cfg}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() { m.ok(w.askAll(t.Context())) })
	}
	wg.Wait()
	m.expect("asked once", len(m.pays.refunds), 1)
	m.expect("for the money", strings.HasSuffix(m.pays.refunds[0], p.PaymentId+" 1000CNY"), true)
	m.expect("payment", m.paymentState(p), "refunded")
	m.must(w.askAll(t.Context()))
	m.expect("asked no more", len(m.pays.refunds), 1)
}

// TestRefundWorkerTriesAgain has the provider fail, then take its time, then give.
func TestRefundWorkerTriesAgain(t *testing.T) {
	m := newMarket(t)
	_, p := m.owedOrder("k")
	w := &refundWorker{m.cfg}
	m.pays.fail = errors.New("away\x00 for " + strings.Repeat("long ", 100))
	m.must(w.askAll(t.Context()))
	m.expect("said", scan[string](m, `SELECT left(last_error, 13) FROM refund`), "away for long")
	m.expect("bounded", scan[int](m, `SELECT length(last_error) FROM refund`), maxRefundError-1)
	m.pays.fail, m.pays.pending = nil, true
	m.exec(`UPDATE refund SET next_at = clock_timestamp()`)
	m.must(w.askAll(t.Context()))
	m.expect("still due", m.paymentState(p), "refund_due")
	m.must(w.report(t.Context()))
	m.pays.pending = false
	m.exec(`UPDATE refund SET next_at = clock_timestamp(), tries = $1`, refundStuck)
	if err := w.report(t.Context()); err == nil || !strings.Contains(err.Error(), "not done yet") {
		t.Errorf("a stuck refund is reported as %v", err)
	}
	m.must(w.askAll(t.Context()))
	m.expect("given", m.paymentState(p), "refunded")
	m.expect("one id", m.pays.refunds[0] == m.pays.refunds[1], true)
	m.must(w.report(t.Context()))
}

// TestRefundWorkerAfterACrash has a worker die between the provider's answer and the commit.
func TestRefundWorkerAfterACrash(t *testing.T) {
	m := newMarket(t)
	_, p := m.owedOrder("k")
	w := &refundWorker{m.cfg}
	rows, err := m.pool().Query(t.Context(), claimRefundsSQL, 1, claimFor.Seconds())
	m.must(err)
	rows.Close()
	m.must(w.askAll(t.Context()))
	m.expect("claimed by the dead", len(m.pays.refunds), 0)
	m.exec(`UPDATE refund SET next_at = clock_timestamp()`) // a minute later
	m.must(w.askAll(t.Context()))
	m.expect("payment", m.paymentState(p), "refunded")
}

// TestRefundedOrderIsTold gives back an order's own money and tells the buyer.
func TestRefundedOrderIsTold(t *testing.T) {
	m := newMarket(t)
	o := m.paid("k", "tea-s", 1)
	m.refund("r", refundOf(o.Id, false))
	private := m.listen()
	m.must((&refundWorker{m.cfg}).askAll(t.Context()))
	m.expect("told", private(1)[0].Event.GetOrderUpdated().Order.State, proto.OrderState_ORDER_STATE_REFUNDED)
	m.expect("order", m.state(o.Id), refunded)
}

func TestRefundBackoff(t *testing.T) {
	most := func(n int64) int64 { return n - 1 }
	for tries, want := range map[int]time.Duration{1: 2 * time.Second, 2: 4 * time.Second, 9: 512 * time.Second, 10: refundCap, 19: refundCap, 20: refundCap, 1000: refundCap} {
		if got := refundBackoff(tries, most); got != want-1 {
			t.Errorf("after %d tries at most %v, want %v", tries, got, want)
		}
	}
	if got := refundBackoff(5, func(int64) int64 { return 0 }); got != 0 {
		t.Error("the jitter is not full")
	}
}
