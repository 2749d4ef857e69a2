-- Pieces that buyers hold of sales with a limit, by their orders. Run it after the sales are locked.
-- $1 text[]  sale ids
-- $2 text[]  their buyers
SELECT p.sale_id, p.buyer_id, h.n
FROM unnest($1::text[], $2::text[]) AS p (sale_id, buyer_id)
JOIN sale s ON s.id = p.sale_id AND s.per_buyer_limit > 0
CROSS JOIN LATERAL (
    SELECT sum(l.quantity - l.restocked)::bigint AS n
    FROM orders o JOIN order_line l ON l.order_id = o.id
    WHERE o.sale_id = p.sale_id AND o.buyer_id = p.buyer_id
) h
WHERE h.n > 0
