-- orders_<state>: how many orders of the room are in one state now.
-- $1 text  room
-- $2 text  state
SELECT shop_id, 'orders', count(*) FILTER (WHERE state = $2) FROM orders WHERE room_id = $1 GROUP BY shop_id
