-- A user's lots and what was refunded of each, newest first.
-- $1 user id.
SELECT l.id, l.user_id, l.kind, l.key, l.beans, l.amount, l.currency, l.at,
       coalesce(r.beans, 0)::bigint, coalesce(r.amount, 0)::bigint
FROM bean_lot l
LEFT JOIN (
    SELECT lot_id, sum(beans) AS beans, sum(amount) AS amount FROM lot_refund WHERE user_id = $1 GROUP BY lot_id
) r ON r.lot_id = l.id
WHERE l.user_id = $1
ORDER BY l.version DESC
