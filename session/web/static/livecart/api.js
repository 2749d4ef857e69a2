import { Refusal } from './refusal.js';

/**
 * The HTTP API beside the room's connection.
 */
export class Api {
  /** @param {string} base origin of a gateway; @param {() => string} token the present token, '' for none */
  constructor(base, token) {
    this.base = base;
    this.token = token;
  }

  /**
   * @param {string} path
   * @param {Object<string, string|number>} [query]
   * @returns {Promise<any>} parsed JSON; rejects with a Refusal
   */
  get(path, query = {}) {
    const url = new URL(path, this.base);
    for (const [name, value] of Object.entries(query)) if (value !== '') url.searchParams.set(name, value);
    return this.ask(url, { method: 'GET' });
  }

  /**
   * @param {string} path
   * @param {object} body
   * @param {string} [key] Idempotency-Key; the same key never does it twice
   */
  post(path, body, key) {
    const headers = { 'Content-Type': 'application/json' };
    if (key) headers['Idempotency-Key'] = key;
    return this.ask(new URL(path, this.base), { method: 'POST', headers, body: JSON.stringify(body) });
  }

  /**
   * @param {string} path of what is no JSON
   * @returns {Promise<Blob>} rejects with a Refusal
   */
  file(path) {
    return this.ask(new URL(path, this.base), { method: 'GET', headers: { Accept: '*/*' } }, (response) => response.blob());
  }

  /**
   * Reads a list that comes in pages.
   * @param {string} path
   * @param {string} field where a page holds its part
   * @param {Object<string, string|number>} [query]
   * @param {number} [pages] read at most
   * @returns {Promise<any[]>}
   */
  async list(path, field, query = {}, pages = 20) {
    const all = [];
    let cursor = '';
    for (let n = 0; n < pages; n += 1) {
      const page = await this.get(path, { ...query, cursor });
      all.push(...(page[field] ?? []));
      cursor = page.next_cursor ?? '';
      if (cursor === '') break;
    }
    return all;
  }

  async ask(url, init, take = (response) => response.json().catch(() => ({}))) {
    const token = this.token();
    const headers = { Accept: 'application/json', ...init.headers };
    if (token) headers.Authorization = `Bearer ${token}`;
    let response;
    try {
      response = await fetch(url, { ...init, headers, credentials: 'omit' });
    } catch {
      throw new Refusal({ reason: 'connection_lost', message: 'the server cannot be reached' });
    }
    if (response.ok) return take(response);
    const body = await response.json().catch(() => ({}));
    throw new Refusal({
      reason: body.reason || 'internal', message: body.detail || body.title, code: response.status,
      retry_after_ms: Number(body.retry_after_ms ?? 0),
    });
  }
}
