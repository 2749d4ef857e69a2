-- A user's lots, tips, reversals and refunds in the order of the wallet's versions: versions 1, 2, 3 …, each with the
-- balance so far, the last one with the wallet's own.
WITH entry AS (
    SELECT user_id, version, beans AS delta, balance FROM bean_lot
    UNION ALL
    SELECT sender_id, version, -beans, balance FROM tip
    UNION ALL
    SELECT sender_id, version, beans, balance FROM tip_reversal
    UNION ALL
    SELECT user_id, version, -beans, balance FROM lot_refund
), history AS (
    SELECT user_id, version, balance,
           row_number() OVER w AS n,
           sum(delta) OVER w AS running,
           count(*) OVER (PARTITION BY user_id) AS entries
    FROM entry WINDOW w AS (PARTITION BY user_id ORDER BY version)
)
SELECT user_id, h.version, h.n, h.balance, h.running, w.version AS wallet_version, w.balance AS wallet_balance
FROM history h FULL JOIN wallet w USING (user_id)
WHERE (h.n IS NULL AND (w.version <> 0 OR w.balance <> 0))
   OR (h.n IS NOT NULL AND (h.version <> h.n OR h.balance <> h.running OR w.version IS DISTINCT FROM h.entries
        OR (h.n = h.entries AND w.balance IS DISTINCT FROM h.running)))
