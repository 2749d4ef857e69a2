-- The sums behind rankings against the tips themselves, less the reversed ones.
SELECT room_id, sender_id, s.beans, s.tips, t.beans AS tip_beans, t.tips AS tip_count
FROM room_sender s
FULL JOIN (
    SELECT room_id, sender_id, sum(beans) AS beans, count(*) AS tips FROM tip
    WHERE NOT EXISTS (SELECT FROM tip_reversal r WHERE r.tip_id = tip.id)
    GROUP BY room_id, sender_id
) t USING (room_id, sender_id)
WHERE s.beans IS DISTINCT FROM t.beans OR s.tips IS DISTINCT FROM t.tips
