-- platform_fees: what the platform keeps: of each order's net the shop's rate when the order was made,
-- rounded down; a shop without a fee_policy in force pays nothing.
-- $1 text  room
SELECT o.shop_id, o.currency, coalesce(sum(div((p.amount - coalesce(r.amount, 0)) * coalesce(f.sale_ppm, 0), 1000000)), 0)::bigint
FROM orders o JOIN payment p ON p.order_id = o.id AND p.state = 'accepted'
LEFT JOIN LATERAL (SELECT sum(amount) AS amount FROM refund WHERE order_id = o.id AND kind = 'order') r ON true
LEFT JOIN LATERAL (
	SELECT sale_ppm::numeric FROM fee_policy WHERE shop_id = o.shop_id AND since <= o.created_at ORDER BY since DESC LIMIT 1
) f ON true
WHERE o.room_id = $1 GROUP BY o.shop_id, o.currency
