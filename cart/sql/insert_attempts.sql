-- Records outcomes of flash_buy attempts, sorted by key. One that is there already is left as it is
-- and not counted.
-- $1 text[]   buyer ids
-- $2 text[]   keys
-- $3 bytea[]  content hashes
-- $4 text[]   sale ids
-- $5 int[]    quantities
-- $6 text[]   outcomes
-- $7 text[]   order ids, '' without
INSERT INTO attempt (buyer_id, key, kind, hash, sale_id, quantity, outcome, order_id)
SELECT a.buyer_id, a.key, 'flash_buy', a.hash, a.sale_id, a.quantity, a.outcome, nullif(a.order_id, '')
FROM unnest($1::text[], $2::text[], $3::bytea[], $4::text[], $5::int[], $6::text[], $7::text[])
    AS a (buyer_id, key, hash, sale_id, quantity, outcome, order_id)
ON CONFLICT DO NOTHING
