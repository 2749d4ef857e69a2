-- Money of kind 'lot' without its lot_refund of that top-up and amount, or the other way round; money of
-- kind 'payment' without a notice that credited nothing, or the other way round.
SELECT coalesce(m.id, r.id) AS refund_id, m.topup_id, l.key AS lot_topup_id, m.amount, r.amount AS lot_amount
FROM (SELECT * FROM topup_refund WHERE kind = 'lot') m
FULL JOIN lot_refund r ON r.id = m.id
LEFT JOIN bean_lot l ON l.id = r.lot_id
WHERE m.id IS NULL OR r.id IS NULL OR (m.topup_id, m.amount, m.currency) IS DISTINCT FROM (l.key, r.amount, l.currency)
UNION ALL
SELECT coalesce(m.id, n.event_id), m.topup_id, n.topup_id, m.amount, n.amount
FROM (SELECT * FROM topup_refund WHERE kind = 'payment') m
FULL JOIN (SELECT * FROM topup_notice WHERE result IN ('duplicate', 'amount_mismatch') AND amount > 0) n
    ON n.provider = m.provider AND n.event_id = m.event_id
WHERE m.id IS NULL OR n.event_id IS NULL OR (m.topup_id, m.amount, m.currency) IS DISTINCT FROM (n.topup_id, n.amount, n.currency)
UNION ALL
SELECT min(id), min(topup_id), NULL, sum(amount), NULL FROM topup_refund
WHERE kind = 'payment' GROUP BY provider, event_id HAVING count(*) > 1
