-- Locks the oldest tips that nobody announced, leaving out those that another worker holds.
-- $1 least age in seconds, $2 at most how many.
SELECT tip_id FROM tip_unannounced
WHERE at < clock_timestamp() - make_interval(secs => $1)
ORDER BY at LIMIT $2
FOR UPDATE SKIP LOCKED
