-- refunds: what went back or is due to of accepted payments.
-- $1 text  room
SELECT o.shop_id, r.currency, sum(r.amount)::bigint
FROM orders o JOIN refund r ON r.order_id = o.id AND r.kind = 'order' WHERE o.room_id = $1 GROUP BY o.shop_id, r.currency
