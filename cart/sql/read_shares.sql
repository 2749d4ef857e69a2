-- The shops with which a sku is shared, by id.
-- $1 shop that owns it, $2 sku
-- Returns id, name, since when; one row of nulls where it is shared with nobody, none where the shop has
-- no such sku.
SELECT h.shop_id, s.name, h.at
FROM sku k LEFT JOIN sku_share h ON h.sku_id = k.id LEFT JOIN shop s ON s.id = h.shop_id
WHERE k.shop_id = $1 AND k.id = $2
ORDER BY h.shop_id
