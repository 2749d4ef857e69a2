import { Refusal } from './refusal.js';

/**
 * How long after it was first sent a command may be sent again under its request_id, milliseconds.
 * The server remembers what moves money or stock for 24 hours and a comment for 60 seconds; a
 * command that is not here is not repeated, because it would happen twice.
 */
const REPEATABLE = {
  chat_send: 50_000,
  gift_send: 3_600_000, flash_buy: 3_600_000,
  order_create: 3_600_000, order_pay: 3_600_000, order_cancel: 3_600_000, order_address: 3_600_000,
  flash_start: 3_600_000, flash_update: 3_600_000, flash_stop: 3_600_000, product_update: 3_600_000,
  product_push: 30_000, chat_delete: 3_600_000, chat_pin: 30_000, chat_configure: 30_000,
  user_sanction: 30_000,
  wallet_get: Infinity, order_get: Infinity, order_list: Infinity,
};

/** The commands that have no answer yet. */
export class Requests {
  constructor() {
    /** @type {Map<string, object>} */
    this.open = new Map();
  }

  /**
   * Notes a command and returns the promise of its `ok`.
   * @param {string} id request_id
   * @param {string} kind field name of the command
   * @param {object} command
   * @param {number} timeout milliseconds
   * @returns {Promise<object>}
   */
  add(id, kind, command, timeout) {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.open.delete(id);
        reject(new Refusal({ reason: 'timeout', message: `${kind} was not answered` }));
      }, timeout);
      this.open.set(id, { id, kind, command, resolve, reject, timer, since: Date.now(), sent: false });
    });
  }

  /**
   * Gives a reply to the one who waits for it.
   * @returns {boolean} whether anybody waited
   */
  settle(reply) {
    const request = this.open.get(reply.request_id);
    if (!request) return false;
    this.open.delete(reply.request_id);
    clearTimeout(request.timer);
    if (reply.error) request.reject(new Refusal(reply.error));
    else request.resolve(reply.ok ?? {});
    return true;
  }

  /** The connection went: what may not be repeated is over, not known how. */
  disconnected() {
    for (const request of this.open.values()) {
      if (!request.sent) continue;
      if (Date.now() - request.since <= (REPEATABLE[request.kind] ?? -1)) request.sent = false;
      else this.fail(request, 'connection_lost');
    }
  }

  /** Commands to send on a new connection, in the order in which they were asked for. */
  unsent() {
    for (const request of this.open.values()) {
      const tooOld = Date.now() - request.since > (REPEATABLE[request.kind] ?? Infinity);
      if (!request.sent && tooOld) this.fail(request, 'connection_lost');
    }
    return [...this.open.values()].filter((r) => !r.sent);
  }

  /** Ends every wait with the same reason. */
  failAll(reason) {
    for (const request of this.open.values()) this.fail(request, reason);
  }

  fail(request, reason) {
    this.open.delete(request.id);
    clearTimeout(request.timer);
    request.reject(new Refusal({ reason, message: `${request.kind}: ${reason}` }));
  }
}
