-- tip_host_beans: the host's legs of the room's tips.
-- $1 text  room
SELECT host_id, 'beans', sum(host_beans)::bigint FROM tip WHERE room_id = $1 GROUP BY host_id
