-- wallet_debits: by how much the room's tips lowered their senders' wallets: the balance before each
-- less the one after it. Every entry of a wallet has a version of its own, without gaps.
-- $1 text  room
SELECT t.host_id, 'beans', sum(coalesce(
	(SELECT balance FROM bean_lot b WHERE b.user_id = t.sender_id AND b.version = t.version - 1),
	(SELECT balance FROM tip b WHERE b.sender_id = t.sender_id AND b.version = t.version - 1),
	(SELECT balance FROM tip_reversal b WHERE b.sender_id = t.sender_id AND b.version = t.version - 1),
	(SELECT balance FROM lot_refund b WHERE b.user_id = t.sender_id AND b.version = t.version - 1), 0) - t.balance)::bigint
FROM tip t WHERE t.room_id = $1 GROUP BY t.host_id
