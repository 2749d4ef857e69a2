package cart

import (
	"slices"

	"livecart/session/store"
)

// Invariants are what always holds of stock, orders, payments and sales.
var Invariants = slices.Concat(orderInvariants, sellerInvariants, refundInvariants, paymentInvariants, saleInvariants)

var orderInvariants = []store.Invariant{{
	Name: "order_rows_have_order",
	Doc:  "Every line and event is of an order that exists, and every order of a shop and, where it names one, a sale that exist.",
	SQL: `SELECT 'order_line' AS of, l.order_id AS id FROM order_line l WHERE NOT EXISTS (SELECT FROM orders WHERE id = l.order_id)
		UNION ALL SELECT 'order_event', e.order_id FROM order_event e WHERE NOT EXISTS (SELECT FROM orders WHERE id = e.order_id)
		UNION ALL SELECT 'shop', o.id FROM orders o WHERE NOT EXISTS (SELECT FROM shop WHERE id = o.shop_id)
		UNION ALL SELECT 'sale', o.id FROM orders o WHERE o.sale_id IS NOT NULL AND NOT EXISTS (SELECT FROM sale WHERE id = o.sale_id)`,
}, {
	Name: "sku_stock",
	Doc:  "Pieces sold, the quantity of open sales and the sold pieces of closed ones are never more than a sku's stock.",
	SQL: `SELECT k.id AS sku_id, k.stock, k.sold, coalesce(s.pieces, 0) AS in_sales
		FROM sku k LEFT JOIN (
			SELECT sku_id, sum(CASE WHEN closed_at IS NULL THEN quantity ELSE sold END) AS pieces FROM sale GROUP BY sku_id
		) s ON s.sku_id = k.id
		WHERE k.sold + coalesce(s.pieces, 0) > k.stock`,
}, {
	Name: "sale_stock",
	Doc:  "A sale has sold from 0 pieces to its quantity.",
	SQL:  `SELECT id AS sale_id, sold, quantity FROM sale WHERE sold < 0 OR sold > quantity`,
}, {
	Name: "sku_moved",
	Doc:  "What a sku counts as moved is the quantity of its open sales and the sold pieces of its closed ones.",
	SQL: `SELECT k.id AS sku_id, k.moved, coalesce(s.pieces, 0) AS in_sales
		FROM sku k LEFT JOIN (
			SELECT sku_id, sum(CASE WHEN closed_at IS NULL THEN quantity ELSE sold END) AS pieces FROM sale GROUP BY sku_id
		) s ON s.sku_id = k.id
		WHERE k.moved <> coalesce(s.pieces, 0)`,
}, {
	Name: "sku_sold",
	Doc:  "What a sku counts as sold is what ordinary orders hold of it.",
	SQL: `SELECT k.id AS sku_id, k.sold, coalesce(h.pieces, 0) AS held
		FROM sku k LEFT JOIN (
			SELECT l.sku_id, sum(l.quantity - l.restocked) AS pieces
			FROM order_line l JOIN orders o ON o.id = l.order_id WHERE o.sale_id IS NULL GROUP BY l.sku_id
		) h ON h.sku_id = k.id
		WHERE k.sold <> coalesce(h.pieces, 0)`,
}, {
	Name: "order_holds_stock",
	Doc:  "An order that awaits payment holds all pieces; a paid one all but those that a refund took back, also once it is refunded; expired and cancelled ones hold none, nor do those whose money came too late.",
	SQL: `SELECT o.id AS order_id, o.state, l.n, l.quantity, l.restocked, b.pieces AS taken_back
		FROM orders o JOIN order_line l ON l.order_id = o.id CROSS JOIN LATERAL (
			SELECT coalesce(sum(rl.quantity), 0) AS pieces FROM refund r JOIN refund_line rl ON rl.refund_id = r.id
			WHERE r.order_id = o.id AND rl.n = l.n AND r.restock
		) b
		WHERE l.restocked <> CASE
			WHEN o.state = 'awaiting_payment' THEN 0
			WHEN o.state IN ('expired', 'cancelled') THEN l.quantity
			WHEN EXISTS (SELECT FROM payment WHERE order_id = o.id AND state = 'accepted') THEN b.pieces
			ELSE l.quantity END`,
}, {
	Name: "order_amount",
	Doc:  "An order's amount is the sum of its lines less its discount, and it has lines.",
	SQL: `SELECT o.id AS order_id, o.amount, o.discount, sum(l.quantity * l.unit_price) AS lines
		FROM orders o LEFT JOIN order_line l ON l.order_id = o.id
		GROUP BY o.id HAVING o.amount + o.discount IS DISTINCT FROM sum(l.quantity * l.unit_price)`,
}, {
	Name: "order_paid_once",
	Doc:  "A paid, shipped or completed order has exactly one accepted payment, of its amount; an unpaid one has none.",
	SQL: `SELECT o.id AS order_id, o.state, count(p.id) AS accepted
		FROM orders o LEFT JOIN payment p ON p.order_id = o.id AND p.state = 'accepted'
		WHERE o.state IN ('paid', 'shipped', 'completed', 'awaiting_payment', 'expired', 'cancelled')
		GROUP BY o.id
		HAVING count(p.id) <> CASE WHEN o.state IN ('paid', 'shipped', 'completed') THEN 1 ELSE 0 END
		    OR bool_or(p.amount <> o.amount OR p.currency <> o.currency)`,
}, {
	Name: "payment_has_notice",
	Doc:  "An accepted payment has exactly one accepted notice, of the same amount and currency.",
	SQL: `SELECT p.id AS payment_id, p.amount, count(n.event_id) AS notices
		FROM payment p LEFT JOIN payment_notice n ON n.payment_id = p.id AND n.provider = p.provider
			AND n.result = 'accepted' AND n.amount = p.amount AND n.currency = p.currency
		WHERE p.state = 'accepted' GROUP BY p.id HAVING count(n.event_id) <> 1`,
}, {
	Name: "order_event_gapless",
	Doc:  "An order's events are numbered from 1 without gaps, and each begins where the one before ended.",
	SQL: `SELECT order_id, n, from_state, before FROM (
			SELECT order_id, n, from_state, row_number() OVER w AS nth, lag(to_state, 1, '') OVER w AS before
			FROM order_event WINDOW w AS (PARTITION BY order_id ORDER BY n)
		) e WHERE n <> nth OR from_state <> before`,
}, {
	Name: "order_event_ends_at_state",
	Doc:  "An order is in the state that its last event leads to.",
	SQL: `SELECT o.id AS order_id, o.state, e.to_state
		FROM orders o LEFT JOIN LATERAL (SELECT to_state FROM order_event WHERE order_id = o.id ORDER BY n DESC LIMIT 1) e ON true
		WHERE o.state IS DISTINCT FROM e.to_state`,
}, {
	Name: "order_has_attempt",
	Doc:  "An attempt is recorded as ordered if and only if its order exists, and no order has two. An order that was split from another has none of its own.",
	SQL: `SELECT coalesce(o.id, a.order_id) AS order_id, max(a.buyer_id) AS buyer_id, max(a.key) AS key, count(a.key) AS attempts
		FROM (SELECT * FROM orders WHERE split_from IS NULL) o
		FULL JOIN (SELECT * FROM attempt WHERE outcome = 'ordered' OR order_id IS NOT NULL) a
			ON a.order_id = o.id AND a.outcome = 'ordered' AND a.buyer_id = o.buyer_id AND a.key = o.request_id
		GROUP BY coalesce(o.id, a.order_id)
		HAVING count(*) <> 1 OR count(o.id) <> 1 OR count(a.key) <> 1`,
}, {
	Name: "order_split",
	Doc:  "Orders that were split from another are ordinary ones of its buyer and request_id, and no two of those are of one shop.",
	SQL: `SELECT o.id AS order_id, o.split_from, o.shop_id
		FROM orders o JOIN orders f ON f.id = o.split_from
		WHERE f.split_from IS NOT NULL OR o.sale_id IS NOT NULL OR f.sale_id IS NOT NULL
		   OR (o.buyer_id, o.request_id, o.room_id) <> (f.buyer_id, f.request_id, f.room_id)
		   OR EXISTS (SELECT FROM orders x WHERE x.id <> o.id AND x.shop_id = o.shop_id AND (x.id = f.id OR x.split_from = f.id))`,
}}
