-- Buyers of a sale whose orders moved, or gave pieces back, since a moment, and some others, with the pieces that they hold
-- now. Orders that were only made since then do not count: their pieces were counted when they were reserved.
-- $1 text         sale id
-- $2 timestamptz  the moment, read under the lock of the sale that every return of stock takes
-- $3 text[]       the others
-- $4 bool         whether Redis lost reservations of this sale: then also those who only ordered since the moment
WITH moved AS (
    SELECT DISTINCT o.buyer_id FROM order_event e JOIN orders o ON o.id = e.order_id
    WHERE e.at >= $2 AND e.n > 1 AND o.sale_id = $1
    UNION
    SELECT o.buyer_id FROM refund r JOIN orders o ON o.id = r.order_id
    WHERE r.restock AND r.created_at >= $2 AND o.sale_id = $1
    UNION
    SELECT unnest($3::text[])
    UNION
    SELECT buyer_id FROM orders WHERE $4 AND sale_id = $1 AND created_at >= $2
)
SELECT m.buyer_id, coalesce(sum(l.quantity - l.restocked), 0)::bigint
FROM moved m LEFT JOIN orders o ON o.sale_id = $1 AND o.buyer_id = m.buyer_id LEFT JOIN order_line l ON l.order_id = o.id
GROUP BY m.buyer_id
