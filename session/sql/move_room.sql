-- Moves a room along its lifecycle if its phase allows it. $1 room, $2 new phase, $3 cause to note,
-- $4 phases that it may be in, $5 the cause that it must have, '' for any. No row: it was not moved.
UPDATE room SET phase = $2, cause = $3, version = version + 1,
    started_at = CASE WHEN $2 = 'live' THEN coalesce(started_at, clock_timestamp()) ELSE started_at END,
    ended_at = CASE WHEN $2 = 'ended' THEN clock_timestamp() ELSE ended_at END
WHERE id = $1 AND phase = ANY($4) AND ($5 = '' OR cause = $5)
RETURNING id, title, phase, host_id, host_name, shop_id, playback_url, cover_url, anonymous, version,
    scheduled_at, started_at, ended_at
