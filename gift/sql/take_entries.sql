-- Takes a host's tips and reversals before a time that no settlement has taken, and returns how many of
-- each and the sum of the host's parts. The host's lock is held.
-- $1 settlement id, $2 host id, $3 until.
WITH open AS (
    SELECT id, host_beans AS beans, true AS is_tip FROM tip WHERE host_id = $2 AND at < $3
    UNION ALL
    SELECT id, -host_beans, false FROM tip_reversal WHERE host_id = $2 AND at < $3
), entry AS MATERIALIZED (
    SELECT * FROM open WHERE NOT EXISTS (SELECT FROM settlement_entry e WHERE e.entry_id = open.id)
), taken AS (
    INSERT INTO settlement_entry (entry_id, settlement_id) SELECT id, $1 FROM entry
)
SELECT count(*) FILTER (WHERE is_tip), count(*) FILTER (WHERE NOT is_tip), coalesce(sum(beans), 0)::bigint FROM entry
