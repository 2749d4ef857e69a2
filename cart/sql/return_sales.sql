-- Takes the pieces that orders still hold off the sold count of their sales, open or closed.
-- $1 text[]  order ids, locked, of any kind
UPDATE sale SET sold = sale.sold - r.n
FROM (
    SELECT o.sale_id, sum(l.quantity - l.restocked) AS n
    FROM orders o JOIN order_line l ON l.order_id = o.id
    WHERE o.id = ANY ($1) AND o.sale_id IS NOT NULL
    GROUP BY o.sale_id
) r
WHERE sale.id = r.sale_id
