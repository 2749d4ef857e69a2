package cart

import "livecart/session/store"

// sellerInvariants are those of what sellers do to orders: reprices and shipments.
var sellerInvariants = []store.Invariant{{
	Name: "order_reprices",
	Doc:  "An order was repriced once for each price version after the first, each time down from what the one before left, from the lines' sum to the amount.",
	SQL: `SELECT o.id AS order_id, o.price_version, o.amount, o.discount, r.n, r.first, r.last
		FROM orders o CROSS JOIN LATERAL (
			SELECT count(*) AS n, min(from_amount) AS first, max(from_amount) AS highest, min(to_amount) AS last, max(x.n) AS top,
			       coalesce(bool_or(from_amount <> before), false) AS broken
			FROM (SELECT *, lag(to_amount, 1, from_amount) OVER (ORDER BY n) AS before FROM order_reprice WHERE order_id = o.id) x
		) r
		WHERE o.price_version <> r.n + 1 OR r.top <> r.n OR r.broken
		   OR o.discount <> coalesce(r.highest - r.last, 0) OR r.n > 0 AND (o.amount <> r.last OR o.amount + o.discount <> r.highest)`,
}, {
	Name: "order_shipped_pieces",
	Doc:  "What a line counts as shipped is the pieces in its shipments, of lines that exist, and never more than the line has; every shipment has pieces.",
	SQL: `SELECT s.order_id, sl.shipment_id, sl.n, NULL::bigint AS shipped, NULL::bigint AS in_shipments
		FROM shipment s LEFT JOIN shipment_line sl ON sl.shipment_id = s.id LEFT JOIN order_line l ON l.order_id = s.order_id AND l.n = sl.n
		WHERE l.n IS NULL
		UNION ALL
		SELECT l.order_id, NULL, l.n, l.shipped, s.pieces
		FROM order_line l CROSS JOIN LATERAL (
			SELECT coalesce(sum(sl.quantity), 0) AS pieces FROM shipment s JOIN shipment_line sl ON sl.shipment_id = s.id
			WHERE s.order_id = l.order_id AND sl.n = l.n
		) s
		WHERE l.shipped <> s.pieces OR l.shipped > l.quantity`,
}, {
	Name: "order_shipped_whole",
	Doc:  "Of a shipped or completed order every piece is on its way that is not refunded, since a known time and to a known address; a paid one has a piece to ship; an unpaid one shipped none.",
	SQL: `SELECT o.id AS order_id, o.state, o.shipped_at, l.shipped, l.to_ship
		FROM orders o CROSS JOIN LATERAL (
			SELECT sum(shipped) AS shipped, sum(greatest(quantity - refunded - shipped, 0)) AS to_ship FROM order_line WHERE order_id = o.id
		) l
		WHERE o.state IN ('shipped', 'completed') AND (l.to_ship > 0 OR l.shipped = 0 OR o.shipped_at IS NULL)
		   OR o.state = 'paid' AND l.to_ship = 0
		   OR o.state IN ('awaiting_payment', 'expired', 'cancelled') AND l.shipped > 0
		   OR l.shipped > 0 AND o.ship_to IS NULL`,
}}
