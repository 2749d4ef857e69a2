-- The orders that were made under keys, with room, sale ('' for none) and pieces. Of the orders that
-- one order_create made for several shops only the first has the key; the pieces are those of all.
--
-- $1 clients, $2 kinds of commands, $3 keys: one each
SELECT k.client, k.kind, k.key, o.id, o.room_id, coalesce(o.sale_id, ''), p.pieces
FROM unnest($1::text[], $2::text[], $3::text[]) AS k (client, kind, key)
JOIN orders o ON o.buyer_id = k.client AND o.request_id = k.key AND o.split_from IS NULL
	AND k.kind = CASE WHEN o.sale_id IS NULL THEN 'order_create' ELSE 'flash_buy' END
-- Two look-ups an order: a join by either of two conditions would compare every order with every line.
CROSS JOIN LATERAL (
	SELECT coalesce(sum(l.quantity), 0)::bigint AS pieces
	FROM (SELECT o.id UNION ALL SELECT s.id FROM orders s WHERE s.split_from = o.id) part (id)
	JOIN order_line l ON l.order_id = part.id
) p
ORDER BY o.id
