-- paid_sales: the accepted payments of the room's orders. Refunds do not lessen it.
-- $1 text  room
SELECT o.shop_id, p.currency, sum(p.amount)::bigint
FROM orders o JOIN payment p ON p.order_id = o.id AND p.state = 'accepted' WHERE o.room_id = $1 GROUP BY o.shop_id, p.currency
