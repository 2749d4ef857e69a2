-- All buyers whom the ledger knows in a sale, with the pieces that they hold; 0 for those who were
-- refused or gave everything back.
-- $1 text  sale id
SELECT buyer_id, sum(n)::bigint
FROM (
    SELECT o.buyer_id, sum(l.quantity - l.restocked) AS n
    FROM orders o JOIN order_line l ON l.order_id = o.id
    WHERE o.sale_id = $1
    GROUP BY o.buyer_id
    UNION ALL
    SELECT DISTINCT buyer_id, 0 FROM attempt WHERE sale_id = $1 AND outcome <> 'ordered'
) b
GROUP BY buyer_id
