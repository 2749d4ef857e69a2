package cart

import (
	"testing"

	"livecart/proto"
)

func TestAfterSaleInvariantsTurnRed(t *testing.T) {
	m := newMarket(t)
	m.partner()
	m.put(tea(), map[string]int64{"k-tea-s": 100, "k-tea-l": 100})

	// a is paid, shipped and refunded in part; b shipped; c refunded; d repriced; e and f split.
	a := m.paid("a", "tea-s", 4, "tea-l", 1)
	m.ship("a", &proto.OrderShip{OrderId: a.Id, Pieces: pieces(1, 2)})
	m.refund("a1", refundOf(a.Id, true, 1, 1))
	m.refund("a2", refundOf(a.Id, false, 2, 1))
	b := m.paid("b", "tea-s", 2)
	m.ship("b", &proto.OrderShip{OrderId: b.Id})
	c := m.paid("c", "tea-l", 2)
	m.finish(m.refund("c", refundOf(c.Id, false)).Refunds[0].Id)
	c2 := m.paid("c2", "tea-l", 2)
	m.refund("c2", refundOf(c2.Id, true))
	d := m.order("d", "tea-s", 3)
	for i, amount := range []int64{2900, 2500} {
		var err error
		d, err = m.cart.Reprice(t.Context(), may(), string(rune('p'+i)), &proto.OrderReprice{OrderId: d.Id, Amount: amount, ExpectedVersion: d.Version})
		m.must(err)
	}
	split, err := m.cart.CreateOrders(t.Context(), "demo", buyer("ann"), "e", items("tea-s", 1, "bag", 1))
	m.must(err)
	e, f := split[0], split[1]
	of := func(o *proto.Order) string { return ` = '` + o.Id + `'` }
	m.turnRed([]breakage{
		{"order_reprices", []string{`UPDATE orders SET price_version = price_version + 1 WHERE id` + of(d)}},
		{"order_reprices", []string{`UPDATE orders SET discount = discount + 1 WHERE id` + of(d)}},
		{"order_reprices", []string{`UPDATE orders SET amount = amount - 1, discount = discount + 1 WHERE id` + of(d)}},
		{"order_reprices", []string{`UPDATE orders SET amount = 900, discount = 100 WHERE id` + of(e)}},
		{"order_reprices", []string{`DELETE FROM order_reprice WHERE n = 1`}},
		{"order_reprices", []string{`UPDATE order_reprice SET n = 3 WHERE n = 2`}},
		{"order_reprices", []string{`UPDATE order_reprice SET to_amount = to_amount + 1 WHERE n = 1`}},
		{"order_amount", []string{`UPDATE orders SET discount = discount - 1 WHERE id` + of(d)}},

		{"order_shipped_pieces", []string{`UPDATE order_line SET shipped = 1 WHERE n = 1 AND order_id` + of(a)}},
		{"order_shipped_pieces", []string{`UPDATE shipment_line SET quantity = quantity + 1`}},
		{"order_shipped_pieces", []string{`UPDATE shipment_line SET n = 9`}},
		{"order_shipped_pieces", []string{`INSERT INTO shipment (id, order_id, carrier, waybill, by_id) VALUES ('empty', '` + a.Id + `', 'x', 'x', 'x')`}},
		{"order_shipped_pieces", []string{`ALTER TABLE order_line DROP CONSTRAINT order_line_check`,
			`UPDATE order_line SET shipped = 9 WHERE n = 1 AND order_id` + of(a), `UPDATE shipment_line SET quantity = 9 WHERE shipment_id = '` + m.read(a.Id).Shipments[0].Id + `'`}},
		{"order_shipped_whole", []string{`UPDATE orders SET state = 'shipped' WHERE id` + of(a)}},
		{"order_shipped_whole", []string{`UPDATE orders SET state = 'paid' WHERE id` + of(b)}},
		{"order_shipped_whole", []string{`UPDATE orders SET shipped_at = NULL WHERE id` + of(b)}},
		{"order_shipped_whole", []string{`UPDATE orders SET ship_to = NULL WHERE id` + of(a)}},
		{"order_shipped_whole", []string{`UPDATE orders SET state = 'cancelled' WHERE id` + of(b)}},

		{"order_refunded_pieces", []string{`UPDATE order_line SET refunded = 0 WHERE n = 1 AND order_id` + of(a)}},
		{"order_refunded_pieces", []string{`UPDATE refund_line SET quantity = quantity + 1`}},
		{"order_refunded_pieces", []string{`UPDATE refund_line SET n = 9`}},
		{"refund_lines", []string{`UPDATE refund_line SET amount = amount + 1 WHERE n = 2`}},
		{"refund_lines", []string{`DELETE FROM refund_line WHERE refund_id = '` + m.read(c.Id).Refunds[0].Id + `'`}},
		{"refund_lines", []string{`UPDATE refund SET kind = 'payment', event_id = 'e' WHERE order_id` + of(c)}},
		{"refund_within_paid", []string{`UPDATE refund SET amount = amount + 1 WHERE order_id` + of(a)}},
		{"refund_within_paid", []string{`UPDATE refund SET amount = amount - 1 WHERE order_id` + of(c)}},
		{"refund_within_paid", []string{`UPDATE payment SET state = 'void' WHERE order_id` + of(a)}},
		{"refund_within_paid", []string{`UPDATE payment SET amount = 1 WHERE order_id` + of(c)}},
		{"refund_within_paid", []string{`UPDATE refund SET payment_id = (SELECT id FROM payment WHERE order_id` + of(b) + `) WHERE order_id` + of(a)}},
		{"refund_within_paid", []string{`UPDATE refund SET currency = 'USD' WHERE order_id` + of(a)}},
		{"order_refund_state", []string{`UPDATE orders SET state = 'completed' WHERE id` + of(c)}},
		{"order_refund_state", []string{`UPDATE orders SET state = 'refunded' WHERE id` + of(a)}},
		{"order_refund_state", []string{`UPDATE orders SET state = 'refund_due' WHERE id` + of(c)}},
		{"order_refund_state", []string{`UPDATE orders SET state = 'refunded' WHERE id` + of(c2)}},
		{"order_holds_stock", []string{`UPDATE refund SET restock = NOT restock WHERE order_id` + of(c)}},
		{"order_holds_stock", []string{`UPDATE order_line SET restocked = 0 WHERE order_id` + of(c2)}},
		{"order_holds_stock", []string{`UPDATE order_line SET restocked = 2 WHERE order_id` + of(c)}},
		{"sku_sold", []string{`UPDATE order_line SET restocked = 2 WHERE order_id` + of(c)}},

		{"order_split", []string{`UPDATE orders SET shop_id = 'shop' WHERE id` + of(f)}},
		{"order_split", []string{`UPDATE orders SET request_id = 'x' WHERE id` + of(f)}},
		{"order_split", []string{`UPDATE orders SET buyer_id = 'bob' WHERE id` + of(f)}},
		{"order_split", []string{`UPDATE orders SET split_from` + of(f) + ` WHERE id` + of(d)}},
		{"order_has_attempt", []string{`UPDATE orders SET split_from = NULL WHERE id` + of(f)}},
		{"order_has_attempt", []string{`UPDATE orders SET split_from` + of(a) + ` WHERE id` + of(e)}},
	})
}
