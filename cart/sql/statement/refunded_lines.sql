-- refunded_lines: the refunds of the room's orders, added up over the lines they are for.
-- $1 text  room
SELECT o.shop_id, r.currency, sum(l.amount)::bigint
FROM orders o JOIN refund r ON r.order_id = o.id AND r.kind = 'order' JOIN refund_line l ON l.refund_id = r.id
WHERE o.room_id = $1 GROUP BY o.shop_id, r.currency
