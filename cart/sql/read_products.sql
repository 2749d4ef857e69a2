-- Products with their listings, in no order.
-- $1 text[]  product ids
SELECT p.id, p.shop_id, p.title, p.image_url, p.description, s.currency, p.on_sale, p.version,
       l.ids, l.skus, l.names, l.prices, l.available
FROM product p
JOIN shop s ON s.id = p.shop_id
CROSS JOIN LATERAL (
    SELECT array_agg(li.id ORDER BY li.position, li.id) AS ids, array_agg(li.sku_id ORDER BY li.position, li.id) AS skus,
           array_agg(li.name ORDER BY li.position, li.id) AS names, array_agg(li.price ORDER BY li.position, li.id) AS prices,
           array_agg(k.stock - k.sold - k.moved ORDER BY li.position, li.id) AS available
    FROM listing li JOIN sku k ON k.id = li.sku_id
    WHERE li.product_id = p.id
) l
WHERE p.id = ANY ($1)
