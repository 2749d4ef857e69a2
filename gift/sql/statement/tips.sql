-- tips: how many tips the host got in the room, reversed ones included.
-- $1 text  room
SELECT host_id, 'tips', count(*) FROM tip WHERE room_id = $1 GROUP BY host_id
