-- tip_fee_beans: the platform's legs of the room's tips.
-- $1 text  room
SELECT host_id, 'beans', sum(fee_beans)::bigint FROM tip WHERE room_id = $1 GROUP BY host_id
