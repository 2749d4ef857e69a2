-- tips_reversed: how many tips of the room were reversed.
-- $1 text  room
SELECT host_id, 'tips', count(*) FROM tip_reversal WHERE room_id = $1 GROUP BY host_id
