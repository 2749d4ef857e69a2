-- reprices: what the single reprices of the room's orders took off together.
-- $1 text  room
SELECT o.shop_id, o.currency, coalesce(sum(r.from_amount - r.to_amount), 0)::bigint
FROM orders o LEFT JOIN order_reprice r ON r.order_id = o.id WHERE o.room_id = $1 GROUP BY o.shop_id, o.currency
