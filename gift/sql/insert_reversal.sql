-- Writes the opposite of a tip.
-- $1 id, $2 tip id, $3 reason, $4 who reverses it, $5 their key, $6 the sender's balance after it,
-- $7 and version, $8 at.
INSERT INTO tip_reversal (id, tip_id, room_id, host_id, sender_id, beans, host_beans, fee_beans, reason, by_id, key, balance, version, at)
SELECT $1, id, room_id, host_id, sender_id, beans, host_beans, fee_beans, $3, $4, $5, $6, $7, $8 FROM tip WHERE id = $2
