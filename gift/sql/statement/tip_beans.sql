-- tip_beans: the beans of the room's tips, reversed ones included.
-- $1 text  room
SELECT host_id, 'beans', sum(beans)::bigint FROM tip WHERE room_id = $1 GROUP BY host_id
