-- Writes wallets that this transaction has locked.
-- $1 user_id text[], $2 balance bigint[], $3 version bigint[].
UPDATE wallet AS w SET balance = q.balance, version = q.version
FROM unnest($1::text[], $2::bigint[], $3::bigint[]) AS q (user_id, balance, version)
WHERE w.user_id = q.user_id
