-- Paid ⇔ one accepted notice of the right amount ⇔ one lot of the right beans and money.
SELECT coalesce(t.id, l.key) AS topup_id, t.state, n.event_id, l.id AS lot_id
FROM topup t
FULL JOIN (SELECT * FROM bean_lot WHERE kind = 'topup') l ON l.key = t.id
LEFT JOIN topup_notice n ON n.topup_id = t.id AND n.result = 'accepted'
WHERE t.id IS NULL
   OR (t.state = 'paid') <> (l.id IS NOT NULL)
   OR (t.state = 'paid') <> (n.event_id IS NOT NULL)
   OR (l.id IS NOT NULL AND (l.user_id, l.beans, l.amount, l.currency) IS DISTINCT FROM (t.user_id, t.beans, t.amount, t.currency))
   OR (n.event_id IS NOT NULL AND (n.amount, n.currency) IS DISTINCT FROM (t.amount, t.currency))
