-- Writes tips, and notes that they are not announced yet.
-- $1 id text[], $2 room_id text[], $3 host_id text[], $4 sender_id text[], $5 sender_name text[],
-- $6 sender_role int[], $7 gift_id text[], $8 tier int[], $9 count bigint[], $10 price bigint[] (beans),
-- $11 beans bigint[], $12 host_ppm bigint[], $13 host_beans bigint[], $14 fee_beans bigint[],
-- $15 combo_id text[], $16 combo_count bigint[], $17 balance bigint[], $18 version bigint[],
-- $19 at timestamptz, of all of them.
WITH written AS (
    INSERT INTO tip (id, room_id, host_id, sender_id, sender_name, sender_role, gift_id, tier, count, price,
                     beans, host_ppm, host_beans, fee_beans, combo_id, combo_count, balance, version, at)
    SELECT q.*, $19 FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[],
                                $6::int[], $7::text[], $8::int[], $9::bigint[], $10::bigint[],
                                $11::bigint[], $12::bigint[], $13::bigint[], $14::bigint[],
                                $15::text[], $16::bigint[], $17::bigint[], $18::bigint[]) AS q
    RETURNING id, at
)
INSERT INTO tip_unannounced (tip_id, at) SELECT id, at FROM written
