// The livecart SDK: a room as one viewer sees it, kept current over a WebSocket that heals itself.
//
//   import { LiveRoom } from '/static/livecart.js';
//   const room = new LiveRoom();
//   room.addEventListener('state', () => draw(room.state));
//   await room.connect(location.origin, token, 'demo');
//   await room.send('chat_send', { text: 'hello' });
//
// No dependency, no build step; runs in browsers and, given a WebSocket class, in Node.

import { Backoff } from './livecart/backoff.js';
import { Clock } from './livecart/clock.js';
import { ServerFrame, integer, read } from './livecart/messages.js';
import { Refusal } from './livecart/refusal.js';
import { Requests } from './livecart/requests.js';
import { Sequence } from './livecart/sequence.js';
import { apply, applyReply, emptyState } from './livecart/state.js';

export { Api } from './livecart/api.js';
export { Refusal, integer };

/** Subprotocol of this client. */
export const SUBPROTOCOL = 'livecart.v1.json';

const PING_EVERY = 15_000;
const PING_TIMEOUT = 8_000;
const REPLY_TIMEOUT = 15_000;
/** A gap may be an event that overtook another; after this long it is asked for. */
const GAP_PATIENCE = 1_000;
/** Commands that one frame may carry. */
const MAX_COMMANDS = 32;
/** How long a purchase is pursued before it is left to order_updated. */
const BUY_PATIENCE = 60_000;

/** Of how many refused handshakes in a row one is asked about. */
const ASK_EVERY = 4;

/** Close codes after which trying again is useless, and why. */
const FINAL = { 4001: 'unauthenticated', 4003: 'forbidden', 4009: 'replaced' };

/**
 * @typedef {object} Connection
 * @property {'idle'|'connecting'|'open'|'waiting'|'closed'} phase
 * @property {string} reason why it is waiting or closed: a close reason, a refusal's reason, or ''
 * @property {number} retryAt when the next attempt is made (local Unix ms), 0 if none
 */

/**
 * One room. Dispatches `state` after each change of `state`, `connection` after each change of
 * `connection`, `event` (detail: the event) for every event as it is applied, and `expiring`
 * (detail: {at_ms}) when the token is about to expire.
 */
export class LiveRoom extends EventTarget {
  /**
   * @param {object} [options]
   * @param {typeof WebSocket} [options.WebSocket]
   * @param {() => Promise<string>} [options.refreshToken] gives a newer token of the same user;
   *   without it an expired token ends the connection
   * @param {() => number} [options.random] for the tests of waiting times
   * @param {typeof fetch} [options.fetch]
   */
  constructor(options = {}) {
    super();
    this.options = { WebSocket: globalThis.WebSocket, fetch: globalThis.fetch?.bind(globalThis), ...options };
    /** @type {import('./livecart/state.js').State} */
    this.state = emptyState();
    /** @type {Connection} */
    this.connection = { phase: 'idle', reason: '', retryAt: 0 };
    this.clock = new Clock();
    this.backoff = new Backoff({ random: options.random });
    this.sequence = new Sequence();
    this.requests = new Requests();
    this.socket = null;
    this.timers = {};
  }

  /**
   * Enters a room and stays in it until close() or a final refusal, over any number of connections.
   * @param {string} url origin of a gateway, http(s) or ws(s)
   * @param {string} token JWT, '' to watch without one where the room allows it
   * @param {string} room the room's id
   * @returns {Promise<void>} resolves with the first welcome, rejects with a Refusal on a final refusal
   */
  connect(url, token, room) {
    this.close();
    this.origin = new URL(url);
    this.token = token;
    this.roomID = room;
    this.state = emptyState();
    this.sequence.clear();
    this.backoff.reset();
    const entered = new Promise((resolve, reject) => { this.entered = { resolve, reject }; });
    this.dial();
    return entered;
  }

  /** Leaves the room; open requests reject with `closed`. */
  close() {
    this.end('closed');
  }

  /** The server's time now, Unix milliseconds. */
  now() {
    return this.clock.now();
  }

  /**
   * Sends a command and returns the promise of its `ok` value. Before a connection is open it waits
   * in line. After a reconnect, an unanswered command that the server knows by its key is sent again.
   * @param {string} kind field name of the command, e.g. `chat_send`
   * @param {object} [body]
   * @param {{requestID?: string, timeout?: number}} [options] requestID repeats an earlier command
   * @returns {Promise<object>} rejects with a Refusal
   */
  send(kind, body = {}, { requestID = newRequestID(), timeout = REPLY_TIMEOUT } = {}) {
    if (this.connection.phase === 'closed' || this.connection.phase === 'idle') {
      return Promise.reject(new Refusal({ reason: 'closed', message: 'not in a room' }));
    }
    const answer = this.requests.add(requestID, kind, { request_id: requestID, [kind]: body }, timeout);
    if (this.connection.phase === 'open') this.flush();
    return answer;
  }

