package cart

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"livecart/proto"
	"livecart/session/store"
)

// may sells for the market's shop.
func may() Seller { return Seller{User: &proto.User{Id: "h1", Name: "May"}, ShopID: "shop"} }

// paid makes a paid order with an address.
func (m *market) paid(key string, pairs ...any) *proto.Order {
	m.t.Helper()
	cmd := items(pairs...)
	cmd.ShipTo = goodAddress()
	made, err := m.create(m.t.Context(), "demo", buyer("ann"), key, cmd)
	m.must(err)
	return m.settle(made)
}

// settle pays an order.
func (m *market) settle(o *proto.Order) *proto.Order {
	m.t.Helper()
	m.notice(success(m.pay(o.Id), "paid-"+o.Id))
	return m.read(o.Id)
}

func (m *market) read(orderID string) *proto.Order {
	m.t.Helper()
	o, err := readOrder(m.t.Context(), m.pool(), orderID)
	m.must(err)
	return o
}

// pieces are of lines: line, quantity, line, quantity.
func pieces(pairs ...int32) (list []*proto.LinePieces) {
	for i := 0; i < len(pairs); i += 2 {
		list = append(list, &proto.LinePieces{Line: pairs[i], Quantity: pairs[i+1]})
	}
	return list
}

func refundOf(orderID string, restock bool, pairs ...int32) *proto.OrderRefund {
	return &proto.OrderRefund{OrderId: orderID, Restock: &restock, Pieces: pieces(pairs...)}
}

func (m *market) refund(key string, cmd *proto.OrderRefund) *proto.Order {
	m.t.Helper()
	o, err := m.cart.Refund(m.t.Context(), may(), key, cmd)
	m.must(err)
	return o
}

// finish ends a refund as its worker would.
func (m *market) finish(refundID string) (o *proto.Order) {
	m.t.Helper()
	m.must(store.InTx(m.t.Context(), m.pool(), func(tx pgx.Tx) (err error) {
		o, err = finishRefund(m.t.Context(), tx, refundID)
		return err
	}))
	return o
}

func TestRefundWholeOrder(t *testing.T) {
	for _, row := range []struct {
		restock bool
		held    int64 // of tea-s
	}{{true, 0}, {false, 2}} {
		t.Run(fmt.Sprint("restock ", row.restock), func(t *testing.T) {
			m := newMarket(t)
			o := m.paid("k", "tea-s", 2, "tea-l", 1)
			private := m.listen()
			cmd := refundOf(o.Id, row.restock)
			cmd.Reason = "broken"
			got := m.refund("r", cmd)
			m.expect("state", got.State, proto.OrderState_ORDER_STATE_REFUND_DUE)
			m.expect("refunded", got.Refunded, o.Amount)
			m.expect("refunds", len(got.Refunds), 1)
			r := got.Refunds[0]
			m.expect("refund", fmt.Sprint(r.Amount, r.Restocked, r.Reason, r.State, r.Pieces[0].Quantity, r.Pieces[1].Line),
				fmt.Sprint(4500, row.restock, "broken", proto.RefundState_REFUND_STATE_DUE, 2, 2))
			m.expect("version rose", got.Version > o.Version, true)
			m.expect("told", proto.Equal(private(1)[0].Event.GetOrderUpdated().Order, got), true)
			m.expect("tea-s", m.counts("k-tea-s"), [2]int64{row.held, 0})
			m.expect("again", proto.Equal(m.refund("r", cmd), got), true)

			done := m.finish(r.Id)
			m.expect("finished", done.State, proto.OrderState_ORDER_STATE_REFUNDED)
			m.expect("done", done.Refunds[0].State, proto.RefundState_REFUND_STATE_DONE)
			m.expect("finished again", m.finish(r.Id) == nil, true)
			m.expect("the refund's answer is what is now", proto.Equal(m.refund("r", cmd), done), true)
			_, err := m.cart.Refund(t.Context(), may(), "r2", cmd)
			m.refused(err, ErrOrderState)
		})
	}
}

