-- Saves what gateways counted. $1 rooms, $2 parts, $3 visits, $4 likes: one entry a part, sorted by
-- room and part so that two gateways cannot lock one another out. Figures only rise.
INSERT INTO room_counter_part AS p (room_id, part, visits, likes)
SELECT r.id, n.part, n.visits, n.likes
FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[]) WITH ORDINALITY AS n (room_id, part, visits, likes, place)
JOIN room r ON r.id = n.room_id
ORDER BY n.place
ON CONFLICT (room_id, part) DO UPDATE
SET visits = GREATEST(p.visits, excluded.visits), likes = GREATEST(p.likes, excluded.likes)
WHERE p.visits < excluded.visits OR p.likes < excluded.likes
