-- A settlement whose number or debt does not follow from the one before, that pays although it leaves a
-- debt, or whose money is not that of its beans; or a host whose tips less reversals less settlements
-- are not what is left unsettled less the debt.
WITH chain AS (
    SELECT *, row_number() OVER w AS place, coalesce(lag(debt_after) OVER w, 0) AS carried
    FROM settlement WINDOW w AS (PARTITION BY host_id ORDER BY n)
), leg AS (
    SELECT id, host_id, host_beans AS beans FROM tip
    UNION ALL
    SELECT id, host_id, -host_beans FROM tip_reversal
), host AS (
    SELECT l.host_id, sum(l.beans) AS earned, coalesce(sum(l.beans) FILTER (WHERE e.entry_id IS NULL), 0) AS unsettled
    FROM leg l LEFT JOIN settlement_entry e ON e.entry_id = l.id GROUP BY l.host_id
), paid AS (
    SELECT host_id, sum(beans) AS beans, (array_agg(debt_after ORDER BY n DESC))[1] AS debt FROM settlement GROUP BY host_id
)
SELECT host_id, id AS settlement_id, n, debt_before, debt_after, beans, amount FROM chain
WHERE n <> place OR debt_before <> carried OR earned - debt_before <> beans - debt_after
   OR (beans > 0 AND debt_after > 0) OR beans < 0 OR debt_after < 0
   OR amount <> floor(beans * 100 / 7) OR rest <> beans * 100 - 7 * amount
UNION ALL
SELECT host_id, NULL, NULL, unsettled, debt, earned, beans FROM host FULL JOIN paid p USING (host_id)
WHERE coalesce(earned, 0) - coalesce(p.beans, 0) <> coalesce(unsettled, 0) - coalesce(p.debt, 0)
