-- Gifts so far of combos. Safe to read and write back while the senders' wallets are locked: a
-- combo has one sender.
-- $1 sender_id text[], $2 room_id text[], $3 gift_id text[], $4 combo_id text[].
SELECT q.sender_id, q.room_id, q.gift_id, q.combo_id, c.combo_count
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) AS q (sender_id, room_id, gift_id, combo_id)
CROSS JOIN LATERAL (
    SELECT combo_count FROM tip t
    WHERE t.sender_id = q.sender_id AND t.room_id = q.room_id AND t.gift_id = q.gift_id
      AND t.combo_id = q.combo_id AND t.combo_id <> ''
    ORDER BY combo_count DESC LIMIT 1
) AS c
