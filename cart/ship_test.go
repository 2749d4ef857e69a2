package cart

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"livecart/proto"
)

func (m *market) ship(key string, cmd *proto.OrderShip) *proto.Order {
	m.t.Helper()
	if cmd.Carrier == "" {
		cmd.Carrier, cmd.Waybill = "SF", "SF-"+key
	}
	o, err := m.cart.Ship(m.t.Context(), may(), key, cmd)
	m.must(err)
	return o
}

func TestShipInParts(t *testing.T) {
	m := newMarket(t)
	o := m.paid("k", "tea-s", 3, "tea-l", 1)
	private := m.listen()
	first := &proto.OrderShip{OrderId: o.Id, Carrier: "SF", Waybill: "SF1", Pieces: pieces(1, 2)}
	got := m.ship("a", first)
	m.expect("state", got.State, proto.OrderState_ORDER_STATE_PAID)
	m.expect("shipped", got.Lines[0].Shipped, int32(2))
	m.expect("told", proto.Equal(private(1)[0].Event.GetOrderUpdated().Order, got), true)
	m.expect("again", proto.Equal(m.ship("a", first), got), true)

	other := goodAddress()
	other.City = "上海"
	_, err := m.cart.SetAddress(t.Context(), "ann", &proto.OrderAddress{OrderId: o.Id, ShipTo: other})
	m.refused(err, ErrOrderState)
	_, err = m.cart.Receive(t.Context(), "ann", "early", o.Id)
	m.refused(err, ErrOrderState)

	got = m.ship("b", &proto.OrderShip{OrderId: o.Id})
	m.expect("state", got.State, proto.OrderState_ORDER_STATE_SHIPPED)
	m.expect("waybills", len(got.Shipments), 2)
	s := got.Shipments[1]
	m.expect("the rest", fmt.Sprint(s.Carrier, s.Waybill, s.Pieces[0].Line, s.Pieces[0].Quantity, s.Pieces[1].Line, s.Pieces[1].Quantity), "SFSF-b1 1 2 1")
	m.expect("recently", time.Since(time.UnixMilli(s.ShippedMs)) < time.Minute, true)
	_, err = m.cart.Ship(t.Context(), may(), "c", &proto.OrderShip{OrderId: o.Id, Carrier: "SF", Waybill: "SF3"})
	m.refused(err, ErrOrderState)
	page, err := m.cart.Orders(t.Context(), "ann", &proto.OrderList{})
	m.must(err)
	m.expect("a page shows all of it", proto.Equal(page.Orders[0], got), true)

	_, err = m.cart.Receive(t.Context(), "bob", "r", o.Id)
	m.refused(err, ErrOrderNotFound)
	done, err := m.cart.Receive(t.Context(), "ann", "r", o.Id)
	m.must(err)
	m.expect("completed", done.State, proto.OrderState_ORDER_STATE_COMPLETED)
	again, err := m.cart.Receive(t.Context(), "ann", "r2", o.Id)
	m.must(err)
	m.expect("received again", proto.Equal(again, done), true)
	m.refund("back", refundOf(o.Id, true, 2, 1))
	m.expect("a return leaves it completed", m.state(o.Id), completed)
	_, err = m.cart.Receive(t.Context(), "ann", "r", m.paid("k2", "tea-s", 1).Id)
	m.refused(err, ErrKeyConflict)
}

func TestShipWhatIsNotRefunded(t *testing.T) {
	m := newMarket(t)
	o := m.paid("k", "tea-s", 3)
	m.ship("a", &proto.OrderShip{OrderId: o.Id, Pieces: pieces(1, 1)})
	m.refund("r", refundOf(o.Id, true, 1, 1))
	_, err := m.cart.Ship(t.Context(), may(), "b", &proto.OrderShip{OrderId: o.Id, Carrier: "SF", Waybill: "x", Pieces: pieces(1, 2)})
	m.refused(err, ErrInvalidQuantity)
	m.expect("the refund takes what has not shipped", m.state(o.Id), paid)
	m.refund("rest", refundOf(o.Id, true, 1, 1))
	m.expect("nothing is left to ship", m.state(o.Id), shipped)
	m.refund("returned", refundOf(o.Id, false))
	m.expect("all refunded", m.state(o.Id), refundDue)
	m.expect("stock", m.counts("k-tea-s"), [2]int64{1, 0})

	whole := m.paid("w", "tea-l", 2)
	m.ship("w", &proto.OrderShip{OrderId: whole.Id, Pieces: pieces(1, 1)})
	m.refund("w", refundOf(whole.Id, false))
	m.expect("refunded before all was shipped", m.state(whole.Id), refundDue)
}

