-- pieces_refunded: of how many pieces the money went back or is due to.
-- $1 text  room
SELECT o.shop_id, 'pieces', coalesce(sum(l.refunded), 0)::bigint
FROM orders o LEFT JOIN order_line l ON l.order_id = o.id WHERE o.room_id = $1 GROUP BY o.shop_id
