-- Claims refunds that are due, leaving out those that another worker is claiming. A claim ends by itself.
-- $1 provider, $2 at most how many, $3 seconds that the claim lasts.
UPDATE topup_refund SET tries = tries + 1, next_at = clock_timestamp() + make_interval(secs => $3)
WHERE id IN (
    SELECT id FROM topup_refund WHERE state = 'due' AND provider = $1 AND next_at <= clock_timestamp()
    ORDER BY next_at LIMIT $2 FOR UPDATE SKIP LOCKED
)
RETURNING id, topup_id, amount, currency, tries
