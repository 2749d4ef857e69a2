-- A lot of which more than its beans went back, or not the price's part of them, rounded down; a grant
-- of which some did; or a refund from another user's lot.
SELECT l.id AS lot_id, l.kind, l.beans, l.amount, r.beans AS refunded, r.amount AS refunded_amount
FROM (
    SELECT lot_id, sum(beans) AS beans, sum(amount) AS amount, min(user_id) AS first_user, max(user_id) AS last_user
    FROM lot_refund GROUP BY lot_id
) r
LEFT JOIN bean_lot l ON l.id = r.lot_id
WHERE l.id IS NULL OR l.kind <> 'topup' OR r.beans > l.beans OR r.amount <> floor(l.amount * r.beans / l.beans)
   OR r.first_user <> l.user_id OR r.last_user <> l.user_id
