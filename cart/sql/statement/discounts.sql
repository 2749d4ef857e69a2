-- discounts: what repricing took off the orders of the room, as the orders count it.
-- $1 text  room
SELECT shop_id, currency, sum(discount)::bigint FROM orders WHERE room_id = $1 GROUP BY shop_id, currency
