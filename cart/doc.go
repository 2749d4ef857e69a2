// Package cart sells: shops with products, the shelf of a room, the product on show, flash sales,
// ordinary orders, and payments.
//
// # Promises
//
// Postgres is the truth. Nothing is confirmed to a buyer before its commit, and no piece is sold
// twice: stock is checked after its rows are locked, in a later statement, and constraints of the
// schema stand behind that. A request_id of one buyer and command kind has one outcome however
// often it is sent. Amounts are int64 in minor units of the shop's one currency.
//
// Locks are taken in one order, each kind sorted: payment id (advisory), product, sale, sku,
// attempt key, order, refund, shelf and pop-up, and last the room row that numbers an event.
//
// # Stock
//
// A sku is one pool of pieces; a listing is a product's offer of a sku with a price. A flash sale
// moves its quantity out of the sku when it starts; what it did not sell returns when it closes:
//
//	sku.sold + sku.moved <= sku.stock
//	sku.sold  = pieces of ordinary orders that hold stock
//	sku.moved = quantity of open sales + sold of closed ones
//	sale.sold = pieces of the sale's orders that hold stock,  0 <= sale.sold <= sale.quantity
//
// A sku's shop may share it: another shop then lists it at its own price, and orders and sales of both
// take from the one pool; the stock stays the owner's to set, and one sale at a time is open of a sku
// whoever lists it. A listing whose share was taken back is off sale, and the owner's products of the sku
// leave the shelves of the other shop's rooms.
//
// A line holds quantity - restocked pieces. What returns to an open sale can be bought there again,
// what returns to a closed one goes back to the sku. Redis is not incremented: Resync counts anew.
//
// # Flash sales
//
// Redis filters, Postgres decides, the buyer is told after the commit. Nothing queues in between:
//
//	flash_buy ─► gateway: gathers what comes while a script call of the sale is in flight
//	          ─► reserve.lua: known keys first, then stock; sold out is the cheap path
//	          ─► one ledger worker, asked over NATS and asked again by key until it answers
//	          ─► one transaction: lock the sales, then read, decide, write (see booking)
//	          ─► reply; order_updated; settle.lua; flash_stock
//
// What is recorded under a key is final: ordered, sold_out, limit_per_buyer, sale_ended, void,
// rejected. The clock is the database's, read after the lock. Redis holds what is available, the
// reservations not decided yet, and the pieces of each buyer, and may lose them at any time: Resync
// counts them anew under the lock of the sale's row. It runs when a gateway misses them, after each
// return of stock, every few seconds while a sale is open, and when Redis is another. A reservation
// is given back only after Postgres decided against it; one that nobody resolves for 30 s in which
// the ledger answered is voided. Where no ledger answers a gateway for 2 s, it turns new attempts away
// (try_again), tells rooms by flash_stock{paused}, and sets livecart_degraded{part="ledger"}.
//
// # Orders
//
//	                  pay                ship            receive
//	awaiting_payment ─────► paid ──────────► shipped ──────────► completed
//	   │       │             ▲ │                │                    │
//	   │cancel │window over  │ └────────┬───────┴────────────────────┘
//	   ▼       ▼             │          ▼
//	cancelled  expired ──────┘     refund_due ─────► refunded
//	              │  late money         ▲
//	              └─────────────────────┘
//	                late money and no stock left
//
// Each move is one UPDATE that names the state it comes from, with a row of order_event, numbered
// without gaps, in the same transaction. The payment window of an ordinary order is 30 min, of a
// flash order 5 min. An order whose window is over keeps its pieces until the sweep of the ledger
// role takes them back, a second later at most while a worker runs; money that comes before that
// pays it as usual.
//
// One order_create may name listings of several shops: each shop gets an order of its own, all or none,
// under the one recorded attempt. The first order has the attempt, the others name it (split_from).
//
// A seller acts for the order's own shop; to others the order is not there. Its commands are done once
// a request_id, raise the order's version, and are told to the buyer:
//
//   - order_reprice lowers the amount of an order that awaits payment, above 0, at most 50 times. Each
//     makes a price version and voids the payments before: amount = sum of lines - discount.
//   - order_ship sends pieces out under a waybill, to a known address. The order is shipped when every
//     piece is out that is not refunded; a refund takes pieces first that are not. The buyer's
//     order_receive completes it, or the sweep 10 days later.
//   - order_refund gives money back by pieces, and takes the pieces back to the stock or not, which the
//     seller must say. After pieces worth g of the lines' sum t, floor(amount × g ÷ t) has gone back, so
//     the refunds of an order add up to its amount exactly. With no piece left the order is refund_due,
//     and refunded once the provider gave all of it. A refund that comes to 0 is done at once.
//
// # Payments
//
// A payment asks for an order's amount at one price version. Notices of the provider are signed
// (Standard Webhooks), stored once by (provider, event id) and acted on in the same transaction. A
// notice that comes before its payment is kept and acted on when the payment is made. Money that pays
// nothing (of another amount or currency, of an old price, for a cancelled order, with no stock left,
// a second time by the provider's transaction id) is owed back from the notice's commit on, by one
// row of refund. The ledger asks the provider ([Provider]) about payments that no notice came for until it
// answers, closes what must not be paid any more, and has refunds done under their own ids until they are. An
// accepted payment is asked about no more: money that comes for it a second time is known by its
// notice alone. Calls to the provider are made with no transaction open.
//
// # Webhooks
//
// Every move of an order is written to the outbox of the shop's webhooks in its own transaction and sent
// by a ledger worker, signed, at least once, on [RetrySchedule]. webhook-id is the order's id, "-" and
// the move's number. A move waits for the earlier ones of its order unless those were given up; moves
// of different orders come in any order. Changes that are no move (an address, a reprice) are not
// sent. Private addresses are refused when they are dialled, see Config.WebhookAllowPrivate.
//
// # Fees
//
// What the platform keeps of a shop's sales and of the tips in its rooms goes by dated policies
// (fee_policy). An order's is the one in force at its created_at: floor(net × sale_ppm ÷ 1,000,000)
// in minor units, nothing where there is none. No policy is set for the past, and none changes once
// it is in force. Package gift reads the tips' part.
//
// # Statement
//
// [StatementFigures] are the sales' part of a room's statement, each a query of its own in
// sql/statement; [StatementBalances] say which sums must be equal. By shop and currency:
//
//	gross_sales = discounts + unpaid_sales + paid_sales
//	paid_sales  = refunds + net_sales = refunds + platform_fees + shop_shares
//	received    = paid_sales + stray_money
//
// The two sides are read from different tables: gross_sales from the lines, paid_sales from the accepted
// payments, received from the providers' notices, refunds and stray_money from the refunds. The
// platform's fee of an order is its net (paid less refunded) times the shop's rate in force when the
// order was made, rounded down; the shop has the rest.
//
//	orders, orders_<state>, pieces, pieces_refunded   counts
//	gross_sales      orders at the prices of their lines, paid or not
//	discounts        what repricing took off; reprices: the same, step by step
//	unpaid_sales     orders that no payment was accepted for
//	paid_sales       accepted payments; paid_orders: the orders that became paid
//	refunds          what went back of those, refunds_due: not yet; refunded_lines: the same by line
//	net_sales        paid less refunded
//	platform_fees, shop_shares
//	received         money that providers told of
//	stray_money      money that paid nothing and goes back, stray_money_due: not yet
//
// # Speed
//
// A hot sale costs a transaction for up to 200 orders and a script call for up to 64 attempts. Its row
// stays locked from the reading to the commit, so two workers on one sale overlap only in what surrounds
// that. A sold-out answer leaves some 180 bytes in Redis until 25 h after the sale: 1,000 pieces asked for
// 500 times each leave 90 MB. A user may leave 5 a second and gateway, so 10,000 bots of an app's own users
// at one gateway leave 9 MB a second: what stops them is the app, or flash_stop. Redis must not evict
// (noeviction), or a key that was ordered may be told sold_out; once its memory is full, attempts get
// try_again. The answers go at once, so a Redis for large sales runs with lazyfree-lazy-expire,
// as dev and the compose file set it; without it a million of them stop it for some tenths of a second.
//
//	go test ./cart ./gift -run - -bench Ratio -benchtime 1x -count 3
//
// prints what batches gain, each figure against its alternative in the same run.
//
// # What it owns
//
// Tables: shop, fee_policy, sku, sku_share, product, listing, shelf, pop_up, sale, orders, order_line, order_event,
// order_reprice, shipment, shipment_line, refund, refund_line, attempt, request_key, payment, payment_notice,
// webhook, webhook_delivery, dead_letter.
//
// Redis keys: {f:<sale>}:* of the sales' admission, which may be lost at any time.
//
// NATS: serves livecart.ledger.flash; publishes numbered product_* and flash_* events of rooms,
// flash_stock, and private order_updated.
package cart
