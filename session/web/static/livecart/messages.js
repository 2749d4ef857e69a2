// What the messages of livecart.v1 hold, as the JSON subprotocol writes them: a field that has its
// default is absent on the wire, and an int64 is a string. read() gives both back.

/**
 * Kinds of fields. A shape is an object from field name to kind, to another shape, or to a list of
 * one of them.
 */
const text = 'text';
const int = 'int';
const yes = 'bool';
/** An object with free keys and texts as values. */
const texts = 'texts';

export const User = { id: text, name: text, role: text };

export const Room = {
  id: text, title: text, phase: text, host: User, shop_id: text, playback_url: text, cover_url: text,
  version: int, scheduled_at_ms: int, started_at_ms: int, ended_at_ms: int, anonymous: yes,
};

export const ChatMessage = { id: text, user: User, text: text, time_ms: int };
export const ChatPinned = { message: ChatMessage, by: User };
export const ChatDeleted = { message_id: text, by: User };
export const ChatSettings = { closed: yes, slow_mode_ms: int, blocked_terms: [text] };
export const Sanction = { kind: text, until_ms: int };
export const UserSanctioned = { user: User, kind: text, until_ms: int, lifted: yes, by: User };
export const LikeTotal = { delta: int, total: int };
export const MemberJoin = { user: User, count: int };

export const Gift = { id: text, names: texts, beans: int, tier: int, icon_url: text };
export const GiftSent = {
  tip_ids: [text], user: User, gift_id: text, delta: int, combo_id: text, combo_count: int,
  combo_end_ms: int, beans: int, tier: int,
};
export const WalletBalance = { balance: int, version: int };
export const RankingEntry = { rank: int, user: User, beans: int };

export const Listing = { id: text, sku_id: text, name: text, price: int, available: int };
export const Product = {
  id: text, shop_id: text, title: text, image_url: text, description: text, currency: text,
  listings: [Listing], on_sale: yes, version: int,
};
export const ShelfEntry = {
  product_id: text, position: int, title: text, image_url: text, currency: text, price_from: int,
  on_sale: yes, version: int,
};
export const ProductPushed = { product: Product, until_ms: int, by: User };
export const ProductUpdated = { product: Product, position: int };
export const FlashSale = {
  id: text, product_id: text, listing_id: text, sku_id: text, title: text, image_url: text,
  currency: text, price: int, original_price: int, quantity: int, sold: int, per_buyer_limit: int,
  starts_at_ms: int, ends_at_ms: int, phase: text, version: int, available: int, sold_out: yes,
};
export const FlashStarted = { sale: FlashSale };
export const FlashUpdated = { sale: FlashSale };
export const FlashStock = { sale_id: text, available: int, held: int, epoch: int, rev: int, paused: yes };
export const FlashSoldOut = { sale_id: text };
export const FlashEnded = { sale_id: text, sold: int, cause: text };
export const OrderLine = {
  listing_id: text, sku_id: text, title: text, image_url: text, quantity: int, unit_price: int,
  shipped: int, refunded: int,
};
export const LinePieces = { line: int, quantity: int };
export const Shipment = { id: text, carrier: text, waybill: text, pieces: [LinePieces], shipped_ms: int };
export const Refund = {
  id: text, amount: int, pieces: [LinePieces], restocked: yes, reason: text, state: text, created_ms: int,
};
export const Address = {
  name: text, phone: text, country: text, region: text, city: text, street: text, postal_code: text,
};
export const Order = {
  id: text, shop_id: text, room_id: text, sale_id: text, buyer: User, state: text, lines: [OrderLine],
  currency: text, amount: int, ship_to: Address, created_ms: int, expires_at_ms: int, version: int,
  request_id: text, discount: int, price_version: int, refunded: int, shipments: [Shipment], refunds: [Refund],
};
export const OrderPage = { orders: [Order], next_cursor: text };
export const Payment = {
  payment_id: text, order_id: text, amount: int, currency: text, price_version: int, url: text,
  expires_at_ms: int,
};
export const OrderUpdated = { order: Order };

export const RoomState = { room: Room, cause: text };
export const RoomStats = {
  online: int, peak: int, visits: int, unique: int, unique_lower_bound: yes, likes: int, head_seq: int,
};
export const SessionWelcome = {
  resumed: yes, seq: int, server_time_ms: int, room: Room, chat_settings: ChatSettings,
  on_show: ProductPushed, sales: [FlashSale], shelf: [ShelfEntry], shelf_total: int,
  comments: [ChatMessage], pinned: ChatPinned, stats: RoomStats,
};
export const SessionSelf = {
  user: User, balance: int, balance_version: int, open_orders: [Order], sanctions: [Sanction],
};
export const SessionReconnect = { after_ms: int };
export const SessionExpiring = { at_ms: int };
export const Pong = { server_time_ms: int };

export const Event = {
  seq: int, time_ms: int,
  session_welcome: SessionWelcome, session_self: SessionSelf, session_reconnect: SessionReconnect,
  session_expiring: SessionExpiring, room_state: RoomState, room_stats: RoomStats,
  chat_message: ChatMessage, like_total: LikeTotal, member_join: MemberJoin, chat_pinned: ChatPinned,
  chat_deleted: ChatDeleted, chat_settings: ChatSettings, user_sanctioned: UserSanctioned,
  gift_sent: GiftSent, wallet_balance: WalletBalance, product_pushed: ProductPushed,
  product_updated: ProductUpdated, flash_started: FlashStarted, flash_updated: FlashUpdated,
  flash_stock: FlashStock, flash_sold_out: FlashSoldOut, flash_ended: FlashEnded,
  order_updated: OrderUpdated,
};
export const Ok = {
  session_welcome: SessionWelcome, pong: Pong, room: Room, chat_message: ChatMessage,
  like_total: LikeTotal, gift_sent: GiftSent, wallet_balance: WalletBalance, order: Order,
  orders: OrderPage, payment: Payment, flash_sale: FlashSale, product: Product,
};
export const ReplyError = { code: int, reason: text, message: text, retry_after_ms: int };
export const Reply = { request_id: text, ok: Ok, error: ReplyError };
export const ServerFrame = { events: [Event], replies: [Reply], sampled: int, skipped: int };

/**
 * Turns an integer of the wire into a Number where that is exact, else into a BigInt, which compares
 * and prints like one.
 * @param {string|number|undefined|null} value
 * @returns {number|bigint}
 */
export function integer(value) {
  if (value === undefined || value === null || value === '') return 0;
  const n = Number(value);
  if (Number.isSafeInteger(n)) return n;
  return BigInt(value); // throws on what is no integer at all
}

/**
 * Reads a message: integers become numbers, absent fields their defaults (null for a message),
 * fields that the shape does not know are left out.
 * @template T
 * @param {object} shape
 * @param {object} raw parsed JSON
 * @returns {any}
 */
export function read(shape, raw) {
  const message = {};
  for (const field of Object.keys(shape)) message[field] = readField(shape[field], raw[field]);
  return message;
}

function readField(kind, value) {
  if (Array.isArray(kind)) return (value ?? []).map((v) => readField(kind[0], v));
  switch (kind) {
    case text: return value ?? '';
    case int: return integer(value);
    case yes: return value ?? false;
    case texts: return { ...value };
    default: return value ? read(kind, value) : null;
  }
}
