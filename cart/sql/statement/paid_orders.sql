-- paid_orders: the amounts of the orders that became paid at some time, by their events.
-- $1 text  room
SELECT shop_id, currency, coalesce(sum(amount) FILTER (
	WHERE EXISTS (SELECT FROM order_event e WHERE e.order_id = orders.id AND e.to_state = 'paid')), 0)::bigint
FROM orders WHERE room_id = $1 GROUP BY shop_id, currency
