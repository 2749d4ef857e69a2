// Package gift owns the gift catalogue, viewers' beans, tips with their combos, and the ranking of
// a room's senders.
//
// # Promises
//
// A tip that was answered with a GiftSent is committed in Postgres. The request_id is its
// idempotency key, per sender, for at least 24 hours: the same request gets the same answer and is
// booked once, another request under the same key gets idempotency_conflict. Refusals of the
// ledger are recorded like bookings, so a tip that was refused is never booked by a late copy of
// the same request: insufficient_beans, unknown_gift, room_not_found, room_not_live and forbidden
// are final, and sending again needs a new request_id. busy, try_again and pending are not
// outcomes: ask again under the same key.
//
// Beans are integers and a unit of their own, never money. A tip takes beans from the sender's
// wallet and gives them to two legs: the host's share, rounded down, and the fee, the rest. Lots
// put beans into wallets and remember the money they came for. The only balances kept as rows are
// viewers' wallets; what was issued and what hosts and the platform earned are sums over bean_lot
// and tip, and issued = wallets + hosts + fees, always ([Invariants]).
//
// # A tip's way
//
//	Gifts.Send ─► dispatcher: sent at once if no envelope is under way; while one is, others gather (≤ 200)
//	           ─► NATS request "tip" to one ledger worker, asked again after 1 s under the same keys
//	           ─► Ledger: takes what waits (≤ 200, no timer), one transaction:
//	              attempts, wallets locked in order, prices and combos read, decided in Go, written
//	           ─► answer; then gift_sent to the room, wallet_balance to the sender
//
// The room hears of a tip after its commit. A worker that dies in between leaves a row in
// tip_unannounced, which any worker announces 2 s later; so a gift_sent may come twice, and
// tip_ids tell. combo_count is the ledger's own count for (sender, room, gift, combo_id), from all
// tips whenever sent; combo_end_ms, 3 s after the booking, tells pages how long to show it.
//
// Tips need a live or paused room, as it stands when the tip is decided. Hosts cannot tip in their
// own room.
//
// # What is whose
//
// Tables: gift, wallet, topup, topup_notice, bean_lot, host_share, tip, tip_unannounced,
// tip_attempt, room_sender; room is read, dead_letter shared. Ledger requests: "tip". No Redis keys.
//
// Locks are taken in this order: attempts by (sender, key), or a top-up; then wallets by user. Rows
// of room_sender are only touched under their sender's wallet.
package gift