func TestShipRefusals(t *testing.T) {
	m := newMarket(t)
	o := m.paid("k", "tea-s", 2)
	unpaid := m.order("u", "pot", 1)
	homeless := m.settle(m.order("h", "pot", 1))
	cmd := func(orderID string, pairs ...int32) *proto.OrderShip {
		return &proto.OrderShip{OrderId: orderID, Carrier: "SF", Waybill: "1", Pieces: pieces(pairs...)}
	}
	for _, row := range []struct {
		name string
		by   Seller
		cmd  *proto.OrderShip
		want error
	}{
		{"no carrier", may(), &proto.OrderShip{OrderId: o.Id, Waybill: "1"}, ErrInvalid},
		{"no waybill", may(), &proto.OrderShip{OrderId: o.Id, Carrier: "SF"}, ErrInvalid},
		{"a long waybill", may(), &proto.OrderShip{OrderId: o.Id, Carrier: "SF", Waybill: strings.Repeat("é", 81)}, ErrInvalid},
		{"another shop's", Seller{User: may().User, ShopID: "other"}, cmd(o.Id), ErrOrderNotFound},
		{"no such order", may(), cmd("ord_x"), ErrOrderNotFound},
		{"unpaid", may(), cmd(unpaid.Id), ErrOrderState},
		{"no address", may(), cmd(homeless.Id), ErrAddressRequired},
		{"more than there is", may(), cmd(o.Id, 1, 3), ErrInvalidQuantity},
		{"no pieces", may(), cmd(o.Id, 1, 0), ErrInvalidQuantity},
		{"negative pieces", may(), cmd(o.Id, 1, math.MinInt32), ErrInvalidQuantity},
		{"overflowing pieces", may(), cmd(o.Id, 1, math.MaxInt32), ErrInvalidQuantity},
		{"no such line", may(), cmd(o.Id, 2, 1), ErrInvalid},
		{"a line below the first", may(), cmd(o.Id, -1, 1), ErrInvalid},
		{"a line twice", may(), cmd(o.Id, 1, 1, 1, 1), ErrInvalid},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := m.cart.Ship(t.Context(), row.by, "s", row.cmd)
			m.refused(err, row.want)
		})
	}
	m.expect("shipments", scan[int](m, `SELECT count(*) FROM shipment`), 0)
	m.expect("keys", scan[int](m, `SELECT count(*) FROM request_key WHERE kind = 'order_ship'`), 0)
	m.ship("s", &proto.OrderShip{OrderId: o.Id, Carrier: "SF", Waybill: strings.Repeat("é", 80), Pieces: pieces(1, 1)})
	_, err := m.cart.Ship(t.Context(), may(), "s", cmd(o.Id))
	m.refused(err, ErrKeyConflict)
}

func TestWaybillsOfOneOrderAreBounded(t *testing.T) {
	m := newMarket(t)
	m.put(tea(), map[string]int64{"k-tea-s": 60})
	o := m.paid("k", "tea-s", MaxShipments+3)
	for i := range MaxShipments {
		m.ship(fmt.Sprint("s", i), &proto.OrderShip{OrderId: o.Id, Pieces: pieces(1, 1)})
	}
	_, err := m.cart.Ship(t.Context(), may(), "more", &proto.OrderShip{OrderId: o.Id, Carrier: "SF", Waybill: "1", Pieces: pieces(1, 1)})
	m.refused(err, ErrInvalid)
	m.expect("the rest", m.ship("rest", &proto.OrderShip{OrderId: o.Id}).State, proto.OrderState_ORDER_STATE_SHIPPED)
}

// Two hosts who ship the same pieces at once send them once.
func TestShipAtOnce(t *testing.T) {
	m := newMarket(t)
	o := m.paid("k", "tea-s", 3)
	results := make(chan error, 6)
	for i := range 6 {
		go func() { // ends with its answer, which is waited for
			_, err := m.cart.Ship(t.Context(), may(), fmt.Sprint("s", i), &proto.OrderShip{OrderId: o.Id, Carrier: "SF", Waybill: "1", Pieces: pieces(1, 1)})
			results <- err
		}()
	}
	done := 0
	for range 6 {
		if err := <-results; err == nil {
			done++
		} else {
			m.refused(err, ErrOrderState)
		}
	}
	m.expect("shipments", done, 3)
	m.expect("state", m.state(o.Id), shipped)
}

func TestShippedOrdersComplete(t *testing.T) {
	m := newMarket(t)
	old, fresh := m.paid("o", "tea-s", 1), m.paid("f", "tea-s", 1)
	m.ship("o", &proto.OrderShip{OrderId: old.Id})
	m.ship("f", &proto.OrderShip{OrderId: fresh.Id})
	m.exec(`UPDATE orders SET shipped_at = shipped_at - interval '10 days' WHERE id = $1`, old.Id)
	m.exec(`UPDATE orders SET shipped_at = shipped_at - interval '9 days 23 hours' WHERE id = $1`, fresh.Id)
	private := m.listen()
	m.must(m.sweeper.completeOrders(t.Context()))
	m.expect("after ten days", m.state(old.Id), completed)
	m.expect("before", m.state(fresh.Id), shipped)
	m.expect("told", private(1)[0].Event.GetOrderUpdated().Order.State, proto.OrderState_ORDER_STATE_COMPLETED)
	m.must(m.sweeper.completeOrders(t.Context()))
	m.expect("once", scan[int](m, `SELECT count(*) FROM order_event WHERE order_id = $1 AND to_state = 'completed'`, old.Id), 1)
}
