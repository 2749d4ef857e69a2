-- A host's beans: earned, and settled.
-- $1 host id.
SELECT (SELECT coalesce(sum(host_beans), 0) FROM tip WHERE host_id = $1)::bigint
     - (SELECT coalesce(sum(host_beans), 0) FROM tip_reversal WHERE host_id = $1)::bigint,
       (SELECT coalesce(sum(beans), 0) FROM settlement WHERE host_id = $1)::bigint
