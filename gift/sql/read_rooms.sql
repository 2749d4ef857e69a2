-- The time of the decision, and phase, host and the host's share (ppm) of rooms at that time: the host's
-- own, else what the shop's fee leaves, else half. One row of empty texts where there is no such room.
-- $1 room ids text[].
WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now)
SELECT clock.now, coalesce(r.id, ''), coalesce(r.phase, ''), coalesce(r.host_id, ''), coalesce(h.ppm, 1000000 - f.tip_ppm, 500000)
FROM clock
LEFT JOIN room r ON r.id = ANY ($1)
LEFT JOIN host_share h ON h.host_id = r.host_id
LEFT JOIN LATERAL (
    SELECT tip_ppm FROM fee_policy p WHERE p.shop_id = r.shop_id AND p.since <= clock.now
    ORDER BY p.since DESC LIMIT 1
) f ON true
