-- net_sales: what was paid less what was refunded, order by order.
-- $1 text  room
SELECT o.shop_id, o.currency, coalesce(sum(p.amount - coalesce(r.amount, 0)), 0)::bigint
FROM orders o JOIN payment p ON p.order_id = o.id AND p.state = 'accepted'
LEFT JOIN LATERAL (SELECT sum(amount) AS amount FROM refund WHERE order_id = o.id AND kind = 'order') r ON true
WHERE o.room_id = $1 GROUP BY o.shop_id, o.currency
