import assert from 'node:assert/strict';
import test from 'node:test';
import { FlashSale, Gift, Order, ServerFrame, SessionWelcome, integer, read } from '../static/livecart/messages.js';

test('integers of the wire', async (t) => {
  const cases = [
    ['string', '42', 42], ['number', 42, 42], ['absent', undefined, 0], ['null', null, 0], ['negative', '-5', -5],
    ['largest exact', '9007199254740991', 9007199254740991],
    ['beyond it', '9007199254740993', 9007199254740993n],
    ['largest int64', '9223372036854775807', 9223372036854775807n],
    ['smallest int64', '-9223372036854775808', -9223372036854775808n],
  ];
  for (const [name, given, want] of cases) await t.test(name, () => assert.equal(integer(given), want));
  for (const bad of ['1.5', 'x', '1e400']) await t.test(`refuses ${bad}`, () => assert.throws(() => integer(bad)));
});

test('large and small integers compare', () => {
  assert.ok(integer('9223372036854775807') > integer('5'));
  assert.ok(integer('5') < integer('9223372036854775807'));
});

test('absent fields have their defaults', () => {
  assert.deepEqual(read(FlashSale, { id: 'f' }), {
    id: 'f', product_id: '', listing_id: '', sku_id: '', title: '', image_url: '', currency: '', price: 0,
    original_price: 0, quantity: 0, sold: 0, per_buyer_limit: 0, starts_at_ms: 0, ends_at_ms: 0, phase: '',
    version: 0, available: 0, sold_out: false,
  });
  assert.equal(read(Order, {}).ship_to, null);
  assert.deepEqual(read(Order, {}).lines, []);
  assert.deepEqual(read(ServerFrame, {}), { events: [], replies: [], sampled: 0, skipped: 0 });
});

test('nested messages are read and unknown fields left out', () => {
  const welcome = read(SessionWelcome, {
    seq: '7', shiny: 1, room: { id: 'demo', version: '3', host: { name: 'Mei', role: 'ROLE_HOST' } }, comments: [{ id: 'm', time_ms: '9' }],
  });
  assert.equal(welcome.seq, 7);
  assert.equal('shiny' in welcome, false);
  assert.deepEqual(welcome.room.host, { id: '', name: 'Mei', role: 'ROLE_HOST' });
  assert.deepEqual(welcome.comments, [{ id: 'm', user: null, text: '', time_ms: 9 }]);
});

test('maps of texts are kept', () => {
  assert.deepEqual(read(Gift, { names: { en: 'Rose', 'zh-Hans': '玫瑰' } }).names, { en: 'Rose', 'zh-Hans': '玫瑰' });
});
