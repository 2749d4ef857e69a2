-- Locks the skus whose counts a return of orders' stock may change: of ordinary orders, and of
-- orders whose sale is closed. The sales are locked since an earlier statement.
-- $1 text[]  order ids
SELECT FROM sku
WHERE id IN (
    SELECT l.sku_id
    FROM orders o JOIN order_line l ON l.order_id = o.id LEFT JOIN sale s ON s.id = o.sale_id
    WHERE o.id = ANY ($1) AND (o.sale_id IS NULL OR s.closed_at IS NOT NULL)
)
ORDER BY id FOR UPDATE
