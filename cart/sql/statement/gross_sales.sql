-- gross_sales: what all orders of the room are worth at the prices of their lines, paid or not, before
-- any discount.
-- $1 text  room
SELECT o.shop_id, o.currency, coalesce(sum(l.quantity * l.unit_price), 0)::bigint
FROM orders o LEFT JOIN order_line l ON l.order_id = o.id WHERE o.room_id = $1 GROUP BY o.shop_id, o.currency
