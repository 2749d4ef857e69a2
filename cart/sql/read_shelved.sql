-- Where products of a sku stand on the shelves of another shop's rooms: room and product, sorted.
-- $1 sku, $2 shop of the products, $3 shop of the rooms
SELECT s.room_id, s.product_id
FROM product p JOIN shelf s ON s.product_id = p.id JOIN room r ON r.id = s.room_id
WHERE p.shop_id = $2 AND r.shop_id = $3 AND EXISTS (SELECT FROM listing WHERE product_id = p.id AND sku_id = $1)
ORDER BY s.room_id, s.product_id
