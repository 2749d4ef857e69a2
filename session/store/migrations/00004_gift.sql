-- +goose Up
CREATE TABLE gift (
    id         text PRIMARY KEY,
    -- Name by BCP 47 language tag.
    names      jsonb NOT NULL,
    -- Price of one.
    beans      bigint NOT NULL CHECK (beans BETWEEN 1 AND 1000000),
    tier       integer NOT NULL CHECK (tier BETWEEN 1 AND 3),
    icon_url   text NOT NULL DEFAULT '',
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- The beans that a viewer can spend. Accounts of hosts and of the platform are no rows but sums over tip.
CREATE TABLE wallet (
    user_id text PRIMARY KEY,
    balance bigint NOT NULL DEFAULT 0 CONSTRAINT wallet_never_negative CHECK (balance >= 0),
    -- Rises by one with each lot and each tip.
    version bigint NOT NULL DEFAULT 0 CHECK (version >= 0)
);

-- A purchase of beans, from the request on.
CREATE TABLE topup (
    id         text PRIMARY KEY,
    user_id    text NOT NULL,
    key        text NOT NULL,
    beans      bigint NOT NULL CHECK (beans > 0),
    amount     bigint NOT NULL CHECK (amount > 0),
    currency   text NOT NULL,
    url        text NOT NULL DEFAULT '',
    state      text NOT NULL DEFAULT 'awaiting_payment' CHECK (state IN ('awaiting_payment', 'paid')),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz NOT NULL,
    paid_at    timestamptz,
    UNIQUE (user_id, key),
    CHECK ((state = 'paid') = (paid_at IS NOT NULL))
);

-- Notices of payment providers about top-ups: the same event twice is one row.
CREATE TABLE topup_notice (
    provider    text NOT NULL,
    event_id    text NOT NULL,
    topup_id    text NOT NULL,
    amount      bigint NOT NULL,
    currency    text NOT NULL,
    result      text NOT NULL CHECK (result IN ('accepted', 'duplicate', 'amount_mismatch', 'unmatched')),
    received_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (provider, event_id)
);
CREATE UNIQUE INDEX topup_notice_one_accepted ON topup_notice (topup_id) WHERE result = 'accepted';

-- Beans that came into a wallet, and the money that they came for.
CREATE TABLE bean_lot (
    id       text PRIMARY KEY,
    user_id  text NOT NULL,
    kind     text NOT NULL CHECK (kind IN ('topup', 'grant')),
    -- The top-up's id, or the grant's idempotency key.
    key      text NOT NULL,
    beans    bigint NOT NULL CHECK (beans > 0),
    amount   bigint NOT NULL CHECK (amount >= 0),
    currency text NOT NULL,
    -- The wallet after it.
    balance  bigint NOT NULL,
    version  bigint NOT NULL,
    at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    UNIQUE (user_id, kind, key),
    UNIQUE (user_id, version),
    CHECK ((kind = 'grant') = (amount = 0))
);

-- What a host keeps of the beans sent to them, in parts per million; 500000 for hosts without a row.
CREATE TABLE host_share (
    host_id text PRIMARY KEY,
    ppm     bigint NOT NULL CHECK (ppm BETWEEN 0 AND 1000000)
);

-- One gift_send that was booked; never changed afterwards. The sender's wallet is debited with
-- beans, of which host_beans are the host's and fee_beans the platform's. No foreign key leads to
-- room: it would lock the busiest row of the database in each booking.
CREATE TABLE tip (
    id          text PRIMARY KEY,
    room_id     text NOT NULL,
    host_id     text NOT NULL,
    sender_id   text NOT NULL,
    sender_name text NOT NULL,
    sender_role integer NOT NULL,
    gift_id     text NOT NULL,
    tier        integer NOT NULL,
    count       bigint NOT NULL CHECK (count BETWEEN 1 AND 999),
    -- Beans for one.
    price       bigint NOT NULL CHECK (price > 0),
    beans       bigint NOT NULL,
    host_ppm    bigint NOT NULL CHECK (host_ppm BETWEEN 0 AND 1000000),
    host_beans  bigint NOT NULL CHECK (host_beans >= 0),
    fee_beans   bigint NOT NULL CHECK (fee_beans >= 0),
    combo_id    text NOT NULL DEFAULT '',
    -- The combo's gifts so far, this tip's included.
    combo_count bigint NOT NULL,
    -- The sender's wallet after it.
    balance     bigint NOT NULL CHECK (balance >= 0),
    version     bigint NOT NULL,
    at          timestamptz NOT NULL,
    UNIQUE (sender_id, version),
    CONSTRAINT tip_beans CHECK (beans = price * count),
    CONSTRAINT tip_legs CHECK (host_beans + fee_beans = beans),
    CONSTRAINT tip_combo CHECK (combo_count >= count)
);
CREATE UNIQUE INDEX tip_combo_count ON tip (sender_id, room_id, gift_id, combo_id, combo_count) WHERE combo_id <> '';

-- Tips that the room may not have heard of yet; a row goes when its tip is announced.
CREATE TABLE tip_unannounced (
    tip_id text PRIMARY KEY,
    at     timestamptz NOT NULL
);
CREATE INDEX tip_unannounced_at ON tip_unannounced (at);

-- The recorded outcome of a gift_send under its key, final once committed.
CREATE TABLE tip_attempt (
    sender_id text NOT NULL,
    key       text NOT NULL,
    hash      bytea NOT NULL,
    outcome   text NOT NULL DEFAULT 'booked' CHECK (outcome IN
        ('booked', 'insufficient_beans', 'unknown_gift', 'room_not_found', 'room_not_live', 'forbidden', 'rejected')),
    tip_id    text,
    at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (sender_id, key),
    CHECK ((outcome = 'booked') = (tip_id IS NOT NULL))
);
CREATE INDEX tip_attempt_refused ON tip_attempt (at) WHERE outcome <> 'booked';

-- What each sender has sent in a room: sums over tip, kept beside it so that a ranking reads its
-- first rows only.
CREATE TABLE room_sender (
    room_id     text NOT NULL,
    sender_id   text NOT NULL,
    sender_name text NOT NULL,
    sender_role integer NOT NULL,
    beans       bigint NOT NULL,
    tips        bigint NOT NULL,
    PRIMARY KEY (room_id, sender_id)
);
CREATE INDEX room_sender_ranking ON room_sender (room_id, beans DESC, sender_id);
