import assert from 'node:assert/strict';
import test from 'node:test';
import { Event, Ok, read } from '../static/livecart/messages.js';
import { MAX_COMMENTS, MAX_TIPS, apply, applyReply, emptyState } from '../static/livecart/state.js';

const play = (events, state = emptyState()) => events.reduce((s, raw) => apply(s, read(Event, raw)), state);
const comment = (id, time = 0) => ({ chat_message: { id, text: id, time_ms: String(time), user: { id: 'u' } } });
const welcome = (fields = {}) => ({ session_welcome: { seq: '10', room: { id: 'demo', version: '1' }, stats: { likes: '5' }, ...fields } });

test('a welcome replaces what was known', () => {
  const state = play([welcome({ comments: [{ id: 'a' }], shelf: [{ product_id: 'p' }], shelf_total: 1, sales: [{ id: 'f', available: '3' }] })]);
  assert.equal(state.seq, 10);
  assert.equal(state.likes, 5);
  assert.deepEqual(state.comments.map((c) => c.id), ['a']);
  assert.equal(state.sales.f.available, 3);
});

test('a resumed welcome changes nothing', () => {
  const state = play([welcome()]);
  assert.equal(apply(state, read(Event, { session_welcome: { resumed: true, seq: '40' } })), state);
});

test('numbered events up to seq are ignored, later ones counted', () => {
  const state = play([welcome(), { seq: '10', room_state: { room: { id: 'demo', title: 'old', version: '9' } } }]);
  assert.equal(state.room.title, '');
  const next = play([{ seq: '11', room_state: { room: { id: 'demo', title: 'new', version: '2' } } }], state);
  assert.deepEqual([next.seq, next.room.title], [11, 'new']);
});

test('an unknown numbered event still counts', () => {
  assert.equal(play([welcome(), { seq: '11' }]).seq, 11);
});

test('comments', async (t) => {
  await t.test('one that came twice is kept once', () => {
    const reply = read(Ok, { chat_message: { id: 'm', text: 'm' } });
    assert.equal(applyReply(play([comment('m')]), reply).comments.length, 1);
    assert.equal(play([comment('m')], applyReply(emptyState(), reply)).comments.length, 1);
  });
  await t.test('the oldest leave first', () => {
    const state = play(Array.from({ length: MAX_COMMENTS + 3 }, (_, i) => comment(`m${i}`)));
    assert.equal(state.comments.length, MAX_COMMENTS);
    assert.equal(state.comments[0].id, 'm3');
  });
  await t.test('a deleted one goes, from the pin too', () => {
    const state = play([comment('a'), comment('b'), { seq: '1', chat_pinned: { message: { id: 'a' } } }, { seq: '2', chat_deleted: { message_id: 'a' } }]);
    assert.deepEqual(state.comments.map((c) => c.id), ['b']);
    assert.equal(state.pinned, null);
  });
  await t.test('a pin without message unpins', () => {
    assert.equal(play([{ seq: '1', chat_pinned: { message: { id: 'a' } } }, { seq: '2', chat_pinned: {} }]).pinned, null);
  });
  await t.test('a snapshot of the same room decides over the time it covers', () => {
    const state = play([welcome(), comment('old', 1), comment('deleted meanwhile', 5), welcome({ comments: [{ id: 'x', time_ms: '4' }, { id: 'y', time_ms: '6' }] })]);
    assert.deepEqual(state.comments.map((c) => c.id), ['old', 'x', 'y']);
  });
});

test('gifts', async (t) => {
  const gift = (tips, count, rest = {}) => ({ gift_sent: { tip_ids: tips, user: { id: 'u' }, gift_id: 'rose', combo_id: 'c', combo_count: String(count), combo_end_ms: '100', delta: '1', ...rest } });
  await t.test('the highest count of a combo wins', () => {
    const state = play([gift(['t1'], 1), gift(['t3'], 3), gift(['t2'], 2)]);
    assert.deepEqual(state.gifts.map((g) => g.combo_count), [3]);
    assert.deepEqual(state.tips, ['t1', 't3', 't2']);
  });
  await t.test('a tip that came twice changes nothing', () => {
    const state = play([gift(['t1'], 1)]);
    assert.equal(apply(state, read(Event, gift(['t1'], 9))), state);
  });
  await t.test('other combos, gifts and senders stand apart', () => {
    const state = play([gift(['1'], 1), gift(['2'], 1, { combo_id: 'd' }), gift(['3'], 1, { gift_id: 'gem' }), gift(['4'], 1, { user: { id: 'v' } })]);
    assert.equal(state.gifts.length, 4);
  });
  await t.test('single gifts without combo_id are not merged', () => {
    assert.equal(play([gift(['1'], 1, { combo_id: '' }), gift(['2'], 1, { combo_id: '' })]).gifts.length, 2);
  });
  await t.test('what is remembered is bounded', () => {
    const state = play(Array.from({ length: MAX_TIPS + 5 }, (_, i) => gift([`t${i}`], i + 1)));
    assert.equal(state.tips.length, MAX_TIPS);
  });
});

