-- An entry that is no tip or reversal of the settlement's host before its time, or taken twice; a
-- settlement whose counts or sum are not those of its entries; or a tip or reversal that no settlement took
-- and none will, so much older is it than the end of one.
WITH leg AS (
    SELECT id, host_id, at, host_beans AS beans, true AS is_tip FROM tip
    UNION ALL
    SELECT id, host_id, at, -host_beans, false FROM tip_reversal
), entry AS (
    SELECT e.entry_id, e.settlement_id, l.host_id, l.at, l.beans, l.is_tip
    FROM settlement_entry e LEFT JOIN leg l ON l.id = e.entry_id
)
SELECT e.settlement_id, e.entry_id, e.beans AS entry_beans, s.earned FROM entry e LEFT JOIN settlement s ON s.id = e.settlement_id
WHERE s.id IS NULL OR e.host_id IS DISTINCT FROM s.host_id OR e.at >= s.until
UNION ALL
SELECT min(settlement_id), entry_id, count(*), NULL FROM settlement_entry GROUP BY entry_id HAVING count(*) > 1
UNION ALL
SELECT s.id, NULL, sum(e.beans), s.earned FROM settlement s LEFT JOIN entry e ON e.settlement_id = s.id
GROUP BY s.id
HAVING s.earned IS DISTINCT FROM sum(e.beans)
    OR s.tips <> count(*) FILTER (WHERE e.is_tip) OR s.reversals <> count(*) FILTER (WHERE NOT e.is_tip)
UNION ALL
SELECT NULL, l.id, l.beans, NULL FROM leg l JOIN (SELECT host_id, max(until) AS until FROM settlement GROUP BY host_id) s USING (host_id)
WHERE l.at < s.until - interval '1 day' AND NOT EXISTS (SELECT FROM settlement_entry e WHERE e.entry_id = l.id)