// TestRefundByPieces gives back a discounted order in steps that do not divide.
func TestRefundByPieces(t *testing.T) {
	m := newMarket(t)
	o := m.order("k", "tea-s", 3, "tea-l", 1)
	_, err := m.cart.Reprice(t.Context(), may(), "p", &proto.OrderReprice{OrderId: o.Id, Amount: 1001, ExpectedVersion: o.Version})
	m.must(err)
	o = m.settle(o)
	m.expect("paid", o.Amount, int64(1001))
	var sum int64
	for i, row := range []struct {
		pieces []int32
		amount int64 // 1001 × gross ÷ 5500, less what went before
	}{
		{[]int32{1, 1}, 182}, {[]int32{1, 1}, 182}, {[]int32{2, 1}, 455}, {nil, 182},
	} {
		got := m.refund(fmt.Sprint("r", i), refundOf(o.Id, i%2 == 0, row.pieces...))
		m.expect(fmt.Sprint("step ", i), got.Refunds[i].Amount, row.amount)
		sum += got.Refunds[i].Amount
		m.expect("so far", got.Refunded, sum)
		last := i == 3
		m.expect(fmt.Sprint("refund due after step ", i), got.State == proto.OrderState_ORDER_STATE_REFUND_DUE, last)
	}
	m.expect("all", sum, int64(1001))
	m.expect("two of four went back", m.counts("k-tea-s")[0]+m.counts("k-tea-l")[0], int64(2))
	for i, r := range m.read(o.Id).Refunds {
		got := m.finish(r.Id)
		m.expect("refunded", got.State == proto.OrderState_ORDER_STATE_REFUNDED, i == 3)
	}
}

// TestRefundOfNothing refunds pieces that a discount made worth less than a minor unit.
func TestRefundOfNothing(t *testing.T) {
	m := newMarket(t)
	o := m.order("k", "tea-s", 3)
	_, err := m.cart.Reprice(t.Context(), may(), "p", &proto.OrderReprice{OrderId: o.Id, Amount: 1, ExpectedVersion: o.Version})
	m.must(err)
	o = m.settle(o)
	got := m.refund("r1", refundOf(o.Id, true, 1, 2))
	m.expect("nothing to give", fmt.Sprint(got.Refunds[0].Amount, got.Refunds[0].State), fmt.Sprint(0, proto.RefundState_REFUND_STATE_DONE))
	m.expect("state", got.State, proto.OrderState_ORDER_STATE_PAID)
	got = m.refund("r2", refundOf(o.Id, true, 1, 1))
	m.expect("the last piece has it all", got.Refunds[1].Amount, int64(1))
	m.expect("state", m.finish(got.Refunds[1].Id).State, proto.OrderState_ORDER_STATE_REFUNDED)
}

func TestRefundOfFlashOrder(t *testing.T) {
	m := newMarket(t)
	o := m.settle(m.flashOrder("f", 3))
	m.refund("r1", refundOf(o.Id, true, 1, 1))
	m.expect("sold", scan[int64](m, `SELECT sold FROM sale`), int64(2))
	m.expect("stays with the open sale", m.counts("k-tea-s"), [2]int64{0, 6})
	m.closeSale()
	m.refund("r2", refundOf(o.Id, true, 1, 1))
	m.expect("sold", scan[int64](m, `SELECT sold FROM sale`), int64(1))
	m.expect("back in the sku", m.counts("k-tea-s"), [2]int64{0, 1})
	m.refund("r3", refundOf(o.Id, false))
	m.expect("kept away", m.counts("k-tea-s"), [2]int64{0, 1})
}

