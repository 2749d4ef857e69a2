// Package sandbox is a payment provider to try out and to test with: a server of its own that plays the
// payer's bank, and the client that makes it a [cart.Provider]. No money moves.
//
// It is a peer, not a part: it keeps its own books in a journal file, which a restart reads again, and
// it misbehaves on demand, as providers do without being asked. What it is told to do stands in
// [Behaviour].
//
// # Calls
//
// All are POST with a JSON body but the last, and signed as Standard Webhooks with the shared secret;
// the body's type must be that of the path, as the signature does not cover paths. A time more than
// five minutes off is refused. Every call may be sent again.
//
//	POST /sandbox/payments        payment.create  {payment_id, amount, currency, description, expires_at_ms} → {url}
//	POST /sandbox/payments/query  payment.query   {payment_id} → {state, receipts, refunds, notices}
//	POST /sandbox/payments/close  payment.close   {payment_id} → {state}
//	POST /sandbox/refunds         refund.create   {refund_id, payment_id, amount, currency} → {state}
//	PUT  /sandbox/behaviour       behaviour.put   {payment_id, behaviour}; without payment_id for all that have none
//
// A refusal is {"error": "<word>", "message"}: forged 401, malformed 400, not_found 404, conflict 409
// (the id with other arguments), paid and closed 409, refused 422 (amounts, currencies, more than was
// paid), unavailable 503 (on demand).
//
// # Payers
//
// GET /sandbox/pay shows the page with the buttons Pay and Decline, POST pays unless its form says
// action=decline. With "Accept: application/json" the answer is {"outcome", "payment_id", "event_id"},
// for programs. The page's address may carry return=<address at the shop> to lead back to.
//
// # Notices
//
// A payment is in the journal, on disk, before its payer is told. Then its notice is sent, signed, until
// it is answered with 2xx, on the schedule of WeChat Pay: see [Schedule]. The answer to the payer waits
// for the first sending, so that a shop that is there knows of the payment by then.
package sandbox
