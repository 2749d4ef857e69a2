-- +goose Up
-- A room's chat. Its row is locked by whoever changes anything of the chat; version rises with each
-- such change, so that gateways see with one look whether what they remember still holds.
CREATE TABLE chat_room (
    room_id       text PRIMARY KEY REFERENCES room (id),
    version       bigint NOT NULL DEFAULT 1,
    closed        boolean NOT NULL DEFAULT false,
    slow_mode_ms  bigint NOT NULL DEFAULT 0 CHECK (slow_mode_ms BETWEEN 0 AND 3600000),
    blocked_terms text[] NOT NULL DEFAULT '{}',
    -- The pinned comment's id and the event that pinned it (livecart.v1.ChatPinned), both or neither.
    pinned_id     text,
    pinned        bytea,
    CHECK ((pinned_id IS NULL) = (pinned IS NULL))
);

-- Comments that were taken back, and who did it. The comments themselves live in Redis only;
-- author and text are empty where it no longer had them.
CREATE TABLE chat_deletion (
    room_id    text NOT NULL REFERENCES room (id),
    message_id text NOT NULL,
    author_id  text NOT NULL DEFAULT '',
    body       text NOT NULL DEFAULT '',
    by_id      text NOT NULL,
    at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (room_id, message_id)
);

-- Mutes and bans of a room; a lifted one is deleted, an expired one stays until it is replaced.
CREATE TABLE chat_sanction (
    room_id text NOT NULL REFERENCES room (id),
    user_id text NOT NULL,
    kind    text NOT NULL CHECK (kind IN ('mute', 'ban')),
    -- NULL: for good.
    until   timestamptz,
    by_id   text NOT NULL,
    note    text NOT NULL DEFAULT '',
    at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (room_id, user_id, kind)
);
