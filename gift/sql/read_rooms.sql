-- Phase, host and the host's share (ppm) of rooms.
-- $1 room ids text[].
SELECT r.id, r.phase, r.host_id, coalesce(h.ppm, 500000)
FROM room r LEFT JOIN host_share h ON h.host_id = r.host_id
WHERE r.id = ANY ($1)
