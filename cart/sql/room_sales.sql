-- A room's sales that are announced or running, in order of their start.
-- $1 text  room id
SELECT id, product_id, listing_id, sku_id, title, image_url, currency, price, original_price, quantity, sold, per_buyer_limit,
       starts_at, ends_at, version, sold_out, starts_at <= clock_timestamp() AS open
FROM sale
WHERE room_id = $1 AND closed_at IS NULL
ORDER BY starts_at, id
