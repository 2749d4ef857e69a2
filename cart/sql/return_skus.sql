-- Gives the pieces that orders still hold back to their skus: those of ordinary orders off sold,
-- those of closed sales off moved. Those of open sales stay with the sale.
-- $1 text[]  order ids, locked, of any kind
UPDATE sku SET sold = sku.sold - r.ordinary, moved = sku.moved - r.closed
FROM (
    SELECT l.sku_id,
           coalesce(sum(l.quantity - l.restocked) FILTER (WHERE o.sale_id IS NULL), 0) AS ordinary,
           coalesce(sum(l.quantity - l.restocked) FILTER (WHERE s.closed_at IS NOT NULL), 0) AS closed
    FROM orders o JOIN order_line l ON l.order_id = o.id LEFT JOIN sale s ON s.id = o.sale_id
    WHERE o.id = ANY ($1) AND (o.sale_id IS NULL OR s.closed_at IS NOT NULL)
    GROUP BY l.sku_id
) r
WHERE sku.id = r.sku_id
