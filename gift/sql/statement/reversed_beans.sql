-- reversed_beans: the beans that senders of the room had back.
-- $1 text  room
SELECT host_id, 'beans', sum(beans)::bigint FROM tip_reversal WHERE room_id = $1 GROUP BY host_id
