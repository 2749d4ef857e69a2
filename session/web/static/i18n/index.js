import en from './en.js';
import zhHans from './zh-Hans.js';

/** The languages of the pages, by BCP 47 tag. */
export const languages = { en, 'zh-Hans': zhHans };

const REMEMBERED = 'livecart.language';
const listeners = new Set();

let language = remembered() ?? preferred();
document.documentElement.lang = language;

function remembered() {
  const tag = localStorage.getItem(REMEMBERED);
  return tag in languages ? tag : undefined;
}

/** The first language of the browser's list that there are words for. */
function preferred() {
  for (const tag of navigator.languages ?? [navigator.language]) {
    const primary = tag.toLowerCase().split('-')[0];
    if (primary === 'zh') return 'zh-Hans';
    if (primary === 'en') return 'en';
  }
  return 'en';
}

/** The language in use. */
export function current() {
  return language;
}

/** Switches the language and remembers it on this device. */
export function choose(tag) {
  language = tag;
  localStorage.setItem(REMEMBERED, tag);
  document.documentElement.lang = tag;
  for (const listener of listeners) listener(tag);
}

/** Calls listener after each switch; returns how to stop. */
export function onChange(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/**
 * The words for key, with {names} replaced.
 * @param {string} key
 * @param {Object<string, string|number>} [values]
 */
export function t(key, values) {
  const words = languages[language][key] ?? languages.en[key] ?? key;
  return values ? words.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole) : words;
}

/** What to tell a person about a refusal: our words for its reason, else the server's. */
export function explain(refusal) {
  const key = `reason.${refusal.reason}`;
  if (!(key in languages.en)) return refusal.message || t('reason.internal');
  const seconds = Math.ceil(Number(refusal.retryAfter ?? 0) / 1000);
  return seconds > 1 ? `${t(key)} ${t('retry_in', { seconds })}` : t(key);
}

/** The name of something named in several languages, e.g. a gift. */
export function nameIn(names) {
  return names[language] ?? names[language.split('-')[0]] ?? names.en ?? Object.values(names)[0] ?? '';
}
