-- The recorded attempts of pairs. A lateral join probes the pairs; two = ANY would probe all
-- combinations.
-- $1 sender_id text[], $2 key text[].
SELECT a.sender_id, a.key, a.hash, a.outcome, coalesce(a.tip_id, ''), coalesce(a.beans, 0)
FROM unnest($1::text[], $2::text[]) AS q (sender_id, key)
CROSS JOIN LATERAL (
    SELECT * FROM tip_attempt t WHERE t.sender_id = q.sender_id AND t.key = q.key
) AS a
