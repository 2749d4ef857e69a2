-- +goose Up
-- When the provider is asked next what became of a payment, NULL for never again.
ALTER TABLE payment ADD COLUMN query_at timestamptz DEFAULT clock_timestamp() + interval '10 seconds';
CREATE INDEX payment_query ON payment (query_at) WHERE query_at IS NOT NULL AND state IN ('requested', 'void');

-- The provider's id of the money that moved, '' where it names none: two events of one payment that
-- name two of them tell of money received twice.
ALTER TABLE payment_notice ADD COLUMN transaction_id text NOT NULL DEFAULT '';
CREATE INDEX payment_notice_payment ON payment_notice (payment_id);

-- An address of a shop that is told of its orders' moves.
CREATE TABLE webhook (
    shop_id    text NOT NULL REFERENCES shop (id),
    id         text NOT NULL,
    url        text NOT NULL,
    -- whsec_ and base64: what is sent there is signed with it.
    secret     text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- Since when every event goes there: when it was made or last turned on again.
    since      timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- When it was turned off, as it answered 410.
    disabled_at timestamptz,
    PRIMARY KEY (shop_id, id)
);

-- The outbox: one row for each event and address, written with the event. It has no foreign key to
-- webhook: deleting one must never make an order fail that is being written.
CREATE TABLE webhook_delivery (
    shop_id    text NOT NULL,
    webhook_id text NOT NULL,
    order_id   text NOT NULL,
    n          bigint NOT NULL,
    state      text NOT NULL DEFAULT 'due' CHECK (state IN ('due', 'taken', 'given_up')),
    -- How often it was sent, when it is sent next, and what was answered last.
    tries      integer NOT NULL DEFAULT 0,
    next_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    last_error text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    done_at    timestamptz,
    PRIMARY KEY (shop_id, webhook_id, order_id, n),
    FOREIGN KEY (order_id, n) REFERENCES order_event (order_id, n),
    CHECK ((state = 'due') = (done_at IS NULL))
);
CREATE INDEX webhook_delivery_due ON webhook_delivery (next_at) WHERE state = 'due';
CREATE INDEX webhook_delivery_done ON webhook_delivery (done_at) WHERE done_at IS NOT NULL;
CREATE INDEX webhook_delivery_order ON webhook_delivery (order_id, n);