  /**
   * Buys pieces of a flash sale and sees it through: it asks again under the same key while the
   * server is busy, and looks the order up where the answer is pending.
   * @param {string} saleID
   * @param {number} quantity
   * @returns {Promise<object>} the order; rejects with a Refusal once it is certain that there is none,
   *   or with reason `pending` or `timeout` when it is still open after a minute
   */
  async buy(saleID, quantity = 1) {
    const requestID = newRequestID();
    const until = Date.now() + BUY_PATIENCE;
    for (let attempt = 0; ; attempt += 1) {
      try {
        return (await this.send('flash_buy', { sale_id: saleID, quantity }, { requestID })).order;
      } catch (refusal) {
        const known = Object.values(this.state.orders).find((o) => o.request_id === requestID);
        if (known) return known;
        const open = ['try_again', 'busy', 'pending', 'timeout', 'connection_lost'].includes(refusal.reason);
        if (!open || Date.now() > until || this.connection.phase === 'closed') throw refusal;
        await pause(Math.max(Number(refusal.retryAfter), 300 + Math.random() * 400 * Math.min(attempt + 1, 5)));
      }
    }
  }

  /**
   * Replaces the token by a newer one of the same user, on the open connection and for later ones.
   * @param {string} token
   */
  async refresh(token) {
    this.token = token;
    if (this.connection.phase === 'open') await this.send('session_refresh', { token });
  }

  // The connection.

  dial() {
    this.setConnection('connecting');
    const url = new URL(`/v1/rooms/${encodeURIComponent(this.roomID)}/ws`, this.origin);
    url.protocol = url.protocol.replace('http', 'ws');
    if (this.token) url.searchParams.set('access_token', this.token);
    if (this.sequence.seq > 0) url.searchParams.set('after_seq', String(this.sequence.seq));
    const socket = new this.options.WebSocket(url.href, [SUBPROTOCOL]);
    this.socket = socket;
    let opened = false;
    socket.onopen = () => { opened = true; };
    socket.onmessage = ({ data }) => { if (this.socket === socket) this.receive(data); };
    socket.onerror = () => {}; // onclose follows and says more
    socket.onclose = ({ code, reason }) => {
      if (this.socket !== socket) return;
      if (opened) this.lost(code, reason);
      else this.refused();
    };
  }

  /** A connection that was open ended. */
  lost(code, reason) {
    this.detach();
    if (code === 4001 && this.options.refreshToken) return this.renew();
    if (FINAL[code]) return this.end(reason || FINAL[code]);
    if (code === 1012) return this.retry('restarting', this.reconnectAfter ?? 0);
    if (code === 4029) return this.retry('rate_limited', 10_000);
    return this.retry(code === 4008 ? 'slow_consumer' : 'connection_lost', 0);
  }

  /** The token ran out: a newer one, or the end. */
  async renew() {
    this.setConnection('waiting', 'token_expired');
    let token = '';
    try {
      token = await this.options.refreshToken();
    } catch {
      // no newer token: the sign-in is over
    }
    if (this.connection.reason !== 'token_expired') return; // closed or moved meanwhile
    if (!token) return this.end('token_expired');
    this.token = token;
    this.retry('token_expired', 0);
  }

  /** A connection did not come about. Browsers hide the HTTP answer, so the API is asked why. */
  async refused() {
    this.detach();
    // Once in a while is enough: when a gateway is down, everybody fails at once.
    const problem = this.backoff.failures % ASK_EVERY === 0 ? await this.whyRefused() : null;
    if (this.socket !== null || this.connection.phase === 'closed') return; // closed or dialled meanwhile
    if (problem && [401, 403, 404].includes(problem.code)) return this.end(problem.reason);
    this.retry('unreachable', 0);
  }

  async whyRefused() {
    try {
      const url = new URL(`/v1/rooms/${encodeURIComponent(this.roomID)}`, this.origin);
      url.protocol = url.protocol.replace('ws', 'http');
      const headers = this.token ? { Authorization: `Bearer ${this.token}` } : {};
      const response = await this.options.fetch(url, { headers, credentials: 'omit' });
      if (response.ok) return null;
      const body = await response.json().catch(() => ({}));
      return { code: response.status, reason: body.reason || 'forbidden' };
    } catch {
      return null;
    }
  }

  retry(reason, atLeast) {
    const wait = this.backoff.next(atLeast);
    this.setConnection('waiting', reason, Date.now() + wait);
    this.timers.retry = setTimeout(() => this.dial(), wait);
  }

  /** Dials at once instead of waiting, e.g. when the network is back. */
  retryNow() {
    if (this.connection.phase !== 'waiting' || this.connection.retryAt === 0) return;
    clearTimeout(this.timers.retry);
    this.dial();
  }

  /** Lets go of the socket and of the timers that belong to it. */
  detach() {
    const socket = this.socket;
    this.socket = null;
    for (const timer of Object.values(this.timers)) clearTimeout(timer);
    this.timers = {};
    this.requests.disconnected();
    return socket;
  }

  end(reason) {
    this.detach()?.close(1000);
    this.requests.failAll(reason === 'closed' ? 'closed' : reason);
    this.entered?.reject(new Refusal({ reason }));
    this.entered = null;
    if (this.connection.phase !== 'idle') this.setConnection('closed', reason);
  }

