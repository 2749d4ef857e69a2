-- Claims payments whose provider is to be asked now: while one worker asks, the others pass over them.
-- Takes no other lock. Returns them, with the database's time.
-- $1 int     at most so many
-- $2 float8  seconds after which another worker may ask
UPDATE payment SET query_at = clock_timestamp() + make_interval(secs => $2)
FROM (
    SELECT id FROM payment
    WHERE query_at <= clock_timestamp() AND state IN ('requested', 'void')
    ORDER BY query_at LIMIT $1 FOR UPDATE SKIP LOCKED
) due
WHERE payment.id = due.id
RETURNING payment.id, payment.provider, payment.state, payment.created_at, payment.expires_at, clock_timestamp()
