package cart

import "livecart/session/store"

// paymentInvariants are what always holds of money that came and goes back, and of the outbox.
var paymentInvariants = []store.Invariant{{
	Name: "stray_money_owed_once",
	Doc:  "Money that paid nothing is owed back by exactly one refund, of its notice's amount, currency and payment, and no other refund is for a notice.",
	SQL: `SELECT coalesce(n.provider, r.provider) AS provider, coalesce(n.event_id, r.event_id) AS event_id, n.result, n.amount, r.id AS refund_id, r.amount AS owed
		FROM (SELECT * FROM payment_notice WHERE result IN ('amount_mismatch', 'late', 'refund_due', 'paid_again')) n
		FULL JOIN (SELECT * FROM refund WHERE kind = 'payment') r ON r.provider = n.provider AND r.event_id = n.event_id
		WHERE n.event_id IS NULL OR r.event_id IS NULL OR n.amount <> r.amount OR n.currency <> r.currency OR n.payment_id <> r.payment_id`,
}, {
	Name: "payment_refund_state",
	Doc:  "A payment is refund_due while money that paid nothing is due back for it, and refunded once all of it has gone; an accepted one stays accepted.",
	SQL: `SELECT p.id AS payment_id, p.state, count(r.id) AS refunds, count(r.id) FILTER (WHERE r.state = 'due') AS due
		FROM payment p LEFT JOIN refund r ON r.payment_id = p.id AND r.kind = 'payment'
		GROUP BY p.id
		HAVING p.state = 'refund_due' AND count(r.id) FILTER (WHERE r.state = 'due') = 0
		    OR p.state = 'refunded' AND (count(r.id) = 0 OR count(r.id) FILTER (WHERE r.state = 'due') > 0)
		    OR p.state IN ('requested', 'void') AND count(r.id) > 0`,
}, {
	Name: "refund_within_received",
	Doc:  "Of no payment more goes back than notices said was received, in each currency.",
	SQL: `SELECT r.payment_id, r.currency, r.amount AS back, coalesce(n.amount, 0) AS received
		FROM (SELECT payment_id, provider, currency, sum(amount) AS amount FROM refund GROUP BY payment_id, provider, currency) r
		LEFT JOIN (
			SELECT payment_id, provider, currency, sum(amount) AS amount FROM payment_notice
			WHERE result IN ('accepted', 'amount_mismatch', 'late', 'refund_due', 'paid_again') GROUP BY payment_id, provider, currency
		) n ON n.payment_id = r.payment_id AND n.provider = r.provider AND n.currency = r.currency
		WHERE r.amount > coalesce(n.amount, 0)`,
}, {
	Name: "outbox_gapless",
	Doc:  "A webhook that was told, or is still to be told, of one move of an order has every later move of it in the outbox.",
	SQL: `SELECT d.shop_id, d.webhook_id, e.order_id, e.n
		FROM webhook w
		JOIN webhook_delivery d ON d.shop_id = w.shop_id AND d.webhook_id = w.id AND d.created_at >= w.since
		JOIN order_event e ON e.order_id = d.order_id AND e.n = d.n + 1
		WHERE w.disabled_at IS NULL AND NOT EXISTS (
			SELECT FROM webhook_delivery x WHERE x.shop_id = d.shop_id AND x.webhook_id = d.webhook_id AND x.order_id = e.order_id AND x.n = e.n)`,
}}
