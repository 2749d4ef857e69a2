-- +goose Up
-- Another shop may list a sku of the pool's own shop: one pool, several shops' listings.
CREATE TABLE sku_share (
    sku_id  text NOT NULL REFERENCES sku (id),
    shop_id text NOT NULL REFERENCES shop (id),
    at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (sku_id, shop_id)
);

-- amount is what the lines add up to less the discount; each reprice raises it and price_version.
ALTER TABLE orders ADD COLUMN discount bigint NOT NULL DEFAULT 0 CHECK (discount >= 0);
-- Of the orders that one order_create made for several shops, the first has the attempt; the others
-- name the first.
ALTER TABLE orders ADD COLUMN split_from text REFERENCES orders (id);
CREATE INDEX orders_split ON orders (split_from) WHERE split_from IS NOT NULL;
-- When everything that is not refunded was on its way; the buyer's time to receive begins then.
ALTER TABLE orders ADD COLUMN shipped_at timestamptz;
CREATE INDEX orders_shipped ON orders (shipped_at) WHERE state = 'shipped';

-- Every reprice of an order; n is the price_version that it made, less one.
CREATE TABLE order_reprice (
    order_id    text NOT NULL REFERENCES orders (id),
    n           bigint NOT NULL CHECK (n BETWEEN 1 AND 50),
    from_amount bigint NOT NULL,
    to_amount   bigint NOT NULL CHECK (to_amount > 0),
    by_id       text NOT NULL,
    at          timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (order_id, n),
    CONSTRAINT order_reprice_down CHECK (to_amount < from_amount)
);

-- Pieces of an order that went out together under one waybill.
CREATE TABLE shipment (
    id       text PRIMARY KEY,
    order_id text NOT NULL REFERENCES orders (id),
    carrier  text NOT NULL,
    waybill  text NOT NULL,
    by_id    text NOT NULL,
    at       timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX shipment_order ON shipment (order_id);

CREATE TABLE shipment_line (
    shipment_id text NOT NULL REFERENCES shipment (id),
    n           integer NOT NULL,
    quantity    integer NOT NULL CHECK (quantity > 0),
    PRIMARY KEY (shipment_id, n)
);

-- Money that goes back to a buyer through the provider; the id is the provider's idempotency key.
CREATE TABLE refund (
    id           text PRIMARY KEY,
    order_id     text NOT NULL REFERENCES orders (id),
    payment_id   text NOT NULL REFERENCES payment (id),
    -- 'order': some of what an accepted payment paid. 'payment': money that paid nothing (late, a second
    -- time, another amount); event_id is the notice that told of it.
    kind         text NOT NULL CHECK (kind IN ('order', 'payment')),
    provider     text NOT NULL,
    event_id     text,
    -- 0 where a discounted order's pieces are worth less than a minor unit: nothing to ask the provider for.
    amount       bigint NOT NULL CHECK (amount >= 0),
    currency     text NOT NULL,
    -- Whether a refund of kind 'order' took its pieces back to the stock.
    restock      boolean NOT NULL DEFAULT false,
    reason       text NOT NULL DEFAULT '',
    requested_by text NOT NULL DEFAULT '',
    request_id   text NOT NULL DEFAULT '',
    state        text NOT NULL DEFAULT 'due' CHECK (state IN ('due', 'done')),
    -- How often the provider was asked, when it is asked next, and what it last said.
    tries        integer NOT NULL DEFAULT 0,
    next_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    last_error   text NOT NULL DEFAULT '',
    created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    done_at      timestamptz,
    CHECK ((kind = 'payment') = (event_id IS NOT NULL)),
    CHECK ((state = 'done') = (done_at IS NOT NULL)),
    CHECK (amount > 0 OR state = 'done')
);
CREATE INDEX refund_order ON refund (order_id);
CREATE INDEX refund_payment ON refund (payment_id);
CREATE INDEX refund_due ON refund (next_at) WHERE state = 'due';
-- Returns of stock that moved no order, for Resync.
CREATE INDEX refund_restocked ON refund (created_at) WHERE restock;
CREATE UNIQUE INDEX refund_of_notice ON refund (provider, event_id) WHERE event_id IS NOT NULL;

-- The pieces that a refund of kind 'order' is for, and their part of its amount.
CREATE TABLE refund_line (
    refund_id text NOT NULL REFERENCES refund (id),
    n         integer NOT NULL,
    quantity  integer NOT NULL CHECK (quantity > 0),
    amount    bigint NOT NULL CHECK (amount >= 0),
    PRIMARY KEY (refund_id, n)
);
