-- Gives some pieces of one order's lines back: off the sold count of its sale, open or closed, and off
-- its skus' sold for an ordinary order or moved for a closed sale; those of an open sale stay with it.
-- $1 text   order id, locked with its stock
-- $2 int[]  lines
-- $3 int[]  pieces of each
WITH back AS (
    SELECT l.n, l.sku_id, p.pieces
    FROM unnest($2::int[], $3::int[]) AS p (n, pieces) JOIN order_line l ON l.order_id = $1 AND l.n = p.n
), restocked AS (
    UPDATE order_line SET restocked = restocked + back.pieces FROM back WHERE order_id = $1 AND order_line.n = back.n
), unsold AS (
    UPDATE sale SET sold = sale.sold - (SELECT sum(pieces) FROM back) FROM orders o WHERE o.id = $1 AND sale.id = o.sale_id
)
UPDATE sku
SET sold = sku.sold - CASE WHEN o.sale_id IS NULL THEN r.pieces ELSE 0 END,
    moved = sku.moved - CASE WHEN o.sale_id IS NULL THEN 0 ELSE r.pieces END
FROM (SELECT sku_id, sum(pieces) AS pieces FROM back GROUP BY sku_id) r CROSS JOIN orders o LEFT JOIN sale s ON s.id = o.sale_id
WHERE o.id = $1 AND sku.id = r.sku_id AND (o.sale_id IS NULL OR s.closed_at IS NOT NULL)
