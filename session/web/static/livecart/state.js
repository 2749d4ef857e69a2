// The state of a room as one viewer knows it. apply() is pure: the same state and event give the same
// new state, whoever asks, so it can be tested and replayed without a connection.

/** How many comments are kept; older ones leave first. */
export const MAX_COMMENTS = 200;
/** How many gift banners are kept. */
export const MAX_GIFTS = 20;
/** How many tip ids are remembered to know a tip that comes twice. */
export const MAX_TIPS = 2000;

/**
 * @typedef {object} State
 * @property {number} seq newest numbered event contained here
 * @property {object|null} room
 * @property {object} chatSettings
 * @property {object|null} onShow {product, until_ms, by}
 * @property {Object<string, object>} sales flash sales by id, each with held, epoch, rev and paused as
 *   in flash_stock, and cause and ended_at_ms once it has ended
 * @property {object[]} shelf entries in order
 * @property {number} shelfTotal
 * @property {object[]} comments oldest first
 * @property {object|null} pinned {message, by}
 * @property {object} stats
 * @property {number|bigint} likes
 * @property {object|null} joined the last member_join
 * @property {object[]} gifts the last combos, oldest first, each with key and its cumulative figures
 * @property {string[]} tips ids of tips seen
 * @property {object|null} self user and sanctions of the signed-in viewer
 * @property {number|bigint} balance beans
 * @property {number|bigint} balanceVersion
 * @property {Object<string, object>} orders own orders by id
 * @property {number} sampled comments that the server left out for everybody
 * @property {number} skipped comments that this connection was too slow for
 */

/** @returns {State} what is known before the first welcome */
export function emptyState() {
  return {
    seq: 0, room: null, chatSettings: { closed: false, slow_mode_ms: 0, blocked_terms: [] },
    onShow: null, sales: {}, shelf: [], shelfTotal: 0, comments: [], pinned: null,
    stats: { online: 0, peak: 0, visits: 0, unique: 0, unique_lower_bound: false, likes: 0, head_seq: 0 },
    likes: 0, joined: null, gifts: [], tips: [],
    self: null, balance: 0, balanceVersion: 0, orders: {}, sampled: 0, skipped: 0,
  };
}

/**
 * Applies one event. Numbered events must come in order without gaps; those already contained change
 * nothing. An unknown event changes nothing but seq.
 * @param {State} state
 * @param {object} event as read by messages.js
 * @returns {State}
 */
export function apply(state, event) {
  if (event.seq > 0) {
    if (event.seq <= state.seq) return state;
    state = { ...state, seq: event.seq };
  }
  for (const kind of Object.keys(reducers)) {
    if (event[kind]) return reducers[kind](state, event[kind], event);
  }
  return state;
}

/**
 * Applies what a reply says about shared or own state, so that the one who asked need not wait for
 * the event.
 * @param {State} state
 * @param {object} ok
 * @returns {State}
 */
export function applyReply(state, ok) {
  if (ok.chat_message) state = reducers.chat_message(state, ok.chat_message);
  if (ok.gift_sent) state = reducers.gift_sent(state, ok.gift_sent);
  if (ok.wallet_balance) state = reducers.wallet_balance(state, ok.wallet_balance);
  if (ok.like_total) state = reducers.like_total(state, ok.like_total);
  if (ok.room) state = reducers.room_state(state, { room: ok.room });
  if (ok.order) state = withOrder(state, ok.order);
  if (ok.orders) state = ok.orders.orders.reduce(withOrder, state);
  return state;
}

/** Key of a combo: one sender, one gift, one combo_id; a single tip is a combo of its own. */
export function comboKey(sent) {
  return JSON.stringify([sent.user?.id ?? '', sent.gift_id, sent.combo_id || sent.tip_ids[0] || '']);
}

const higher = (a, b) => (a > b ? a : b);

