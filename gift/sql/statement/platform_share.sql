-- platform_share: what the platform keeps of the room's tips: its legs less those of reversals.
-- $1 text  room
SELECT t.host_id, 'beans', sum(t.fee_beans - coalesce(r.fee_beans, 0))::bigint
FROM tip t LEFT JOIN tip_reversal r ON r.tip_id = t.id WHERE t.room_id = $1 GROUP BY t.host_id
