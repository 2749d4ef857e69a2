import { current } from '../i18n/index.js';

const formats = new Map();

function format(key, make) {
  const full = `${current()} ${key}`;
  if (!formats.has(full)) formats.set(full, make(current()));
  return formats.get(full);
}

/** Decimals of a currency: 2 for CNY, 0 for JPY. */
export function decimals(currency) {
  return moneyFormat(currency).resolvedOptions().maximumFractionDigits;
}

function moneyFormat(currency) {
  return format(`money ${currency}`, (language) => new Intl.NumberFormat(language, {
    style: 'currency', currency: currency || 'XXX', currencyDisplay: 'narrowSymbol',
  }));
}

/** Minor units as a decimal string, without floating point. */
export function toDecimal(minor, places) {
  const digits = String(minor).replace('-', '').padStart(places + 1, '0');
  const sign = minor < 0 ? '-' : '';
  return places === 0 ? sign + digits : `${sign}${digits.slice(0, -places)}.${digits.slice(-places)}`;
}

/**
 * A decimal that a person typed as minor units, without floating point.
 * @returns {string|null} null where it is not an amount of this many decimals above 0
 */
export function toMinor(typed, places) {
  const match = /^\s*(\d{1,13})(?:[.,](\d+))?\s*$/.exec(typed);
  if (!match || (match[2] ?? '').length > places) return null;
  const minor = (match[1] + (match[2] ?? '').padEnd(places, '0')).replace(/^0+/, '');
  return minor || null;
}

/** An amount of money. A whole one goes without its zeros when `short`. */
export function money(minor, currency, { short = false } = {}) {
  const text = moneyFormat(currency).format(toDecimal(minor, decimals(currency)));
  return short ? text.replace(/[.,]00(?=\D*$)/, '') : text;
}

/** An amount of a currency that may be none of ours, or with '' a count. */
export function amount(value, currency) {
  if (/^[A-Z]{3}$/.test(currency)) return money(value, currency);
  return currency === '' ? number(BigInt(value)) : `${number(BigInt(value))} ${currency}`;
}

/** A count in full: 12,345. */
export function number(n) {
  return format('number', (language) => new Intl.NumberFormat(language)).format(n);
}

/** A count to glance at: 12.3K, 1.2万. */
export function count(n) {
  if (n < 10_000) return number(n);
  return format('count', (language) => new Intl.NumberFormat(language, {
    notation: 'compact', maximumFractionDigits: 1,
  })).format(n);
}

/** Time left: 04:59, 1:02:03, and never below 00:00. */
export function countdown(ms) {
  const seconds = Math.max(0, Math.ceil(ms / 1000));
  const two = (n) => String(n).padStart(2, '0');
  const hours = Math.floor(seconds / 3600);
  const rest = `${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`;
  return hours > 0 ? `${hours}:${rest}` : rest;
}

/** Time of day. */
export function time(ms) {
  return format('time', (language) => new Intl.DateTimeFormat(language, { timeStyle: 'short' })).format(Number(ms));
}

/** Day and time of day. */
export function date(ms) {
  return format('date', (language) => new Intl.DateTimeFormat(language, {
    dateStyle: 'medium', timeStyle: 'short',
  })).format(Number(ms));
}

/** Name of a country. */
export function country(code) {
  return format('country', (language) => new Intl.DisplayNames([language], { type: 'region' })).of(code);
}
