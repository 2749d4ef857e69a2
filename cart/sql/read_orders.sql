-- Orders with their lines, in no order. Shipments and refunds are looked up only for orders whose lines
-- say that there are some, and come as the JSON of an Order that holds nothing else.
-- $1 text[]  order ids
SELECT o.id, o.shop_id, o.room_id, coalesce(o.sale_id, ''), o.buyer_id, o.buyer_name, o.request_id, o.state, o.currency,
       o.amount, o.discount, o.price_version, o.ship_to, o.created_at, o.expires_at, o.version,
       l.listings, l.skus, l.titles, l.images, l.quantities, l.prices, l.shipped, l.refunded,
       CASE WHEN l.sent OR l.returned THEN jsonb_build_object(
           'shipments', (
               SELECT coalesce(jsonb_agg(jsonb_build_object(
                   'id', s.id, 'carrier', s.carrier, 'waybill', s.waybill, 'shipped_ms', floor(extract(epoch FROM s.at) * 1000)::bigint,
                   'pieces', (SELECT jsonb_agg(jsonb_build_object('line', n, 'quantity', quantity) ORDER BY n) FROM shipment_line WHERE shipment_id = s.id)
               ) ORDER BY s.at, s.id), '[]') FROM shipment s WHERE s.order_id = o.id),
           'refunds', (
               SELECT coalesce(jsonb_agg(jsonb_build_object(
                   'id', r.id, 'amount', r.amount, 'restocked', r.restock, 'reason', r.reason, 'state', 'REFUND_STATE_' || upper(r.state),
                   'created_ms', floor(extract(epoch FROM r.created_at) * 1000)::bigint,
                   'pieces', (SELECT jsonb_agg(jsonb_build_object('line', n, 'quantity', quantity) ORDER BY n) FROM refund_line WHERE refund_id = r.id)
               ) ORDER BY r.created_at, r.id), '[]') FROM refund r WHERE r.order_id = o.id AND r.kind = 'order')
       ) END
FROM orders o
CROSS JOIN LATERAL (
    SELECT array_agg(listing_id ORDER BY n) AS listings, array_agg(sku_id ORDER BY n) AS skus, array_agg(title ORDER BY n) AS titles,
           array_agg(image_url ORDER BY n) AS images, array_agg(quantity ORDER BY n) AS quantities, array_agg(unit_price ORDER BY n) AS prices,
           array_agg(shipped ORDER BY n) AS shipped, array_agg(refunded ORDER BY n) AS refunded,
           bool_or(shipped > 0) AS sent, bool_or(refunded > 0) AS returned
    FROM order_line WHERE order_id = o.id
) l
WHERE o.id = ANY ($1)
