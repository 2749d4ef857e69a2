-- The tips that were booked under keys, with room, gift and count.
--
-- $1 clients, $2 kinds of commands, $3 keys: one each
SELECT k.client, k.kind, k.key, t.id, t.room_id, t.gift_id, t.count
FROM unnest($1::text[], $2::text[], $3::text[]) AS k (client, kind, key)
JOIN tip_attempt a ON a.sender_id = k.client AND a.key = k.key
JOIN tip t ON t.id = a.tip_id AND t.sender_id = k.client
WHERE k.kind = 'gift_send'
ORDER BY t.id
