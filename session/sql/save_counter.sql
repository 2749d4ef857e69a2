-- Saves totals of rooms. $1 rooms, sorted; $2 peak, $3 visits, $4 unique viewers, $5 whether unique is a
-- lower bound, $6 likes. Figures only rise.
INSERT INTO room_counter AS c (room_id, peak, visits, unique_viewers, unique_lower_bound, likes)
SELECT r.id, n.peak, n.visits, n.unique_viewers, n.lower, n.likes
FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::boolean[], $6::bigint[])
    WITH ORDINALITY AS n (room_id, peak, visits, unique_viewers, lower, likes, place)
JOIN room r ON r.id = n.room_id
ORDER BY n.place
ON CONFLICT (room_id) DO UPDATE
SET peak = GREATEST(c.peak, excluded.peak),
    visits = GREATEST(c.visits, excluded.visits),
    unique_viewers = GREATEST(c.unique_viewers, excluded.unique_viewers),
    unique_lower_bound = c.unique_lower_bound OR excluded.unique_lower_bound,
    likes = GREATEST(c.likes, excluded.likes),
    saved_at = clock_timestamp()
