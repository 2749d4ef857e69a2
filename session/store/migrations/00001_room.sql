-- +goose Up
-- A room and the number of its newest numbered event. Whoever changes numbered state raises seq in
-- the same transaction, as its last lock.
CREATE TABLE room (
    id           text PRIMARY KEY,
    title        text NOT NULL,
    phase        text NOT NULL DEFAULT 'scheduled' CHECK (phase IN ('scheduled', 'live', 'paused', 'ended')),
    host_id      text NOT NULL,
    host_name    text NOT NULL,
    shop_id      text NOT NULL DEFAULT '',
    playback_url text NOT NULL DEFAULT '',
    cover_url    text NOT NULL DEFAULT '',
    anonymous    boolean NOT NULL DEFAULT false,
    version      bigint NOT NULL DEFAULT 1,
    seq          bigint NOT NULL DEFAULT 0,
    scheduled_at timestamptz,
    started_at   timestamptz,
    ended_at     timestamptz,
    -- Why it is paused: '' by a person, 'host_gone' by the watch, which may resume it.
    cause        text NOT NULL DEFAULT '',
    created_at   timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX room_open ON room (id) WHERE phase IN ('live', 'paused');

-- Numbered events, kept for resuming clients: 24 h or 10,000 a room.
CREATE TABLE room_event (
    room_id text NOT NULL REFERENCES room (id),
    seq     bigint NOT NULL,
    payload bytea NOT NULL,
    at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (room_id, seq)
);
CREATE INDEX room_event_at ON room_event (at);

-- Totals as last saved; Redis counts between two saves.
CREATE TABLE room_counter (
    room_id            text PRIMARY KEY REFERENCES room (id),
    peak               bigint NOT NULL DEFAULT 0,
    visits             bigint NOT NULL DEFAULT 0,
    unique_viewers     bigint NOT NULL DEFAULT 0,
    unique_lower_bound boolean NOT NULL DEFAULT false,
    likes              bigint NOT NULL DEFAULT 0,
    saved_at           timestamptz NOT NULL DEFAULT now()
);
