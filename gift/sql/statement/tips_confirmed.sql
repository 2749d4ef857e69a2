-- tips_confirmed: how many requests were answered with a tip of the room.
-- $1 text  room
SELECT t.host_id, 'tips', count(*)
FROM tip t JOIN tip_attempt a ON a.tip_id = t.id AND a.sender_id = t.sender_id WHERE t.room_id = $1 GROUP BY t.host_id
