-- A new ordinary order with its lines and first event.
-- $1 id  $2 shop  $3 room or ''  $4 buyer id  $5 buyer name  $6 request_id  $7 currency  $8 amount, minor units
-- $9 address as jsonb or NULL  $10 source  $11 guide  $12 payment window in seconds
-- $13 listing ids  $14 sku ids  $15 titles  $16 image urls  $17 quantities  $18 unit prices
-- $19 the first order of the same order_create, '' for the first itself
WITH opened AS (
    INSERT INTO orders (id, shop_id, room_id, buyer_id, buyer_name, request_id, state, currency, amount, ship_to, source, guide, expires_at, split_from)
    VALUES ($1, $2, $3, $4, $5, $6, 'awaiting_payment', $7, $8, $9, $10, $11, clock_timestamp() + make_interval(secs => $12), nullif($19, ''))
), event AS (
    INSERT INTO order_event (order_id, n, from_state, to_state, cause) VALUES ($1, 1, '', 'awaiting_payment', 'created')
), outbox AS (
    INSERT INTO webhook_delivery (shop_id, webhook_id, order_id, n)
    SELECT shop_id, id, $1, 1 FROM webhook WHERE shop_id = $2 AND disabled_at IS NULL
)
INSERT INTO order_line (order_id, n, listing_id, sku_id, title, image_url, quantity, unit_price)
SELECT $1, l.n, l.listing, l.sku, l.title, l.image, l.quantity, l.price
FROM unnest($13::text[], $14::text[], $15::text[], $16::text[], $17::int[], $18::bigint[]) WITH ORDINALITY
    AS l (listing, sku, title, image, quantity, price, n)
