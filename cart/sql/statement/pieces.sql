-- pieces: how many pieces the orders of the room are for.
-- $1 text  room
SELECT o.shop_id, 'pieces', coalesce(sum(l.quantity), 0)::bigint
FROM orders o LEFT JOIN order_line l ON l.order_id = o.id WHERE o.room_id = $1 GROUP BY o.shop_id
