-- Each tip's combo_count is the combo's gifts up to it; a tip without a combo counts itself.
SELECT id, combo_id, combo_count, expected FROM (
    SELECT id, combo_id, combo_count,
           CASE WHEN combo_id = '' THEN count
                ELSE sum(count) OVER (PARTITION BY sender_id, room_id, gift_id, combo_id ORDER BY version) END AS expected
    FROM tip
) AS c
WHERE combo_count <> expected
