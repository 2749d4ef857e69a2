-- Recorded outcomes of flash_buy attempts. Pairs, not two lists: a cross product would be probed. LIMIT
-- keeps each pair a probe of the primary key: without it the planner joins, and reads the whole table
-- while its statistics are those of an empty one.
-- $1 text[]  buyer ids
-- $2 text[]  their keys
SELECT a.buyer_id, a.key, a.hash, a.outcome, coalesce(a.order_id, '')
FROM unnest($1::text[], $2::text[]) AS p (buyer_id, key)
CROSS JOIN LATERAL (SELECT * FROM attempt WHERE buyer_id = p.buyer_id AND key = p.key AND kind = 'flash_buy' LIMIT 1) a
