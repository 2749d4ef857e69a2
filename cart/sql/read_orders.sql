-- Orders with their lines, in no order.
-- $1 text[]  order ids
SELECT o.id, o.shop_id, o.room_id, coalesce(o.sale_id, ''), o.buyer_id, o.buyer_name, o.request_id, o.state, o.currency,
       o.amount, o.ship_to, o.created_at, o.expires_at, o.version, l.listings, l.skus, l.titles, l.images, l.quantities, l.prices
FROM orders o
CROSS JOIN LATERAL (
    SELECT array_agg(listing_id ORDER BY n) AS listings, array_agg(sku_id ORDER BY n) AS skus, array_agg(title ORDER BY n) AS titles,
           array_agg(image_url ORDER BY n) AS images, array_agg(quantity ORDER BY n) AS quantities, array_agg(unit_price ORDER BY n) AS prices
    FROM order_line WHERE order_id = o.id
) l
WHERE o.id = ANY ($1)
