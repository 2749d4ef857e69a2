// Package gift owns the gift catalogue, viewers' beans, tips with their combos, the ranking of a
// room's senders, and what hosts are paid for tips.
//
// # Promises
//
// A tip that was answered with a GiftSent is committed in Postgres. The request_id is its
// idempotency key, per sender, for at least 24 hours: the same request gets the same answer and is
// booked once, another request under the same key gets idempotency_conflict. Refusals of the
// ledger are recorded like bookings, so a tip that was refused is never booked by a late copy of
// the same request: insufficient_beans, unknown_gift, room_not_found, room_not_live, forbidden and
// confirmation_required are final, and sending again needs a new request_id. busy, try_again and pending are not
// outcomes: ask again under the same key.
//
// Beans are integers and a unit of their own, never money. A tip takes beans from the sender's
// wallet and gives them to two legs: the host's share, rounded down, and the fee, the rest. Lots
// put beans into wallets and remember the money they came for. The only balances kept as rows are
// viewers' wallets; what was issued and what hosts and the platform earned are sums over bean_lot,
// tip and their opposites, and issued − refunded = wallets + hosts + fees, always ([Invariants]).
// Rows of lots, tips, refunds, reversals and settlements never change.
//
// The host's share is the host's own (host_share), else what the tip_ppm of the room's shop leaves
// (fee_policy, of package cart) as it is in force when the tip is decided, else half.
//
// # Agreeing to big gifts
//
// From Config.ConfirmBeans on, a gift_send must carry the beans that it costs in confirmed_beans, or
// it is confirmation_required, whose message names them. Given, they must be the price at the
// decision, whatever the size: nobody pays a price that changed unseen. Only the ledger decides it,
// and its answer is recorded: a gateway with an older catalogue would otherwise refuse a copy of what
// is booked, and a late copy of an unconfirmed gift could be booked beside the confirmed one when the
// price falls. It guards against one careless touch, not against spending much: many small gifts, or a
// combo of them, need no agreement however many beans they add up to. The balance is the limit.
//
// # A tip's way
//
//	Gifts.Send ─► dispatcher: sent at once if no envelope is under way; while one is, others gather (≤ 200)
//	           ─► NATS request "tip" to one ledger worker, asked again after 1 s under the same keys;
//	              after 100 ms without an answer others go on, in at most 8 envelopes, but none of
//	              a sender who has one under way
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
// # Beans and money that go back
//
// A wallet's oldest beans are spent first. So what is left of its lots is told by its balance alone:
// it is the newest beans that were not refunded ([Gifts.Lots]), and tips need not remember lots. A
// refund of a lot takes unspent beans out of the wallet, and the provider is asked for their money by
// the ledger, with full jitter, under the refund's id until it is done. Refunds of a lot add up to
// floor(price × beans ÷ lot): to the whole price once all of it has gone back. Grants are worth no
// money. Beans that a tip spent go back by a reversal of the tip first. Refunds and reversals are for
// operators, as elsewhere in the field: support decides, and a user cannot turn beans into money.
//
// Money that a provider took and that bought nothing, because it came twice or in another amount, goes
// back the same way. The ledger asks the provider about top-ups whose notice does not come, from 15 s
// on, and makes the notice good; a notice that comes later is the same event.
//
// # Settlements
//
// A reversal takes a tip's beans from its host, also when they have been settled. A host's balance is
// tips − reversals − settlements, in beans; below zero it is a debt. [Gifts.Settle] takes every tip
// and reversal before a time that none took before, pays the debt first and the rest out at floor(beans
// × 100 ÷ 7) fen, once for all of them; the sevenths of a fen that rounding leaves are kept with it
// and are the platform's. No tip appears before the end of a settlement once it is made, see there; should
// the database's clock step back, the next settlement looks a day back for what was dated too early, so
// that none reads more of a host's past than that.
//
// # Statement
//
// [StatementFigures] are the tips' part of a room's statement, each a query of its own in sql/statement;
// [StatementBalances] say which sums must be equal. By host, in beans:
//
//	tip_beans      = reversed_beans + host_share + platform_share
//	tip_beans      = wallet_debits, what left the senders' wallets
//	reversed_beans = wallet_credits, what came back to them
//
// tips, tips_reversed and tips_confirmed are counts; tip_host_beans and tip_fee_beans the legs of tips,
// reversed_tip_beans the beans of those tips that have a reversal.
//
// # What is whose
//
// Tables: gift, wallet, topup, topup_notice, topup_refund, bean_lot, lot_refund, host_share, tip,
// tip_reversal, tip_unannounced, tip_attempt, room_sender, settlement, settlement_entry; room and
// fee_policy are read, dead_letter shared. Ledger requests: "tip". No Redis keys.
//
// Locks are taken in this order: a host (advisory, shared by reversals, alone by settlements); attempts by
// (sender, key), or a top-up; then wallets by user. Rows of room_sender are only touched under their sender's wallet.
package gift
