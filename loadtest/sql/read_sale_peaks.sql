-- Of each sale: the most pieces that its orders held at a time, and the pieces of attempts that held
-- stock for a while and came to nothing.
--
-- An order holds its pieces from its making; expiry and cancellation give all of them back, late money
-- takes them again, and a refund with restock gives back its own.
--
-- $1 sales
SELECT s.id, s.quantity, s.widest_limit, coalesce(p.peak, 0)::bigint, coalesce(n.pieces, 0)::bigint
FROM sale s
LEFT JOIN LATERAL (
	SELECT max(held) AS peak FROM (
		SELECT sum(pieces) OVER (ORDER BY at, pieces DESC) AS held FROM (
			SELECT e.at, CASE WHEN e.to_state IN ('expired', 'cancelled') THEN -o.pieces ELSE o.pieces END AS pieces
			FROM (
				SELECT o.id, sum(l.quantity) AS pieces FROM orders o JOIN order_line l ON l.order_id = o.id WHERE o.sale_id = s.id GROUP BY o.id
			) o JOIN order_event e ON e.order_id = o.id
			WHERE e.n = 1 OR e.to_state IN ('expired', 'cancelled') OR e.from_state = 'expired' AND e.to_state = 'paid'
			UNION ALL
			SELECT r.created_at, -sum(l.quantity)
			FROM orders o JOIN refund r ON r.order_id = o.id AND r.restock JOIN refund_line l ON l.refund_id = r.id
			WHERE o.sale_id = s.id GROUP BY r.id, r.created_at
		) moves
	) held
) p ON true
LEFT JOIN LATERAL (
	SELECT sum(a.quantity) AS pieces FROM attempt a
	WHERE a.sale_id = s.id AND a.kind = 'flash_buy' AND a.outcome IN ('void', 'rejected', 'limit_per_buyer')
) n ON true
WHERE s.id = ANY ($1)
ORDER BY s.id
