-- Claims refunds whose provider is to be asked now: while one worker asks, the others pass over them.
-- $1 int     at most so many
-- $2 float8  seconds after which another worker may ask
UPDATE refund SET tries = tries + 1, next_at = clock_timestamp() + make_interval(secs => $2)
FROM (
    SELECT id FROM refund
    WHERE state = 'due' AND next_at <= clock_timestamp()
    ORDER BY next_at LIMIT $1 FOR UPDATE SKIP LOCKED
) due
WHERE refund.id = due.id
RETURNING refund.id, refund.payment_id, refund.amount, refund.currency, refund.tries
