-- The outcomes that are recorded under keys, with the id of what was made.
--
-- $1 clients, $2 kinds of commands, $3 keys: one each
WITH asked AS (SELECT * FROM unnest($1::text[], $2::text[], $3::text[]) AS k (client, kind, key))
SELECT k.client, k.kind, k.key, a.outcome, coalesce(a.order_id, '')
FROM asked k JOIN attempt a ON a.buyer_id = k.client AND a.key = k.key AND a.kind = k.kind
UNION ALL
SELECT k.client, k.kind, k.key, a.outcome, coalesce(a.tip_id, '')
FROM asked k JOIN tip_attempt a ON a.sender_id = k.client AND a.key = k.key WHERE k.kind = 'gift_send'
