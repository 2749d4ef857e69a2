-- stray_money: money that paid nothing and went back or is due to: late, of another amount, a second
-- time.
-- $1 text  room
SELECT o.shop_id, r.currency, sum(r.amount)::bigint
FROM orders o JOIN refund r ON r.order_id = o.id AND r.kind = 'payment' WHERE o.room_id = $1 GROUP BY o.shop_id, r.currency
