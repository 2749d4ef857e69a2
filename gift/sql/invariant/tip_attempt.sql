-- A booked attempt without its tip, or a tip without exactly one attempt of its sender.
SELECT coalesce(t.id, a.tip_id) AS tip_id, t.sender_id, a.sender_id AS attempt_sender_id
FROM tip t FULL JOIN (SELECT * FROM tip_attempt WHERE outcome = 'booked') a ON a.tip_id = t.id AND a.sender_id = t.sender_id
WHERE t.id IS NULL OR a.tip_id IS NULL
UNION ALL
SELECT tip_id, min(sender_id), max(sender_id) FROM tip_attempt
WHERE tip_id IS NOT NULL GROUP BY tip_id HAVING count(*) > 1
