package cart

import "livecart/session/store"

// saleInvariants are those of flash sales; what concerns stock is with the orders'.
var saleInvariants = []store.Invariant{{
	Name: "sale_sold_counts_orders",
	Doc:  "What a sale has sold is the pieces that its orders hold.",
	SQL: `SELECT s.id AS sale_id, s.sold, s.quantity, h.n AS in_orders
		FROM sale s CROSS JOIN LATERAL (
			SELECT coalesce(sum(l.quantity - l.restocked), 0) AS n
			FROM orders o JOIN order_line l ON l.order_id = o.id WHERE o.sale_id = s.id
		) h
		WHERE s.sold <> h.n`,
}, {
	Name: "sale_ordered_has_order",
	Doc:  "An attempt of a sale is ordered exactly when there is its order: of its buyer, sale and key, with its pieces.",
	SQL: `SELECT a.buyer_id, a.key, a.outcome, o.id AS order_id
		FROM (SELECT * FROM attempt WHERE kind = 'flash_buy') a
		FULL JOIN (SELECT * FROM orders WHERE sale_id IS NOT NULL) o
			ON o.id = a.order_id AND o.buyer_id = a.buyer_id AND o.sale_id = a.sale_id AND o.request_id = a.key
		WHERE (a.outcome = 'ordered') IS DISTINCT FROM (o.id IS NOT NULL)
		   OR a.outcome = 'ordered' AND a.quantity <> (SELECT sum(quantity) FROM order_line WHERE order_id = o.id)`,
}, {
	Name: "sale_orders_in_window",
	Doc:  "No order of a sale was made before its start or after its end, by the database's clock.",
	SQL: `SELECT o.id AS order_id, o.created_at, s.starts_at, s.ends_at, s.closed_at
		FROM orders o JOIN sale s ON s.id = o.sale_id
		WHERE o.created_at < s.starts_at OR o.created_at >= s.ends_at OR o.created_at > s.closed_at`,
}, {
	Name: "sale_price_fixed",
	Doc:  "Every line of a sale's order has the sale's price.",
	SQL: `SELECT o.id AS order_id, l.unit_price, s.price
		FROM sale s JOIN orders o ON o.sale_id = s.id JOIN order_line l ON l.order_id = o.id WHERE l.unit_price <> s.price`,
}, {
	Name: "sale_limit_per_buyer",
	Doc:  "No buyer holds more pieces of a sale than its limit ever allowed.",
	SQL: `SELECT s.id AS sale_id, o.buyer_id, s.widest_limit, sum(l.quantity - l.restocked) AS held
		FROM sale s JOIN orders o ON o.sale_id = s.id JOIN order_line l ON l.order_id = o.id
		WHERE s.widest_limit > 0
		GROUP BY s.id, o.buyer_id HAVING sum(l.quantity - l.restocked) > s.widest_limit`,
}}
