import assert from 'node:assert/strict';
import test from 'node:test';

// What the words need of a browser.
globalThis.document ??= { documentElement: { lang: '', dataset: {} } };
globalThis.localStorage ??= { getItem: () => null, setItem: () => {} };
Object.defineProperty(globalThis, 'navigator', { value: { languages: ['en-GB'] }, configurable: true });
const { countdown, decimals, money, toDecimal, toMinor } = await import('../static/ui/format.js');
const { choose, nameIn, t } = await import('../static/i18n/index.js');

test('money', async (t1) => {
  for (const [minor, currency, want] of [
    [6900, 'CNY', '¥69.00'], [5, 'CNY', '¥0.05'], [0, 'USD', '$0.00'], [1500, 'JPY', '¥1,500'], [1234, 'KWD', 'KWD 1.234'],
    [9007199254740993n, 'USD', '$90,071,992,547,409.93'],
  ]) await t1.test(`${minor} ${currency}`, () => assert.equal(money(minor, currency).replace(/\s/g, ' '), want));
  assert.equal(money(6900, 'CNY', { short: true }), '¥69');
  assert.equal(money(6950, 'CNY', { short: true }), '¥69.50');
  assert.equal(money(100, 'JPY', { short: true }), '¥100');
  assert.equal(decimals('JPY'), 0);
});

test('what a person types becomes minor units', async (t1) => {
  for (const [typed, places, want] of [
    ['69', 2, '6900'], ['69.5', 2, '6950'], ['69,50', 2, '6950'], [' 0.05 ', 2, '5'], ['1500', 0, '1500'],
    ['0', 2, null], ['0.00', 2, null], ['', 2, null], ['-1', 2, null], ['1.234', 2, null], ['1.5', 0, null], ['abc', 2, null], ['1e3', 2, null],
  ]) await t1.test(JSON.stringify(typed), () => assert.equal(toMinor(typed, places), want));
  assert.equal(toDecimal(-5n, 2), '-0.05');
});

test('countdown', () => {
  assert.deepEqual([299_001, 60_000, 1, 0, -5, 3_723_000].map(countdown), ['05:00', '01:00', '00:01', '00:00', '00:00', '1:02:03']);
});

test('languages', () => {
  assert.equal(t('left', { count: 3 }), '3 left');
  assert.equal(nameIn({ en: 'Rose', 'zh-Hans': '玫瑰' }), 'Rose');
  choose('zh-Hans');
  assert.equal(t('left', { count: 3 }), '仅剩 3 件');
  assert.equal(nameIn({ en: 'Rose', 'zh-Hans': '玫瑰' }), '玫瑰');
  assert.equal(nameIn({ en: 'Rose' }), 'Rose');
  choose('en');
});
