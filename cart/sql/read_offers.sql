-- What an order of some listings needs to know; run it after the skus are locked. A listing whose sku is
-- another shop's that no longer shares it is off sale.
-- $1 text[]  listing ids
-- $2 text    room whose shelf must hold the product, '' for none
SELECT l.id, l.sku_id, p.shop_id, s.currency, p.title || CASE WHEN l.name = '' THEN '' ELSE ' · ' || l.name END, p.image_url, l.price,
       k.stock - k.sold - k.moved AS available,
       p.on_sale AND (k.shop_id = p.shop_id OR EXISTS (SELECT FROM sku_share WHERE sku_id = k.id AND shop_id = p.shop_id)) AS on_sale,
       $2 = '' OR EXISTS (SELECT FROM shelf WHERE room_id = $2 AND product_id = p.id) AS shelved
FROM listing l JOIN product p ON p.id = l.product_id JOIN shop s ON s.id = p.shop_id JOIN sku k ON k.id = l.sku_id
WHERE l.id = ANY ($1)
