-- unpaid_sales: the amounts of orders that no payment was accepted for: they await it, expired, were
-- cancelled, or their money came too late.
-- $1 text  room
SELECT shop_id, currency, coalesce(sum(amount) FILTER (
	WHERE NOT EXISTS (SELECT FROM payment p WHERE p.order_id = orders.id AND p.state = 'accepted')), 0)::bigint
FROM orders WHERE room_id = $1 GROUP BY shop_id, currency
