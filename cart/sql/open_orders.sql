-- The newest orders of each buyer that are not settled for good.
-- $1 text[]  buyer ids
-- $2 int     at most so many each
SELECT b.id, o.id
FROM unnest($1::text[]) AS b (id)
CROSS JOIN LATERAL (
    SELECT id, created_at FROM orders
    WHERE buyer_id = b.id AND state IN ('awaiting_payment', 'paid', 'shipped', 'refund_due')
    ORDER BY created_at DESC, id DESC LIMIT $2
) o
ORDER BY b.id, o.created_at DESC, o.id DESC
