-- Takes a host's tips and reversals before a time that no settlement has taken, and returns how many of
-- each and the sum of the host's parts. The host's lock is held. What is more than a day older than the
-- end of an earlier settlement was taken: settlements are exact as long as the database's clock is.
-- $1 settlement id, $2 host id, $3 until.
WITH period AS MATERIALIZED (
    SELECT coalesce(max(until) - interval '1 day', '-infinity') AS since FROM settlement WHERE host_id = $2
), open AS (
    SELECT id, host_beans AS beans, true AS is_tip FROM tip WHERE host_id = $2 AND at >= (SELECT since FROM period) AND at < $3
    UNION ALL
    SELECT id, -host_beans, false FROM tip_reversal WHERE host_id = $2 AND at >= (SELECT since FROM period) AND at < $3
), entry AS MATERIALIZED (
    SELECT * FROM open WHERE NOT EXISTS (SELECT FROM settlement_entry e WHERE e.entry_id = open.id)
), taken AS (
    INSERT INTO settlement_entry (entry_id, settlement_id) SELECT id, $1 FROM entry
)
SELECT count(*) FILTER (WHERE is_tip), count(*) FILTER (WHERE NOT is_tip), coalesce(sum(beans), 0)::bigint FROM entry