const reducers = {
  session_welcome(state, welcome) {
    if (welcome.resumed) return state;
    const sales = {};
    for (const sale of welcome.sales) sales[sale.id] = withStock(state.sales[sale.id], sale);
    const same = state.room?.id === welcome.room?.id;
    const stats = welcome.stats ?? emptyState().stats;
    return {
      ...state,
      seq: welcome.seq, room: welcome.room, chatSettings: welcome.chat_settings ?? emptyState().chatSettings,
      onShow: welcome.on_show?.product ? welcome.on_show : null, sales,
      shelf: welcome.shelf, shelfTotal: welcome.shelf_total,
      comments: mergeComments(same ? state.comments : [], welcome.comments),
      pinned: welcome.pinned?.message ? welcome.pinned : null, stats,
      likes: same ? higher(state.likes, stats.likes) : stats.likes,
    };
  },

  session_self(state, self) {
    state = { ...state, self: { user: self.user, sanctions: self.sanctions } };
    state = reducers.wallet_balance(state, { balance: self.balance, version: self.balance_version });
    return self.open_orders.reduce(withOrder, state);
  },

  room_state(state, { room }) {
    if (!room || (state.room && room.version < state.room.version)) return state;
    return { ...state, room };
  },

  room_stats(state, stats) {
    return { ...state, stats, likes: higher(state.likes, stats.likes) };
  },

  chat_message(state, message) {
    if (state.comments.some((c) => c.id === message.id)) return state;
    return { ...state, comments: [...state.comments, message].slice(-MAX_COMMENTS) };
  },

  chat_deleted(state, { message_id: id }) {
    return {
      ...state,
      comments: state.comments.filter((c) => c.id !== id),
      pinned: state.pinned?.message.id === id ? null : state.pinned,
    };
  },

  chat_pinned(state, pinned) {
    return { ...state, pinned: pinned.message ? pinned : null };
  },

  chat_settings(state, chatSettings) {
    return { ...state, chatSettings };
  },

  user_sanctioned(state, sanctioned) {
    if (!state.self || sanctioned.user?.id !== state.self.user?.id) return state;
    const others = state.self.sanctions.filter((s) => s.kind !== sanctioned.kind);
    const now = sanctioned.lifted ? [] : [{ kind: sanctioned.kind, until_ms: sanctioned.until_ms }];
    return { ...state, self: { ...state.self, sanctions: [...others, ...now] } };
  },

  like_total(state, { total }) {
    return total > state.likes ? { ...state, likes: total } : state;
  },

  member_join(state, joined, event) {
    return { ...state, joined: { ...joined, time_ms: event?.time_ms ?? 0 } };
  },

  gift_sent(state, sent) {
    const known = new Set(state.tips);
    const fresh = sent.tip_ids.filter((id) => !known.has(id));
    if (fresh.length === 0 && sent.tip_ids.length > 0) return state;
    const tips = [...state.tips, ...fresh].slice(-MAX_TIPS);
    const key = comboKey(sent);
    const before = state.gifts.find((g) => g.key === key);
    if (before && before.combo_count >= sent.combo_count) return { ...state, tips };
    const combo = {
      key, user: sent.user, gift_id: sent.gift_id, tier: sent.tier, delta: sent.delta,
      combo_count: sent.combo_count, combo_end_ms: higher(sent.combo_end_ms, before?.combo_end_ms ?? 0),
    };
    const gifts = before
      ? state.gifts.map((g) => (g.key === key ? combo : g))
      : [...state.gifts, combo].slice(-MAX_GIFTS);
    return { ...state, tips, gifts };
  },

  wallet_balance(state, { balance, version }) {
    if (version < state.balanceVersion) return state;
    return { ...state, balance, balanceVersion: version };
  },

  product_pushed(state, pushed) {
    return { ...state, onShow: pushed.product ? pushed : null };
  },

  product_updated(state, { product, position }) {
    if (!product) return state;
    const before = state.shelf.find((e) => e.product_id === product.id);
    const shelf = state.shelf.filter((e) => e.product_id !== product.id);
    // Beyond the end of a shelf that is not loaded whole, the entry stays unknown.
    if (position > 0 && position <= shelf.length + 1) shelf.splice(position - 1, 0, entryOf(product));
    const onShow = state.onShow?.product.id === product.id && product.version >= state.onShow.product.version
      ? { ...state.onShow, product } : state.onShow;
    return {
      ...state, onShow,
      shelf: shelf.map((e, i) => ({ ...e, position: i + 1 })),
      shelfTotal: Math.max(shelf.length, state.shelfTotal - (before && position === 0 ? 1 : 0)),
    };
  },

  flash_started: (state, { sale }) => withSale(state, sale),
  flash_updated: (state, { sale }) => withSale(state, sale),

  flash_stock(state, stock) {
    const sale = state.sales[stock.sale_id];
    if (!sale) return state;
    const older = stock.epoch < sale.epoch || (stock.epoch === sale.epoch && stock.rev < sale.rev);
    if (older) return state;
    const { available, held, epoch, rev, paused } = stock;
    return putSale(state, { ...sale, available, held, epoch, rev, paused, sold_out: available > 0 ? false : sale.sold_out });
  },

  flash_sold_out(state, { sale_id: id }) {
    const sale = state.sales[id];
    return sale ? putSale(state, { ...sale, available: 0, sold_out: true }) : state;
  },

  flash_ended(state, { sale_id: id, sold, cause }, event) {
    const sale = state.sales[id];
    const ended = { phase: 'SALE_PHASE_ENDED', sold, cause, ended_at_ms: event.time_ms };
    return sale ? putSale(state, { ...sale, ...ended }) : state;
  },

  order_updated: (state, { order }) => (order ? withOrder(state, order) : state),
};

function mergeComments(have, fresh) {
  if (have.length === 0) return fresh.slice(-MAX_COMMENTS);
  // The snapshot decides over the time it covers, so what was deleted meanwhile goes.
  const since = fresh[0]?.time_ms ?? Infinity;
  return [...have.filter((c) => c.time_ms < since), ...fresh].slice(-MAX_COMMENTS);
}

function entryOf(product) {
  const prices = product.listings.map((l) => l.price);
  return {
    product_id: product.id, position: 0, title: product.title, image_url: product.image_url,
    currency: product.currency, price_from: prices.reduce((a, b) => (b < a ? b : a), prices[0] ?? 0),
    on_sale: product.on_sale, version: product.version,
  };
}

/** A sale's stock comes by flash_stock alone once one has come: events of either kind cross. */
function withStock(before, sale) {
  const unknown = { held: 0, epoch: 0, rev: 0, paused: false, cause: '', ended_at_ms: 0 };
  if (!before || before.epoch === 0) return { ...unknown, ...sale };
  const { held, epoch, rev, paused } = before;
  return { ...unknown, ...sale, held, epoch, rev, paused };
}

function withSale(state, sale) {
  if (!sale) return state;
  const before = state.sales[sale.id];
  if (before && sale.version < before.version) return state;
  const next = withStock(before, sale);
  if (before?.epoch > 0) {
    next.available = before.available;
    next.sold_out = before.sold_out;
  }
  return putSale(state, next);
}

function putSale(state, sale) {
  return { ...state, sales: { ...state.sales, [sale.id]: sale } };
}

function withOrder(state, order) {
  const before = state.orders[order.id];
  if (before && before.version >= order.version) return state;
  return { ...state, orders: { ...state.orders, [order.id]: order } };
}
