-- orders: how many orders the shop got in the room, whatever became of them.
-- $1 text  room
SELECT shop_id, 'orders', count(*) FROM orders WHERE room_id = $1 GROUP BY shop_id
