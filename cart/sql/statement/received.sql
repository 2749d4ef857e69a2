-- received: the money that providers told us of. Notices that repeat others, of declined payments, and
-- those that no payment is known for tell of none.
-- $1 text  room
SELECT o.shop_id, n.currency, sum(n.amount)::bigint
FROM orders o JOIN payment p ON p.order_id = o.id JOIN payment_notice n ON n.payment_id = p.id AND n.provider = p.provider
WHERE o.room_id = $1 AND n.kind = 'payment.succeeded' AND n.result NOT IN ('unmatched', 'duplicate', 'declined')
GROUP BY o.shop_id, n.currency
