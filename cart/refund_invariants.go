package cart

import "livecart/session/store"

// refundInvariants are those of money that goes back.
var refundInvariants = []store.Invariant{{
	Name: "order_refunded_pieces",
	Doc:  "What a line counts as refunded is the pieces in its refunds, of lines that exist.",
	SQL: `SELECT r.order_id, rl.refund_id, rl.n, NULL::bigint AS refunded, NULL::bigint AS in_refunds
		FROM refund r JOIN refund_line rl ON rl.refund_id = r.id LEFT JOIN order_line l ON l.order_id = r.order_id AND l.n = rl.n
		WHERE l.n IS NULL
		UNION ALL
		SELECT l.order_id, NULL, l.n, l.refunded, r.pieces
		FROM order_line l CROSS JOIN LATERAL (
			SELECT coalesce(sum(rl.quantity), 0) AS pieces FROM refund r JOIN refund_line rl ON rl.refund_id = r.id
			WHERE r.order_id = l.order_id AND rl.n = l.n
		) r
		WHERE l.refunded <> r.pieces`,
}, {
	Name: "refund_lines",
	Doc:  "A refund of an order is the sum of its lines and has some; money that paid nothing goes back without lines.",
	SQL: `SELECT r.id AS refund_id, r.kind, r.amount, count(l.n) AS lines, sum(l.amount) AS in_lines
		FROM refund r LEFT JOIN refund_line l ON l.refund_id = r.id
		GROUP BY r.id
		HAVING CASE WHEN r.kind = 'order' THEN r.amount IS DISTINCT FROM sum(l.amount) ELSE count(l.n) > 0 END`,
}, {
	Name: "refund_within_paid",
	Doc:  "The refunds of an order are never more than its accepted payment, of which they are, and exactly its amount's share that the refunded pieces are worth: all of it once every piece is refunded.",
	SQL: `SELECT o.id AS order_id, o.amount, p.amount AS paid, r.given, l.gross, l.total
		FROM orders o
		JOIN LATERAL (
			SELECT sum(amount) AS given, count(DISTINCT payment_id) AS payments, min(payment_id) AS payment_id, min(currency) AS least, max(currency) AS most
			FROM refund WHERE order_id = o.id AND kind = 'order' HAVING count(*) > 0
		) r ON true
		CROSS JOIN LATERAL (
			SELECT sum(quantity::numeric * unit_price) AS total, sum(refunded::numeric * unit_price) AS gross FROM order_line WHERE order_id = o.id
		) l
		LEFT JOIN payment p ON p.order_id = o.id AND p.state = 'accepted'
		WHERE p.id IS NULL OR r.payments <> 1 OR r.payment_id <> p.id OR r.least <> o.currency OR r.most <> o.currency
		   OR r.given > p.amount OR r.given <> div(o.amount * l.gross, nullif(l.total, 0))`,
}, {
	Name: "order_refund_state",
	Doc:  "A paid, shipped or completed order has a piece that is not refunded. One that was paid and is refund_due or refunded has none; it is refunded exactly when no refund of it is due.",
	SQL: `SELECT o.id AS order_id, o.state, l.kept, r.due
		FROM orders o
		CROSS JOIN LATERAL (SELECT sum(quantity - refunded) AS kept FROM order_line WHERE order_id = o.id) l
		CROSS JOIN LATERAL (SELECT count(*) AS due FROM refund WHERE order_id = o.id AND kind = 'order' AND state = 'due') r
		WHERE o.state IN ('paid', 'shipped', 'completed') AND l.kept = 0
		   OR o.state = 'refunded' AND r.due > 0
		   OR o.state IN ('refund_due', 'refunded') AND EXISTS (SELECT FROM payment WHERE order_id = o.id AND state = 'accepted')
		      AND (l.kept > 0 OR o.state = 'refund_due' AND r.due = 0)`,
}}
