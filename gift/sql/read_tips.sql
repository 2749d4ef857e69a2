-- Tips by id, oldest first.
-- $1 ids text[].
SELECT id, room_id, host_id, sender_id, sender_name, sender_role, gift_id, tier, count, price,
       beans, host_ppm, host_beans, fee_beans, combo_id, combo_count, balance, version, at
FROM tip WHERE id = ANY ($1) ORDER BY at, sender_id, version
