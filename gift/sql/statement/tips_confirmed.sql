-- tips_confirmed: how many requests were answered with a tip of the room. Attempts are read by sender, as
-- their key is, once for all of a sender's tips.
-- $1 text  room
WITH room_tip AS MATERIALIZED (
	SELECT id, host_id, sender_id FROM tip WHERE room_id = $1
), answer AS MATERIALIZED (
	SELECT a.sender_id, a.tip_id
	FROM (SELECT DISTINCT sender_id FROM room_tip) s
	CROSS JOIN LATERAL (SELECT sender_id, tip_id FROM tip_attempt WHERE sender_id = s.sender_id AND tip_id IS NOT NULL) a
)
SELECT t.host_id, 'tips', count(*)
FROM room_tip t JOIN answer a ON a.tip_id = t.id AND a.sender_id = t.sender_id GROUP BY t.host_id
