-- host_share: what the host keeps of the room's tips: the host's legs less those of reversals.
-- $1 text  room
SELECT t.host_id, 'beans', sum(t.host_beans - coalesce(r.host_beans, 0))::bigint
FROM tip t LEFT JOIN tip_reversal r ON r.tip_id = t.id WHERE t.room_id = $1 GROUP BY t.host_id
