-- Moves orders from one state to another, numbers the moves, and puts them into the outbox of the
-- shops that want to be told. The caller holds the rows' locks since an earlier statement, or the
-- numbers are read from before a wait. Returns the moved ids.
-- $1 text[]  order ids
-- $2 text    state they must be in
-- $3 text    state they get
-- $4 text    cause, for people
WITH moved AS (
    UPDATE orders SET state = $3, version = version + 1 WHERE id = ANY ($1) AND state = $2 RETURNING id, shop_id
), event AS (
    INSERT INTO order_event (order_id, n, from_state, to_state, cause)
    SELECT m.id, (SELECT coalesce(max(e.n), 0) + 1 FROM order_event e WHERE e.order_id = m.id), $2, $3, $4
    FROM moved m
    RETURNING order_id, n
), outbox AS (
    INSERT INTO webhook_delivery (shop_id, webhook_id, order_id, n)
    SELECT w.shop_id, w.id, e.order_id, e.n
    FROM event e JOIN moved m ON m.id = e.order_id JOIN webhook w ON w.shop_id = m.shop_id AND w.disabled_at IS NULL
)
SELECT order_id FROM event
