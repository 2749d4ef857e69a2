-- New orders of flash sales, each with its one line and first event.
-- $1 text[]        order ids
-- $2 text[]        sale ids
-- $3 text[]        buyer ids
-- $4 text[]        buyer names
-- $5 text[]        request_ids
-- $6 int[]         pieces
-- $7 text[]        sources
-- $8 text[]        guides
-- $9 timestamptz   now
-- $10 timestamptz  end of the payment window
WITH asked AS (
    SELECT a.*, s.shop_id, s.room_id, s.listing_id, s.sku_id, s.title, s.image_url, s.currency, s.price
    FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::int[], $7::text[], $8::text[])
        AS a (id, sale_id, buyer_id, buyer_name, request_id, quantity, source, guide)
    JOIN sale s ON s.id = a.sale_id
), opened AS (
    INSERT INTO orders (id, shop_id, room_id, sale_id, buyer_id, buyer_name, request_id, state, currency, amount, source, guide, created_at, expires_at)
    SELECT id, shop_id, room_id, sale_id, buyer_id, buyer_name, request_id, 'awaiting_payment', currency, price * quantity, source, guide, $9, $10
    FROM asked
), event AS (
    INSERT INTO order_event (order_id, n, from_state, to_state, cause, at) SELECT id, 1, '', 'awaiting_payment', 'flash_buy', $9 FROM asked
), outbox AS (
    INSERT INTO webhook_delivery (shop_id, webhook_id, order_id, n)
    SELECT w.shop_id, w.id, a.id, 1 FROM asked a JOIN webhook w ON w.shop_id = a.shop_id AND w.disabled_at IS NULL
)
INSERT INTO order_line (order_id, n, listing_id, sku_id, title, image_url, quantity, unit_price)
SELECT id, 1, listing_id, sku_id, title, image_url, quantity, price FROM asked
