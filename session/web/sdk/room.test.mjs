import assert from 'node:assert/strict';
import { afterEach, beforeEach, mock, test } from 'node:test';
import { LiveRoom } from '../static/livecart.js';

/** A WebSocket whose other end is the test. */
class Socket {
  static all = [];
  constructor(url, protocols) {
    Object.assign(this, { url: new URL(url), protocols, sent: [], closed: undefined });
    Socket.all.push(this);
  }
  static get last() { return Socket.all.at(-1); }
  send(data) { this.sent.push(...JSON.parse(data).commands); }
  close(code) { this.closed = code; }
  /** The server accepts and greets. */
  greet(welcome = {}) {
    this.onopen();
    this.say({ events: [{ session_welcome: { seq: '10', server_time_ms: '5000', room: { id: 'demo', version: '1' }, ...welcome } }] });
  }
  say(frame) { this.onmessage({ data: JSON.stringify(frame) }); }
  drop(code, reason = '') { this.onclose({ code, reason }); }
  of(kind) { return this.sent.filter((c) => kind in c); }
}

let answer; // what the HTTP API says when a handshake was refused
const settle = async () => { for (let i = 0; i < 20; i += 1) await Promise.resolve(); };
const enter = (options = {}) => {
  const room = new LiveRoom({ WebSocket: Socket, random: () => 0, fetch: async () => answer, ...options });
  const entered = room.connect('https://shop.example', 'tok', 'demo');
  entered.catch(() => {});
  return Object.assign(room, { first: entered });
};

beforeEach(() => {
  Socket.all = [];
  answer = { ok: true };
  mock.timers.reset(); // subtests come here too
  mock.timers.enable({ apis: ['setTimeout', 'Date'], now: 1_000_000 });
});
afterEach(() => mock.timers.reset());

test('connects with token and subprotocol, and enters with the welcome', async () => {
  const room = enter();
  assert.equal(Socket.last.url.href, 'wss://shop.example/v1/rooms/demo/ws?access_token=tok');
  assert.deepEqual(Socket.last.protocols, ['livecart.v1.json']);
  Socket.last.greet();
  await room.first;
  assert.equal(room.connection.phase, 'open');
  assert.equal(room.state.room.id, 'demo');
});

test('a request gets its own reply', async () => {
  const room = enter();
  Socket.last.greet();
  const one = room.send('chat_send', { text: 'one' });
  const two = room.send('chat_send', { text: 'two' });
  const [a, b] = Socket.last.of('chat_send');
  assert.notEqual(a.request_id, b.request_id);
  Socket.last.say({ replies: [{ request_id: b.request_id, error: { code: 429, reason: 'slow_mode', retry_after_ms: '900' } }, { request_id: a.request_id, ok: { chat_message: { id: 'm', text: 'one' } } }] });
  assert.equal((await one).chat_message.text, 'one');
  await assert.rejects(two, { reason: 'slow_mode', retryAfter: 900, code: 429 });
  assert.deepEqual(room.state.comments.map((c) => c.id), ['m']);
});

test('a command before the welcome waits for it', () => {
  const room = enter();
  room.send('wallet_get').catch(() => {});
  Socket.last.onopen();
  assert.equal(Socket.last.sent.length, 0);
  Socket.last.greet();
  assert.equal(Socket.last.of('wallet_get').length, 1);
});

test('after a cut it resumes where it was and repeats what is safe under the same key', async () => {
  const room = enter();
  Socket.last.greet();
  const buy = room.send('flash_buy', { sale_id: 'f', quantity: 1 });
  const like = room.send('like_send', { count: 3 });
  const key = Socket.last.of('flash_buy')[0].request_id;
  Socket.last.say({ events: [{ seq: '11' }] });
  Socket.last.drop(1006);
  await assert.rejects(like, { reason: 'connection_lost' });
  assert.equal(room.connection.phase, 'waiting');
  mock.timers.tick(1000);
  assert.equal(Socket.all.length, 2);
  assert.equal(Socket.last.url.searchParams.get('after_seq'), '11');
  Socket.last.onopen();
  Socket.last.say({ events: [{ session_welcome: { resumed: true, seq: '12' } }, { seq: '12' }] });
  assert.equal(room.state.seq, 12);
  assert.equal(Socket.last.of('flash_buy')[0].request_id, key);
  assert.equal(Socket.last.of('like_send').length, 0);
  Socket.last.say({ replies: [{ request_id: key, ok: { order: { id: 'o', version: '1' } } }] });
  assert.equal((await buy).order.id, 'o');
  assert.equal(room.state.orders.o.version, 1);
});

