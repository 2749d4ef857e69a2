-- A host's beans: earned, and settled. What settlements took is in their sums; the rest is not older than
-- a day before the end of the latest.
-- $1 host id.
WITH period AS MATERIALIZED (
    SELECT coalesce(max(until) - interval '1 day', '-infinity') AS since, coalesce(sum(earned), 0) AS earned, coalesce(sum(beans), 0) AS paid
    FROM settlement WHERE host_id = $1
), open AS (
    SELECT id, host_beans AS beans FROM tip WHERE host_id = $1 AND at >= (SELECT since FROM period)
    UNION ALL
    SELECT id, -host_beans FROM tip_reversal WHERE host_id = $1 AND at >= (SELECT since FROM period)
)
SELECT (earned + (SELECT coalesce(sum(beans), 0) FROM open WHERE NOT EXISTS (SELECT FROM settlement_entry e WHERE e.entry_id = open.id)))::bigint,
       paid::bigint
FROM period