test('stock', async (t) => {
  const open = welcome({ sales: [{ id: 'f', quantity: '10', available: '10', version: '1' }] });
  const stock = (epoch, rev, available) => ({ flash_stock: { sale_id: 'f', epoch: String(epoch), rev: String(rev), available: String(available) } });
  for (const [name, events, want] of [
    ['newer rev', [stock(1, 1, 9), stock(1, 2, 8)], 8],
    ['older rev is ignored', [stock(1, 5, 4), stock(1, 4, 5)], 4],
    ['newer epoch starts over', [stock(1, 50, 2), stock(2, 1, 6)], 6],
    ['older epoch is ignored', [stock(2, 1, 6), stock(1, 99, 2)], 6],
    ['a snapshot does not forget the order', [stock(2, 4, 6), open, stock(1, 9, 3)], 10],
    ['an edit keeps the stock that came last', [stock(1, 3, 2), { seq: '11', flash_updated: { sale: { id: 'f', quantity: '20', available: '12', version: '2' } } }], 2],
  ]) await t.test(name, () => assert.equal(play([open, ...events]).sales.f.available, want));

  await t.test('sold out and open again', () => {
    const soldOut = play([open, stock(1, 1, 0), { seq: '11', flash_sold_out: { sale_id: 'f' } }]);
    assert.equal(soldOut.sales.f.sold_out, true);
    assert.equal(play([stock(1, 2, 0)], soldOut).sales.f.sold_out, true);
    assert.equal(play([stock(1, 3, 1)], soldOut).sales.f.sold_out, false);
  });
  await t.test('the end is kept with its cause', () => {
    const { f } = play([open, { seq: '11', time_ms: '77', flash_ended: { sale_id: 'f', sold: '4', cause: 'stopped' } }]).sales;
    assert.deepEqual([f.phase, f.sold, f.cause, f.ended_at_ms], ['SALE_PHASE_ENDED', 4, 'stopped', 77]);
  });
  await t.test('an older edit is ignored', () => {
    const sale = (version, price) => ({ flash_updated: { sale: { id: 'f', version, price } } });
    assert.equal(play([open, { seq: '11', ...sale('3', '30') }, { seq: '12', ...sale('2', '20') }]).sales.f.price, 30);
  });
});

test('own orders and beans: the highest version wins', () => {
  const order = (version, state) => ({ order_updated: { order: { id: 'o', version, state } } });
  const state = play([
    { session_self: { user: { id: 'me' }, balance: '50', balance_version: '4', open_orders: [{ id: 'o', version: '1', state: 'A' }] } },
    order('3', 'PAID'), order('2', 'A'), { wallet_balance: { balance: '20', version: '6' } }, { wallet_balance: { balance: '40', version: '5' } },
  ]);
  assert.equal(state.orders.o.state, 'PAID');
  assert.deepEqual([state.balance, state.balanceVersion], [20, 6]);
  assert.equal(applyReply(state, read(Ok, { orders: { orders: [{ id: 'o', version: '9', state: 'SHIPPED' }] } })).orders.o.state, 'SHIPPED');
});

test('likes never fall', () => {
  assert.equal(play([welcome(), { like_total: { total: '9' } }, { room_stats: { likes: '7' } }, { like_total: { total: '8' } }]).likes, 9);
});

test('the shelf follows product_updated', async (t) => {
  const start = welcome({ shelf: [{ product_id: 'a' }, { product_id: 'b' }, { product_id: 'c' }], shelf_total: 3 });
  const update = (id, position) => ({ seq: '11', product_updated: { product: { id, version: '2', listings: [{ price: '30' }, { price: '20' }] }, position } });
  for (const [name, event, want, total] of [
    ['moved', update('c', 1), 'c1 a2 b3', 3], ['taken off', update('b', 0), 'a1 c2', 2], ['put on', update('d', 4), 'a1 b2 c3 d4', 4],
    ['beyond what is loaded', update('z', 30), 'a1 b2 c3', 3],
  ]) await t.test(name, () => {
    const state = play([start, event]);
    assert.equal(state.shelf.map((e) => e.product_id + e.position).join(' '), want);
    assert.equal(state.shelfTotal, total);
  });
  await t.test('the lowest price is shown', () => assert.equal(play([start, update('a', 1)]).shelf[0].price_from, 20));
});

test('an own sanction is known until it is lifted', () => {
  const mute = (rest) => ({ seq: String(rest.seq), user_sanctioned: { user: { id: rest.id ?? 'me' }, kind: 'SANCTION_KIND_MUTE', ...rest } });
  const self = { session_self: { user: { id: 'me' } } };
  const muted = play([self, mute({ seq: 1, until_ms: '99' }), mute({ seq: 2, id: 'other' })]);
  assert.deepEqual(muted.self.sanctions, [{ kind: 'SANCTION_KIND_MUTE', until_ms: 99 }]);
  assert.deepEqual(play([mute({ seq: 3, lifted: true })], muted).self.sanctions, []);
});