func TestRefundRefusals(t *testing.T) {
	m := newMarket(t)
	m.must(m.cart.PutShop(t.Context(), Shop{ID: "other", Name: "Other", Currency: "CNY"}))
	o := m.paid("k", "tea-s", 2, "tea-l", 1)
	unpaid := m.order("u", "pot", 1)
	yes := true
	stranger := Seller{User: may().User, ShopID: "other"}
	for _, row := range []struct {
		name string
		by   Seller
		cmd  *proto.OrderRefund
		want error
	}{
		{"no choice of restock", may(), &proto.OrderRefund{OrderId: o.Id}, ErrInvalid},
		{"another shop's order", stranger, refundOf(o.Id, true), ErrOrderNotFound},
		{"nobody's", Seller{User: may().User}, refundOf(o.Id, true), ErrOrderNotFound},
		{"no such order", may(), refundOf("ord_x", true), ErrOrderNotFound},
		{"an id that is none", may(), refundOf("a\x00", true), ErrOrderNotFound},
		{"unpaid", may(), refundOf(unpaid.Id, true), ErrOrderState},
		{"more than the line has", may(), refundOf(o.Id, true, 1, 3), ErrRefundExceedsPaid},
		{"no pieces", may(), refundOf(o.Id, true, 1, 0), ErrInvalidQuantity},
		{"negative pieces", may(), refundOf(o.Id, true, 1, -1), ErrInvalidQuantity},
		{"more than any line has", may(), refundOf(o.Id, true, 1, math.MaxInt32), ErrInvalidQuantity},
		{"line 0", may(), refundOf(o.Id, true, 0, 1), ErrInvalid},
		{"a line that is not there", may(), refundOf(o.Id, true, 3, 1), ErrInvalid},
		{"no line of any order", may(), refundOf(o.Id, true, math.MaxInt32, 1), ErrInvalid},
		{"a line twice", may(), refundOf(o.Id, true, 1, 1, 1, 1), ErrInvalid},
		{"a long reason", may(), &proto.OrderRefund{OrderId: o.Id, Restock: &yes, Reason: strings.Repeat("é", 201)}, ErrInvalid},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := m.cart.Refund(t.Context(), row.by, "r", row.cmd)
			m.refused(err, row.want)
		})
	}
	m.expect("refunds", scan[int](m, `SELECT count(*) FROM refund`), 0)
	m.expect("keys", scan[int](m, `SELECT count(*) FROM request_key WHERE kind = 'order_refund'`), 0)
	m.expect("order", proto.Equal(m.read(o.Id), o), true)

	cmd := refundOf(o.Id, true, 1, 1)
	cmd.Reason = strings.Repeat("é", 200)
	m.refund("r", cmd)
	_, err := m.cart.Refund(t.Context(), may(), "r", refundOf(o.Id, true, 1, 2))
	m.refused(err, ErrKeyConflict)
	_, err = m.cart.Refund(t.Context(), may(), "r2", refundOf(o.Id, true, 1, 2))
	m.refused(err, ErrRefundExceedsPaid)
	operator := Seller{User: &proto.User{Id: "op"}, AllShops: true}
	_, err = m.cart.Refund(t.Context(), operator, "r", refundOf(o.Id, false, 1, 1))
	m.must(err)
}

func TestRefundsOfOneOrderAreBounded(t *testing.T) {
	m := newMarket(t)
	m.put(tea(), map[string]int64{"k-tea-s": 60})
	o := m.paid("k", "tea-s", MaxRefunds+3)
	for i := range MaxRefunds {
		m.refund(fmt.Sprint("r", i), refundOf(o.Id, false, 1, 1))
	}
	_, err := m.cart.Refund(t.Context(), may(), "more", refundOf(o.Id, false, 1, 1))
	m.refused(err, ErrInvalid)
	m.expect("the rest", m.refund("rest", refundOf(o.Id, false)).Refunds[MaxRefunds].Amount, int64(3000))
}

// TestLateMoneyIsRefunded finishes refunds of payments that paid nothing.
func TestLateMoneyIsRefunded(t *testing.T) {
	m := newMarket(t)
	o := m.order("k", "pot", 3)
	p := m.pay(o.Id)
	m.expire(o.Id)
	bobs, err := m.create(t.Context(), "demo", buyer("bob"), "b", items("pot", 3))
	m.must(err)
	first, second := success(p, "late"), success(p, "again")
	first.TransactionID, second.TransactionID = "t1", "t2"
	m.notice(first)
	m.expect("no stock left", m.state(o.Id), refundDue)
	m.notice(second)
	ref := func(event string) string {
		return scan[string](m, `SELECT id FROM refund WHERE event_id = $1 AND kind = 'payment' AND amount = 29700 AND currency = 'CNY'`, event)
	}
	m.expect("another is due", m.finish(ref("late")) == nil, true)
	m.expect("payment", m.paymentState(p), "refund_due")
	m.expect("order", m.finish(ref("again")).State, proto.OrderState_ORDER_STATE_REFUNDED)
	m.expect("payment", m.paymentState(p), "refunded")
	m.expect("finished again", m.finish(ref("again")) == nil, true)
	m.expect("bob's", m.state(bobs.Id), awaitingPayment)
}
