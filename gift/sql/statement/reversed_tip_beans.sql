-- reversed_tip_beans: the beans of those tips of the room that have a reversal.
-- $1 text  room
SELECT host_id, 'beans', sum(beans)::bigint FROM tip
WHERE room_id = $1 AND EXISTS (SELECT FROM tip_reversal r WHERE r.tip_id = tip.id) GROUP BY host_id