test('a comment is not repeated once the server may have forgotten its key', async () => {
  const room = enter();
  Socket.last.greet();
  const comment = room.send('chat_send', { text: 'hi' }, { timeout: 300_000 });
  mock.timers.tick(40_000); // the ping of these seconds stays unanswered and ends the connection
  await settle();
  assert.notEqual(room.connection.phase, 'open');
  mock.timers.tick(11_000);
  await settle();
  Socket.last.greet();
  await assert.rejects(comment, { reason: 'connection_lost' });
  assert.equal(Socket.last.of('chat_send').length, 0);
});

test('close codes', async (t) => {
  for (const [code, reason] of [[4001, 'unauthenticated'], [4003, 'forbidden'], [4009, 'replaced']]) {
    await t.test(`${code} is final`, () => {
      const room = enter();
      Socket.last.greet();
      const before = Socket.all.length;
      Socket.last.drop(code);
      mock.timers.tick(120_000);
      assert.deepEqual([room.connection.phase, room.connection.reason, Socket.all.length], ['closed', reason, before]);
    });
  }
  for (const [code, least, most] of [[1012, 0, 600], [4008, 0, 600], [1006, 0, 600], [4029, 10_000, 10_600]]) {
    await t.test(`${code} comes back after ${least} ms or a little more`, () => {
      const room = enter();
      Socket.last.greet();
      const before = Socket.all.length;
      Socket.last.drop(code);
      mock.timers.tick(least);
      assert.equal(Socket.all.length, before);
      mock.timers.tick(most - least);
      assert.equal(Socket.all.length, before + 1);
      room.close();
    });
  }
});

test('4001 with a fresh token goes on', async () => {
  const room = enter({ refreshToken: async () => 'newer' });
  Socket.last.greet();
  Socket.last.drop(4001, 'token_expired');
  await settle();
  mock.timers.tick(1000);
  assert.equal(Socket.last.url.searchParams.get('access_token'), 'newer');
  assert.equal(room.connection.phase, 'connecting');
});

test('4001 without a newer token is the end', async () => {
  const room = enter({ refreshToken: async () => { throw new Error('signed out'); } });
  Socket.last.greet();
  Socket.last.drop(4001, 'token_expired');
  await settle();
  assert.deepEqual([room.connection.phase, room.connection.reason], ['closed', 'token_expired']);
});

test('closing while a token is fetched stays closed', async () => {
  let give;
  const room = enter({ refreshToken: () => new Promise((resolve) => { give = resolve; }) });
  Socket.last.greet();
  Socket.last.drop(4001);
  room.close();
  give('late');
  await settle();
  mock.timers.tick(60_000);
  assert.deepEqual([room.connection.phase, Socket.all.length], ['closed', 1]);
});

test('an expiring token is renewed on the open connection', async () => {
  enter({ refreshToken: async () => 'newer' });
  Socket.last.greet();
  Socket.last.say({ events: [{ session_expiring: { at_ms: '99' } }] });
  await settle();
  assert.deepEqual(Socket.last.of('session_refresh')[0].session_refresh, { token: 'newer' });
});

test('session_reconnect moves over when it says', async () => {
  const room = enter();
  Socket.last.greet();
  const old = Socket.last;
  old.say({ events: [{ session_reconnect: { after_ms: '3000' } }] });
  mock.timers.tick(2999);
  assert.equal(Socket.all.length, 1);
  mock.timers.tick(1);
  assert.equal(Socket.all.length, 2);
  assert.equal(old.closed, 1000);
  old.drop(1000); // the old end is of no interest any more
  Socket.last.greet();
  assert.equal(room.connection.phase, 'open');
});

test('waiting grows with each failure, is bounded and starts over after a welcome', async () => {
  const room = enter({ random: () => 1 });
  const waits = [];
  for (let i = 0; i < 8; i += 1) {
    Socket.last.drop(1006);
    await settle();
    waits.push(room.connection.retryAt - Date.now());
    mock.timers.tick(waits.at(-1));
  }
  assert.deepEqual(waits, [500, 1000, 2000, 4000, 8000, 16_000, 20_000, 20_000]);
  Socket.last.greet();
  Socket.last.drop(1006);
  assert.equal(room.connection.retryAt - Date.now(), 500);
});

test('a refused handshake is explained by the API', async () => {
  const room = enter();
  answer = { ok: false, status: 404, json: async () => ({ reason: 'room_not_found' }) };
  Socket.last.drop(1006);
  await assert.rejects(room.first, { reason: 'room_not_found' });
  assert.deepEqual([room.connection.phase, room.connection.reason], ['closed', 'room_not_found']);
  const busy = enter();
  answer = { ok: false, status: 503, json: async () => ({ reason: 'busy' }) };
  Socket.last.drop(1006);
  await settle();
  assert.equal(busy.connection.phase, 'waiting');
});

