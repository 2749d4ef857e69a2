-- +goose Up
-- Open top-ups are asked about at the provider: how often so far and when next, NULL for never again.
ALTER TABLE topup ADD COLUMN asked integer NOT NULL DEFAULT 0;
ALTER TABLE topup ADD COLUMN ask_at timestamptz DEFAULT clock_timestamp();
UPDATE topup SET ask_at = NULL WHERE state = 'paid';
CREATE INDEX topup_ask ON topup (ask_at) WHERE state = 'awaiting_payment' AND ask_at IS NOT NULL;

-- Beans that left a wallet because money of their lot goes back; never changed afterwards. All refunds
-- of a lot together are of floor(amount × beans ÷ the lot's beans), so the last one makes the price whole.
CREATE TABLE lot_refund (
    id      text PRIMARY KEY,
    lot_id  text NOT NULL REFERENCES bean_lot (id),
    user_id text NOT NULL,
    beans   bigint NOT NULL CHECK (beans > 0),
    -- In minor units of the lot's currency.
    amount  bigint NOT NULL CHECK (amount > 0),
    -- Who asked, under which key, and for how many beans, 0 for all that were left.
    by_id   text NOT NULL,
    key     text NOT NULL,
    asked   bigint NOT NULL CHECK (asked >= 0),
    -- The wallet after it.
    balance bigint NOT NULL CHECK (balance >= 0),
    version bigint NOT NULL,
    at      timestamptz NOT NULL,
    UNIQUE (user_id, version),
    CONSTRAINT lot_refund_key UNIQUE (by_id, key)
);
CREATE INDEX lot_refund_lot ON lot_refund (lot_id);

-- Money of top-ups that goes back through the provider; the id is the provider's idempotency key.
CREATE TABLE topup_refund (
    id         text PRIMARY KEY,
    topup_id   text NOT NULL REFERENCES topup (id),
    -- 'lot': the lot_refund of the same id. 'payment': money that bought nothing (a second time, another
    -- amount); event_id is the notice that told of it.
    kind       text NOT NULL CHECK (kind IN ('lot', 'payment')),
    provider   text NOT NULL,
    event_id   text,
    amount     bigint NOT NULL CHECK (amount > 0),
    currency   text NOT NULL,
    state      text NOT NULL DEFAULT 'due' CHECK (state IN ('due', 'done')),
    -- How often the provider was asked, when it is asked next, and what it last said.
    tries      integer NOT NULL DEFAULT 0,
    next_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    last_error text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    done_at    timestamptz,
    CHECK ((kind = 'payment') = (event_id IS NOT NULL)),
    CHECK ((state = 'done') = (done_at IS NOT NULL))
);
CREATE INDEX topup_refund_topup ON topup_refund (topup_id);
CREATE INDEX topup_refund_due ON topup_refund (next_at) WHERE state = 'due';
CREATE UNIQUE INDEX topup_refund_of_notice ON topup_refund (provider, event_id) WHERE event_id IS NOT NULL;
INSERT INTO topup_refund (id, topup_id, kind, provider, event_id, amount, currency)
SELECT 'brf_' || md5(provider || ' ' || event_id), topup_id, 'payment', provider, event_id, amount, currency
FROM topup_notice WHERE result IN ('duplicate', 'amount_mismatch') AND amount > 0;

-- The opposite of a tip: the sender has the beans back, host and platform give up their legs. Never
-- changed afterwards, and at most one for each tip.
CREATE TABLE tip_reversal (
    id         text PRIMARY KEY,
    tip_id     text NOT NULL CONSTRAINT tip_reversal_once UNIQUE REFERENCES tip (id),
    room_id    text NOT NULL,
    host_id    text NOT NULL,
    sender_id  text NOT NULL,
    beans      bigint NOT NULL CHECK (beans > 0),
    host_beans bigint NOT NULL CHECK (host_beans >= 0),
    fee_beans  bigint NOT NULL CHECK (fee_beans >= 0),
    reason     text NOT NULL,
    by_id      text NOT NULL,
    key        text NOT NULL,
    -- The sender's wallet after it.
    balance    bigint NOT NULL CHECK (balance >= 0),
    version    bigint NOT NULL,
    at         timestamptz NOT NULL,
    UNIQUE (sender_id, version),
    CONSTRAINT tip_reversal_key UNIQUE (by_id, key),
    CONSTRAINT tip_reversal_legs CHECK (host_beans + fee_beans = beans)
);
CREATE INDEX tip_reversal_host ON tip_reversal (host_id, at);
CREATE INDEX tip_reversal_room ON tip_reversal (room_id);
CREATE INDEX tip_host ON tip (host_id, at);

-- What a host was paid for a period; never changed afterwards. A host's balance is the legs of tips less
-- those of reversals less the beans of settlements; below zero it is a debt, which the next one pays
-- first.
CREATE TABLE settlement (
    id          text PRIMARY KEY,
    host_id     text NOT NULL,
    -- Counts the host's settlements from 1.
    n           bigint NOT NULL CHECK (n > 0),
    -- Tips and reversals before this that no earlier settlement took.
    until       timestamptz NOT NULL,
    tips        bigint NOT NULL CHECK (tips >= 0),
    reversals   bigint NOT NULL CHECK (reversals >= 0),
    -- Their legs' sum; below zero where reversals prevail.
    earned      bigint NOT NULL,
    debt_before bigint NOT NULL CHECK (debt_before >= 0),
    beans       bigint NOT NULL CHECK (beans >= 0),
    debt_after  bigint NOT NULL CHECK (debt_after >= 0),
    -- The beans' money: beans × 100 = 7 × amount (fen) + rest (sevenths of a fen).
    amount      bigint NOT NULL CHECK (amount >= 0),
    rest        bigint NOT NULL CHECK (rest BETWEEN 0 AND 6),
    currency    text NOT NULL,
    -- Who asked, under which key, and until when, NULL for all.
    by_id       text NOT NULL,
    key         text NOT NULL,
    asked       timestamptz,
    at          timestamptz NOT NULL,
    UNIQUE (host_id, n),
    CONSTRAINT settlement_key UNIQUE (by_id, key),
    CONSTRAINT settlement_entries CHECK (tips + reversals > 0),
    CONSTRAINT settlement_debt_first CHECK (earned - debt_before = beans - debt_after AND (beans = 0 OR debt_after = 0)),
    CONSTRAINT settlement_money CHECK (beans * 100 = 7 * amount + rest)
);

-- The tips and reversals that settlements took, each at most once.
CREATE TABLE settlement_entry (
    -- The id of a tip or of a reversal.
    entry_id      text PRIMARY KEY,
    settlement_id text NOT NULL REFERENCES settlement (id) DEFERRABLE INITIALLY DEFERRED
);
CREATE INDEX settlement_entry_settlement ON settlement_entry (settlement_id);

-- The beans that a sender did not agree to.
ALTER TABLE tip_attempt ADD COLUMN beans bigint;
ALTER TABLE tip_attempt DROP CONSTRAINT tip_attempt_outcome_check;
ALTER TABLE tip_attempt ADD CONSTRAINT tip_attempt_outcome_check CHECK (outcome IN
    ('booked', 'insufficient_beans', 'unknown_gift', 'room_not_found', 'room_not_live', 'forbidden', 'rejected', 'confirmation_required'));
ALTER TABLE tip_attempt ADD CONSTRAINT tip_attempt_beans CHECK ((outcome = 'confirmation_required') = (beans IS NOT NULL));

-- What the platform keeps of a shop's sales and of the tips in its rooms, in parts per million, from a
-- time on until the shop's next row. A shop without one in force pays 0 and 500000.
CREATE TABLE fee_policy (
    shop_id  text NOT NULL REFERENCES shop (id),
    since    timestamptz NOT NULL,
    sale_ppm bigint NOT NULL CHECK (sale_ppm BETWEEN 0 AND 1000000),
    tip_ppm  bigint NOT NULL CHECK (tip_ppm BETWEEN 0 AND 1000000),
    set_by   text NOT NULL,
    at       timestamptz NOT NULL,
    PRIMARY KEY (shop_id, since),
    CONSTRAINT fee_policy_not_back_dated CHECK (since >= at)
);
