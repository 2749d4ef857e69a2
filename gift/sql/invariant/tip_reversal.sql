-- A reversal that is not the opposite of its tip, or came before it, or is a second one.
SELECT r.id, r.tip_id, r.beans, t.beans AS tip_beans
FROM tip_reversal r LEFT JOIN tip t ON t.id = r.tip_id
WHERE (r.room_id, r.host_id, r.sender_id, r.beans, r.host_beans, r.fee_beans)
      IS DISTINCT FROM (t.room_id, t.host_id, t.sender_id, t.beans, t.host_beans, t.fee_beans)
   OR r.version <= t.version OR r.at < t.at
UNION ALL
SELECT min(id), tip_id, sum(beans), min(beans) FROM tip_reversal GROUP BY tip_id HAVING count(*) > 1