test('early events wait for the missing one', () => {
  const room = enter();
  Socket.last.greet();
  const title = (seq, name) => ({ seq: String(seq), room_state: { room: { id: 'demo', title: name, version: String(seq) } } });
  Socket.last.say({ events: [title(12, 'twelve')] });
  assert.equal(room.state.seq, 10);
  Socket.last.say({ events: [title(11, 'eleven')] });
  assert.deepEqual([room.state.seq, room.state.room.title], [12, 'twelve']);
  mock.timers.tick(2000);
  assert.equal(Socket.last.of('session_resume').length, 0);
});

test('a gap that stays is asked for', async () => {
  const room = enter();
  Socket.last.greet();
  Socket.last.say({ events: [{ seq: '13' }] });
  mock.timers.tick(999);
  assert.equal(Socket.last.of('session_resume').length, 0);
  mock.timers.tick(1);
  const [resume] = Socket.last.of('session_resume');
  assert.deepEqual(resume.session_resume, { after_seq: '10' });
  Socket.last.say({ events: [{ seq: '11' }, { seq: '12' }], replies: [{ request_id: resume.request_id, ok: { session_welcome: { resumed: true, seq: '12' } } }] });
  assert.equal(room.state.seq, 13);
});

test('a lost tail shows by head_seq, and a snapshot heals it', async () => {
  const room = enter();
  Socket.last.greet();
  Socket.last.say({ events: [{ room_stats: { online: '4', head_seq: '12' } }] });
  mock.timers.tick(1000);
  const [resume] = Socket.last.of('session_resume');
  Socket.last.say({ replies: [{ request_id: resume.request_id, ok: { session_welcome: { seq: '12', room: { id: 'demo', title: 'whole', version: '9' } } } }] });
  await settle();
  assert.deepEqual([room.state.seq, room.state.room.title, room.connection.phase], [12, 'whole', 'open']);
  mock.timers.tick(5000);
  assert.equal(Socket.last.of('session_resume').length, 1);
});

test('the server’s clock is measured by the quickest ping', async () => {
  const room = enter();
  Socket.last.greet({ server_time_ms: '1000500' });
  assert.equal(room.now() - Date.now(), 500);
  const pong = (server, trip) => {
    mock.timers.tick(trip);
    Socket.last.say({ replies: [{ request_id: Socket.last.of('ping').at(-1).request_id, ok: { pong: { server_time_ms: String(server) } } }] });
  };
  pong(1_000_000 + 20 + 700, 40);
  await settle();
  assert.equal(room.now() - Date.now(), 700);
  mock.timers.tick(15_000);
  pong(1_015_040 + 9999, 4000); // a slow one does not move it
  await settle();
  assert.equal(room.now() - Date.now(), 700);
});

test('a silent network is noticed by the missing pong', async () => {
  const room = enter();
  Socket.last.greet();
  mock.timers.tick(8000);
  await settle();
  assert.equal(Socket.all[0].closed, 4000);
  assert.equal(room.connection.phase, 'waiting');
});

test('sampled and skipped add up', () => {
  const room = enter();
  Socket.last.greet();
  Socket.last.say({ sampled: 5, skipped: 1 });
  Socket.last.say({ sampled: 2 });
  assert.deepEqual([room.state.sampled, room.state.skipped], [7, 1]);
});

test('buy asks again under its key while the server is busy', async () => {
  const room = enter();
  Socket.last.greet();
  const order = room.buy('f', 2);
  for (const reason of ['busy', 'try_again', 'pending']) {
    const { request_id: id } = Socket.last.of('flash_buy').at(-1);
    Socket.last.say({ replies: [{ request_id: id, error: { reason } }] });
    await settle();
    mock.timers.tick(1600);
    await settle();
  }
  const tries = Socket.last.of('flash_buy');
  assert.equal(tries.length, 4);
  assert.equal(new Set(tries.map((c) => c.request_id)).size, 1);
  Socket.last.say({ replies: [{ request_id: tries[0].request_id, ok: { order: { id: 'o', version: '1' } } }] });
  assert.equal((await order).id, 'o');
});

test('buy gives up at once on a final answer', async () => {
  const room = enter();
  Socket.last.greet();
  const order = room.buy('f');
  Socket.last.say({ replies: [{ request_id: Socket.last.of('flash_buy')[0].request_id, error: { code: 409, reason: 'sold_out' } }] });
  await assert.rejects(order, { reason: 'sold_out' });
});

test('close ends the waits', async () => {
  const room = enter();
  Socket.last.greet();
  const open = room.send('wallet_get');
  room.close();
  await assert.rejects(open, { reason: 'closed' });
  await assert.rejects(room.send('wallet_get'), { reason: 'closed' });
  assert.equal(Socket.last.closed, 1000);
});
