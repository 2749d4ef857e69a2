-- wallet_credits: by how much the reversals of the room's tips raised their senders' wallets: the balance
-- after each less the one before it.
-- $1 text  room
SELECT r.host_id, 'beans', sum(r.balance - coalesce(
	(SELECT balance FROM bean_lot b WHERE b.user_id = r.sender_id AND b.version = r.version - 1),
	(SELECT balance FROM tip b WHERE b.sender_id = r.sender_id AND b.version = r.version - 1),
	(SELECT balance FROM tip_reversal b WHERE b.sender_id = r.sender_id AND b.version = r.version - 1),
	(SELECT balance FROM lot_refund b WHERE b.user_id = r.sender_id AND b.version = r.version - 1), 0))::bigint
FROM tip_reversal r WHERE r.room_id = $1 GROUP BY r.host_id
