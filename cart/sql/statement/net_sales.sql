-- net_sales: what was paid less what was refunded, order by order.
-- $1 text  room
SELECT o.shop_id, o.currency, coalesce(sum(p.amount - coalesce(r.amount, 0)), 0)::bigint
FROM orders o JOIN payment p ON p.order_id = o.id AND p.state = 'accepted'
LEFT JOIN (SELECT order_id, sum(amount) AS amount FROM refund WHERE kind = 'order' GROUP BY order_id) r ON r.order_id = o.id
WHERE o.room_id = $1 GROUP BY o.shop_id, o.currency
