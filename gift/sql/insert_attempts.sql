-- Records attempts as booked and returns those whose key was free; a key held by another
-- transaction is waited for.
-- $1 sender_id text[], $2 key text[], sorted by both so that workers wait in one order;
-- $3 hash bytea[], $4 tip_id text[].
INSERT INTO tip_attempt (sender_id, key, hash, tip_id)
SELECT * FROM unnest($1::text[], $2::text[], $3::bytea[], $4::text[])
ON CONFLICT (sender_id, key) DO NOTHING
RETURNING sender_id, key
