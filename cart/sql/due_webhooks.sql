-- The webhooks that something can be sent to now, those that waited longest first. A move that waits for an
-- earlier one of its order is nothing that can be sent, nor is one from before the webhook was made anew.
SELECT d.shop_id, d.webhook_id
FROM webhook_delivery d JOIN webhook h ON h.shop_id = d.shop_id AND h.id = d.webhook_id AND h.disabled_at IS NULL AND h.since <= d.created_at
WHERE d.state = 'due' AND d.next_at <= clock_timestamp()
  AND NOT EXISTS (
      SELECT FROM webhook_delivery b
      WHERE b.shop_id = d.shop_id AND b.webhook_id = d.webhook_id AND b.order_id = d.order_id AND b.n < d.n AND b.state = 'due')
GROUP BY d.shop_id, d.webhook_id ORDER BY min(d.next_at)
