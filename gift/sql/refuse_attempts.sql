-- Turns attempts of this transaction, inserted as booked, into refusals.
-- $1 sender_id text[], $2 key text[], $3 outcome text[], $4 beans bigint[], 0 for none.
UPDATE tip_attempt AS a SET outcome = q.outcome, tip_id = NULL, beans = nullif(q.beans, 0)
FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[]) AS q (sender_id, key, outcome, beans)
WHERE a.sender_id = q.sender_id AND a.key = q.key
