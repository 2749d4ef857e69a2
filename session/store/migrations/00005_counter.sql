-- +goose Up
-- What each gateway counted in a room, as last saved: cumulative figures that only rise. A Redis
-- that lost them is filled from here; totals are the sums.
CREATE TABLE room_counter_part (
    room_id text NOT NULL REFERENCES room (id),
    -- One run of one gateway, as in the Redis hashes.
    part    text NOT NULL,
    visits  bigint NOT NULL,
    likes   bigint NOT NULL,
    PRIMARY KEY (room_id, part)
);

-- When everything that the end of a room brings about (the end of its sales) was done; a room that
-- ended without it is taken up again by the ledger role.
ALTER TABLE room ADD COLUMN closed_at timestamptz;
CREATE INDEX room_unclosed ON room (id) WHERE phase = 'ended' AND closed_at IS NULL;
