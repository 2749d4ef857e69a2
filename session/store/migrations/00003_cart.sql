-- +goose Up
CREATE TABLE shop (
    id         text PRIMARY KEY,
    name       text NOT NULL,
    -- ISO 4217; every price of the shop is in it.
    currency   text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    created_at timestamptz NOT NULL DEFAULT now()
);

-- One pool of pieces. sold counts pieces of ordinary orders that hold stock; moved counts what
-- sales have taken out: the quantity of open ones and the sold pieces of closed ones.
CREATE TABLE sku (
    id      text PRIMARY KEY,
    shop_id text NOT NULL REFERENCES shop (id),
    name    text NOT NULL DEFAULT '',
    stock   bigint NOT NULL CHECK (stock >= 0),
    sold    bigint NOT NULL DEFAULT 0 CHECK (sold >= 0),
    moved   bigint NOT NULL DEFAULT 0 CHECK (moved >= 0),
    CONSTRAINT sku_never_oversold CHECK (sold + moved <= stock)
);

CREATE TABLE product (
    id          text PRIMARY KEY,
    shop_id     text NOT NULL REFERENCES shop (id),
    title       text NOT NULL,
    description text NOT NULL DEFAULT '',
    image_url   text NOT NULL DEFAULT '',
    on_sale     boolean NOT NULL DEFAULT true,
    version     bigint NOT NULL DEFAULT 1,
    created_at  timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE listing (
    id         text PRIMARY KEY,
    product_id text NOT NULL REFERENCES product (id),
    sku_id     text NOT NULL REFERENCES sku (id),
    name       text NOT NULL DEFAULT '',
    price      bigint NOT NULL CHECK (price > 0),
    position   integer NOT NULL DEFAULT 1
);
CREATE INDEX listing_product ON listing (product_id);
CREATE INDEX listing_sku ON listing (sku_id);

-- The products of a room, in order.
CREATE TABLE shelf (
    room_id    text NOT NULL REFERENCES room (id),
    product_id text NOT NULL REFERENCES product (id),
    position   integer NOT NULL CHECK (position > 0),
    PRIMARY KEY (room_id, product_id)
);
CREATE INDEX shelf_product ON shelf (product_id);

-- The product that a room shows now.
CREATE TABLE pop_up (
    room_id    text PRIMARY KEY REFERENCES room (id),
    product_id text NOT NULL REFERENCES product (id),
    until      timestamptz NOT NULL,
    by_id      text NOT NULL,
    by_name    text NOT NULL
);
CREATE INDEX pop_up_until ON pop_up (until);

CREATE TABLE sale (
    id              text PRIMARY KEY,
    room_id         text NOT NULL REFERENCES room (id),
    shop_id         text NOT NULL REFERENCES shop (id),
    product_id      text NOT NULL REFERENCES product (id),
    listing_id      text NOT NULL REFERENCES listing (id),
    sku_id          text NOT NULL REFERENCES sku (id),
    title           text NOT NULL,
    image_url       text NOT NULL,
    currency        text NOT NULL,
    price           bigint NOT NULL CHECK (price > 0),
    original_price  bigint NOT NULL,
    quantity        bigint NOT NULL CHECK (quantity > 0),
    sold            bigint NOT NULL DEFAULT 0 CHECK (sold >= 0),
    per_buyer_limit integer NOT NULL DEFAULT 0 CHECK (per_buyer_limit >= 0),
    -- The most that the limit ever allowed, 0 for no limit: what buyers hold is checked against it.
    widest_limit    integer NOT NULL DEFAULT 0 CHECK (widest_limit >= 0),
    starts_at       timestamptz NOT NULL,
    ends_at         timestamptz NOT NULL,
    -- Set once, for good: when it closed and why ('time', 'stopped', 'room_ended').
    closed_at       timestamptz,
    close_cause     text NOT NULL DEFAULT '',
    -- Whether flash_sold_out stands since available last rose above 0.
    sold_out        boolean NOT NULL DEFAULT false,
    version         bigint NOT NULL DEFAULT 1,
    -- Generation of the Redis counters; each Resync raises it.
    epoch           bigint NOT NULL DEFAULT 1,
    -- When and with which Redis server the counters last agreed with this row.
    resynced_at     timestamptz NOT NULL DEFAULT '-infinity',
    redis_run       text NOT NULL DEFAULT '',
    created_by      text NOT NULL DEFAULT '',
    -- The flash_start that made it; with created_by its idempotency key.
    request_id      text NOT NULL DEFAULT '',
    created_at      timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT sale_never_oversold CHECK (sold <= quantity),
    CONSTRAINT sale_below_price CHECK (price < original_price),
    CONSTRAINT sale_window CHECK (starts_at < ends_at)
);
CREATE UNIQUE INDEX sale_one_open_per_sku ON sale (sku_id) WHERE closed_at IS NULL;
CREATE INDEX sale_open ON sale (ends_at) WHERE closed_at IS NULL;
CREATE INDEX sale_room ON sale (room_id, created_at);
CREATE INDEX sale_closed ON sale (closed_at) WHERE closed_at IS NOT NULL;
CREATE INDEX sale_request ON sale (created_by, request_id);

CREATE TABLE orders (
    id            text PRIMARY KEY,
    shop_id       text NOT NULL REFERENCES shop (id),
    room_id       text NOT NULL DEFAULT '',
    -- NULL for an ordinary order.
    sale_id       text REFERENCES sale (id),
    buyer_id      text NOT NULL,
    buyer_name    text NOT NULL,
    request_id    text NOT NULL,
    state         text NOT NULL CHECK (state IN ('awaiting_payment', 'paid', 'shipped', 'completed', 'expired', 'cancelled', 'refund_due', 'refunded')),
    currency      text NOT NULL,
    amount        bigint NOT NULL CHECK (amount >= 0),
    price_version bigint NOT NULL DEFAULT 1,
    ship_to       jsonb,
    source        text NOT NULL DEFAULT '',
    guide         text NOT NULL DEFAULT '',
    created_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at    timestamptz NOT NULL,
    version       bigint NOT NULL DEFAULT 1
);
CREATE INDEX orders_buyer ON orders (buyer_id, created_at DESC, id DESC);
CREATE INDEX orders_room ON orders (room_id, created_at DESC, id DESC);
CREATE INDEX orders_shop ON orders (shop_id, created_at DESC, id DESC);
-- What a viewer is told of when joining.
CREATE INDEX orders_open ON orders (buyer_id, created_at DESC, id DESC) WHERE state IN ('awaiting_payment', 'paid', 'shipped', 'refund_due');
CREATE INDEX orders_sale ON orders (sale_id, buyer_id) WHERE sale_id IS NOT NULL;
CREATE INDEX orders_unpaid ON orders (expires_at) WHERE state = 'awaiting_payment';

CREATE TABLE order_line (
    order_id   text NOT NULL REFERENCES orders (id),
    n          integer NOT NULL,
    listing_id text NOT NULL,
    sku_id     text NOT NULL,
    title      text NOT NULL,
    image_url  text NOT NULL,
    quantity   integer NOT NULL CHECK (quantity > 0),
    unit_price bigint NOT NULL CHECK (unit_price >= 0),
    shipped    integer NOT NULL DEFAULT 0 CHECK (shipped BETWEEN 0 AND quantity),
    refunded   integer NOT NULL DEFAULT 0 CHECK (refunded BETWEEN 0 AND quantity),
    -- Pieces that went back to the stock, by expiry, cancellation or a refund with restock.
    restocked  integer NOT NULL DEFAULT 0 CHECK (restocked BETWEEN 0 AND quantity),
    PRIMARY KEY (order_id, n)
);
CREATE INDEX order_line_sku ON order_line (sku_id);

-- Every move of an order's state, numbered without gaps from 1.
CREATE TABLE order_event (
    order_id   text NOT NULL REFERENCES orders (id),
    n          bigint NOT NULL,
    from_state text NOT NULL,
    to_state   text NOT NULL,
    cause      text NOT NULL,
    at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (order_id, n)
);
-- What happened to orders lately besides their making, for Resync.
CREATE INDEX order_event_later ON order_event (at) WHERE n > 1;

-- The recorded outcome of a flash_buy or order_create under its key, written once. Refusals are kept
-- 24 h, what was ordered as long as its order.
CREATE TABLE attempt (
    buyer_id   text NOT NULL,
    key        text NOT NULL,
    -- 'flash_buy' or 'order_create'.
    kind       text NOT NULL,
    hash       bytea NOT NULL,
    sale_id    text,
    quantity   integer NOT NULL DEFAULT 0,
    outcome    text NOT NULL CHECK (outcome IN ('ordered', 'sold_out', 'limit_per_buyer', 'sale_ended', 'void', 'rejected')),
    order_id   text REFERENCES orders (id) DEFERRABLE INITIALLY DEFERRED,
    at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (buyer_id, key, kind)
);
CREATE INDEX attempt_refused_at ON attempt (at) WHERE outcome <> 'ordered';
-- Buyers of a sale whom a Resync must know besides those with orders.
CREATE INDEX attempt_refused ON attempt (sale_id) WHERE outcome <> 'ordered';

-- Keys of commands that are idempotent by themselves, so that a key is not used again with other
-- content; kept 24 h.
CREATE TABLE request_key (
    user_id text NOT NULL,
    kind    text NOT NULL,
    key     text NOT NULL,
    hash    bytea NOT NULL,
    at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (user_id, kind, key)
);
CREATE INDEX request_key_at ON request_key (at);

-- A request to pay an order at one price.
CREATE TABLE payment (
    id            text PRIMARY KEY,
    order_id      text NOT NULL REFERENCES orders (id),
    provider      text NOT NULL,
    amount        bigint NOT NULL CHECK (amount >= 0),
    currency      text NOT NULL,
    price_version bigint NOT NULL,
    url           text NOT NULL DEFAULT '',
    state         text NOT NULL DEFAULT 'requested' CHECK (state IN ('requested', 'accepted', 'void', 'refund_due', 'refunded')),
    created_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at    timestamptz NOT NULL
);
CREATE INDEX payment_order ON payment (order_id);
CREATE UNIQUE INDEX payment_one_accepted ON payment (order_id) WHERE state = 'accepted';

-- Notices of payment providers: the same event twice is one row.
CREATE TABLE payment_notice (
    provider    text NOT NULL,
    event_id    text NOT NULL,
    payment_id  text NOT NULL,
    kind        text NOT NULL,
    amount      bigint NOT NULL,
    currency    text NOT NULL,
    -- What came of it: 'accepted', 'unmatched', 'amount_mismatch', 'late', 'duplicate', 'declined', 'refund_due'.
    result      text NOT NULL,
    received_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (provider, event_id)
);
CREATE INDEX payment_notice_unmatched ON payment_notice (payment_id) WHERE result = 'unmatched';

-- Requests that could not be booked because of their own data, kept for a person to look at.
CREATE TABLE dead_letter (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind    text NOT NULL,
    key     text NOT NULL,
    payload bytea NOT NULL,
    error   text NOT NULL,
    at      timestamptz NOT NULL DEFAULT clock_timestamp()
);
