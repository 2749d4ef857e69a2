-- Claims what is to be sent to one webhook now: while one worker sends, the others pass over it. An
-- event of an order waits while an earlier one of that order is still to be sent.
-- $1 shop  $2 webhook  $3 int: at most so many  $4 float8: seconds after which another worker may send
UPDATE webhook_delivery d SET tries = d.tries + 1, next_at = clock_timestamp() + make_interval(secs => $4)
FROM (
    SELECT c.order_id, c.n FROM webhook_delivery c
    WHERE c.shop_id = $1 AND c.webhook_id = $2 AND c.state = 'due' AND c.next_at <= clock_timestamp()
      AND NOT EXISTS (
          SELECT FROM webhook_delivery b
          WHERE b.shop_id = $1 AND b.webhook_id = $2 AND b.order_id = c.order_id AND b.n < c.n AND b.state = 'due')
    ORDER BY c.next_at LIMIT $3 FOR UPDATE SKIP LOCKED
) due, webhook w, order_event e
WHERE d.shop_id = $1 AND d.webhook_id = $2 AND d.order_id = due.order_id AND d.n = due.n
  AND w.shop_id = $1 AND w.id = $2 AND w.disabled_at IS NULL AND w.since <= d.created_at
  AND e.order_id = d.order_id AND e.n = d.n
RETURNING w.url, w.secret, d.order_id, d.n, d.tries, e.from_state, e.to_state, e.cause, e.at
