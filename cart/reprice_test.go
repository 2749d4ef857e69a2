package cart

import (
	"fmt"
	"math"
	"testing"

	"livecart/proto"
)

func (m *market) reprice(key string, o *proto.Order, amount int64) (*proto.Order, error) {
	m.t.Helper()
	return m.cart.Reprice(m.t.Context(), may(), key, &proto.OrderReprice{OrderId: o.Id, Amount: amount, ExpectedVersion: o.Version})
}

// TestReprice lowers an order's amount twice: each time the payment asked for before is void, its money
// goes back, and only the new amount pays.
func TestReprice(t *testing.T) {
	m := newMarket(t)
	o := m.order("k", "tea-s", 2, "tea-l", 1)
	old := m.pay(o.Id)
	private := m.listen()
	cheaper, err := m.reprice("r1", o, 4000)
	m.must(err)
	m.expect("order", fmt.Sprint(cheaper.Amount, cheaper.Discount, cheaper.PriceVersion, cheaper.Version > o.Version), "4000 500 2 true")
	m.expect("told", proto.Equal(private(1)[0].Event.GetOrderUpdated().Order, cheaper), true)
	m.expect("the payment before", m.paymentState(old), "void")
	again, err := m.reprice("r1", o, 4000)
	m.must(err)
	m.expect("sent again", proto.Equal(again, cheaper), true)
	_, err = m.reprice("r1", o, 3999)
	m.refused(err, ErrKeyConflict)

	mid, err := m.cart.Pay(t.Context(), "ann", "p2", o.Id)
	m.must(err)
	m.expect("to pay", fmt.Sprint(mid.Amount, mid.PriceVersion), "4000 2")
	cheapest, err := m.reprice("r2", cheaper, 1)
	m.must(err)
	m.expect("order", fmt.Sprint(cheapest.Amount, cheapest.Discount, cheapest.PriceVersion), "1 4499 3")
	m.notice(success(old, "old"))
	m.notice(success(mid, "mid"))
	m.expect("old money pays nothing", m.state(o.Id), awaitingPayment)
	last, err := m.cart.Pay(t.Context(), "ann", "p3", o.Id)
	m.must(err)
	m.notice(success(last, "last"))
	m.expect("state", m.state(o.Id), paid)
	for _, p := range []*proto.Payment{old, mid} {
		m.expect("goes back", m.paymentState(p), "refund_due")
	}
	_, err = m.reprice("r3", m.read(o.Id), 1)
	m.refused(err, ErrRepriceNotUnpaid)
}

func TestRepriceRefusals(t *testing.T) {
	m := newMarket(t)
	m.must(m.cart.PutShop(t.Context(), Shop{ID: "other", Name: "Other", Currency: "CNY"}))
	o := m.order("k", "tea-s", 1)
	late := m.order("late", "tea-s", 1)
	m.overdue(late.Id)
	gone := m.order("gone", "tea-s", 1)
	_, err := m.cart.Cancel(t.Context(), "ann", "c", gone.Id)
	m.must(err)
	cmd := func(id string, amount, version int64) *proto.OrderReprice {
		return &proto.OrderReprice{OrderId: id, Amount: amount, ExpectedVersion: version}
	}
	for _, row := range []struct {
		name string
		by   Seller
		cmd  *proto.OrderReprice
		want error
	}{
		{"to nothing", may(), cmd(o.Id, 0, 1), ErrRepriceZero},
		{"below nothing", may(), cmd(o.Id, -1, 1), ErrRepriceZero},
		{"far below nothing", may(), cmd(o.Id, math.MinInt64, 1), ErrRepriceZero},
		{"to the same", may(), cmd(o.Id, 1000, 1), ErrRepriceAboveOriginal},
		{"up", may(), cmd(o.Id, math.MaxInt64, 1), ErrRepriceAboveOriginal},
		{"an old version", may(), cmd(o.Id, 999, 0), ErrVersionConflict},
		{"a version to come", may(), cmd(o.Id, 999, 2), ErrVersionConflict},
		{"another shop's", Seller{User: may().User, ShopID: "other"}, cmd(o.Id, 999, 1), ErrOrderNotFound},
		{"nobody's", Seller{User: may().User}, cmd(o.Id, 999, 1), ErrOrderNotFound},
		{"no such order", may(), cmd("ord_x", 999, 1), ErrOrderNotFound},
		{"over its window", may(), cmd(late.Id, 999, 1), ErrRepriceNotUnpaid},
		{"cancelled", may(), cmd(gone.Id, 999, gone.Version+1), ErrRepriceNotUnpaid},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := m.cart.Reprice(t.Context(), row.by, "r", row.cmd)
			m.refused(err, row.want)
		})
	}
	_, err = m.cart.Reprice(t.Context(), may(), "", cmd(o.Id, 999, 1))
	m.refused(err, ErrRequestIDRequired)
	m.expect("reprices", scan[int](m, `SELECT count(*) FROM order_reprice`), 0)
	m.expect("keys", scan[int](m, `SELECT count(*) FROM request_key WHERE kind = 'order_reprice'`), 0)
	m.expect("order", proto.Equal(m.read(o.Id), o), true)
}

func TestRepriceLimit(t *testing.T) {
	m := newMarket(t)
	o := m.order("k", "tea-s", 1)
	var err error
	for i := range MaxReprices {
		o, err = m.reprice(fmt.Sprint("r", i), o, o.Amount-1)
		m.must(err)
	}
	m.expect("after 50", fmt.Sprint(o.Amount, o.Discount, o.PriceVersion), "950 50 51")
	_, err = m.reprice("51st", o, o.Amount-1)
	m.refused(err, ErrRepriceLimit)
}

// Repriced and paid at once: either the old amount has paid and there is no reprice, or there is one and
// the old amount goes back.
func TestRepriceRacesPayment(t *testing.T) {
	m := newMarket(t)
	m.put(tea(), map[string]int64{"k-tea-s": 100})
	for i := range 12 {
		o := m.order(fmt.Sprint("k", i), "tea-s", 1)
		p := m.pay(o.Id)
		repriced := make(chan error)
		go func() { // ends with its answer, which is waited for
			_, err := m.reprice(fmt.Sprint("r", i), o, 1)
			repriced <- err
		}()
		m.notice(success(p, fmt.Sprint("e", i)))
		now := m.state(o.Id)
		if err := <-repriced; err == nil {
			m.expect("state after a reprice", now, awaitingPayment)
			m.expect("the old amount", m.paymentState(p), "refund_due")
		} else {
			m.refused(err, ErrRepriceNotUnpaid)
			m.expect("state without one", now, paid)
		}
	}
}