  setConnection(phase, reason = '', retryAt = 0) {
    this.connection = { phase, reason, retryAt };
    this.dispatchEvent(new CustomEvent('connection', { detail: this.connection }));
  }

  // Frames.

  receive(data) {
    const frame = read(ServerFrame, JSON.parse(data));
    const before = this.state;
    for (const event of frame.events) this.take(event);
    for (const reply of frame.replies) this.answer(reply);
    if (frame.sampled || frame.skipped) {
      this.state = {
        ...this.state,
        sampled: this.state.sampled + frame.sampled, skipped: this.state.skipped + frame.skipped,
      };
    }
    this.watchGap();
    if (this.state !== before) this.dispatchEvent(new CustomEvent('state', { detail: this.state }));
  }

  take(event) {
    if (event.session_welcome) return this.welcome(event.session_welcome, event);
    if (event.session_reconnect) return this.reconnect(Number(event.session_reconnect.after_ms));
    if (event.session_expiring) return this.expiring(event.session_expiring);
    if (event.room_stats) this.sequence.sawHead(event.room_stats.head_seq);
    const ready = event.seq > 0 ? this.sequence.take(event) : [event];
    for (const e of ready) this.apply(e);
  }

  apply(event) {
    this.state = apply(this.state, event);
    this.dispatchEvent(new CustomEvent('event', { detail: event }));
  }

  welcome(welcome, event) {
    this.clock.guess(welcome.server_time_ms, Date.now());
    if (!welcome.resumed) {
      this.apply({ ...event, seq: 0, session_welcome: welcome });
      // A snapshot may be older than what came before it on another gateway; it still is the whole
      // state, and what follows it is asked for.
      for (const e of this.sequence.restart(welcome.seq)) this.apply(e);
    }
    if (this.connection.phase !== 'connecting') return;
    this.backoff.reset();
    this.reconnectAfter = undefined;
    this.setConnection('open');
    this.flush();
    this.ping();
    this.entered?.resolve();
    this.entered = null;
  }

  /** The gateway is about to go: come back when it says so, unless it closes before. */
  reconnect(after) {
    this.reconnectAfter = after;
    clearTimeout(this.timers.reconnect);
    this.timers.reconnect = setTimeout(() => {
      this.reconnectAfter = undefined;
      this.detach()?.close(1000);
      this.dial();
    }, after);
  }

  async expiring(expiring) {
    this.dispatchEvent(new CustomEvent('expiring', { detail: expiring }));
    if (!this.options.refreshToken) return;
    try {
      await this.refresh(await this.options.refreshToken());
    } catch {
      // The connection ends with 4001 at the expiry, which tries once more and then says so.
    }
  }

  answer(reply) {
    const welcome = reply.ok?.session_welcome;
    if (welcome) this.welcome(welcome, { seq: 0, time_ms: 0 });
    if (reply.ok) this.state = applyReply(this.state, reply.ok);
    this.requests.settle(reply);
  }

  flush() {
    const unsent = this.requests.unsent();
    for (let i = 0; i < unsent.length; i += MAX_COMMANDS) {
      const batch = unsent.slice(i, i + MAX_COMMANDS);
      for (const request of batch) request.sent = true;
      this.socket.send(JSON.stringify({ commands: batch.map((r) => r.command) }));
    }
  }

  async ping() {
    const socket = this.socket;
    const sent = Date.now();
    try {
      const { pong } = await this.send('ping', {}, { timeout: PING_TIMEOUT });
      this.clock.measure(sent, Number(pong.server_time_ms), Date.now());
    } catch (refusal) {
      if (this.socket !== socket || socket === null) return;
      if (refusal.reason === 'timeout') {
        // The network went without a word; do not wait for the system to notice.
        this.detach().close(4000);
        return this.retry('connection_lost', 0);
      }
    }
    if (this.socket === socket) this.timers.ping = setTimeout(() => this.ping(), PING_EVERY);
  }

  // Gaps.

  watchGap() {
    if (!this.sequence.behind) {
      clearTimeout(this.timers.gap);
      this.timers.gap = undefined;
    } else if (!this.timers.gap && this.connection.phase === 'open') {
      this.timers.gap = setTimeout(() => this.fillGap(), GAP_PATIENCE);
    }
  }

  async fillGap() {
    const socket = this.socket;
    try {
      await this.send('session_resume', { after_seq: String(this.sequence.seq) });
    } catch {
      if (this.socket !== socket || socket === null) return;
      // Neither the events nor a snapshot came; start over with a new connection.
      this.sequence.clear();
      this.detach().close(4000);
      return this.retry('connection_lost', 0);
    }
    if (this.socket !== socket) return;
    this.timers.gap = undefined;
    this.watchGap();
  }
}

/** A fresh request_id; also where crypto.randomUUID is missing because the page came over plain HTTP. */
export function newRequestID() {
  if (crypto.randomUUID) return crypto.randomUUID();
  return [...crypto.getRandomValues(new Uint8Array(16))].map((b) => b.toString(16).padStart(2, '0')).join('');
}

function pause(ms) {
  return new Promise((resolve) => { setTimeout(resolve, ms); });
}
