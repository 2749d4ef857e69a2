-- Adds tips to their senders' sums in a room, one row a (room, sender), whose wallets are locked.
-- $1 room_id text[], $2 sender_id text[], $3 sender_name text[], $4 sender_role int[],
-- $5 beans bigint[], $6 tips bigint[].
INSERT INTO room_sender AS s (room_id, sender_id, sender_name, sender_role, beans, tips)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::int[], $5::bigint[], $6::bigint[])
ON CONFLICT (room_id, sender_id) DO UPDATE SET
    sender_name = excluded.sender_name, sender_role = excluded.sender_role,
    beans = s.beans + excluded.beans, tips = s.tips + excluded.tips
