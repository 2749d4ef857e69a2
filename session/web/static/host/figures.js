import { html, useEffect, useRef, useState } from '../ui/html.js';
import { roomID } from '../ui/live.js';
import { count, money, number } from '../ui/format.js';
import { Icon } from '../ui/icons.js';
import { t } from '../i18n/index.js';
import { RankingEntry, read } from '../livecart/messages.js';

/** Points of the online line, one for each room_stats. */
const POINTS = 120;
/** Places of the ranking that are read; with more senders the sum is a lower bound. */
const PLACES = 100;
/** How often the ranking is read while gifts come, milliseconds. */
const TIPS_EVERY = 3000;
const PAID = ['ORDER_STATE_PAID', 'ORDER_STATE_SHIPPED', 'ORDER_STATE_COMPLETED'];

/** The figures of the room, as they are now. */
export function Figures({ session, state, orders }) {
  const { stats } = state;
  const line = useOnline(session.room);
  const tips = useTips(session, state.tips.at(-1) ?? '');
  const paid = orders.list.filter((o) => PAID.includes(o.state));
  const sums = new Map();
  for (const o of paid) sums.set(o.currency, (sums.get(o.currency) ?? 0n) + BigInt(o.amount) - BigInt(o.refunded));
  const currency = orders.list[0]?.currency ?? state.shelf[0]?.currency ?? 'CNY';
  const sales = sums.size === 0 ? money(0, currency, { short: true }) : [...sums].map(([c, sum]) => money(sum, c, { short: true })).join(' + ');
  const atLeast = (value, is) => (is ? t('figure.at_least', { value }) : value);
  return html`
    <section class="figures">
      <${Figure} name="online" icon="people" value=${number(stats.online)}><${Line} points=${line} /></${Figure}>
      <${Figure} name="peak" icon="people" value=${number(stats.peak)} />
      <${Figure} name="visits" icon="eye" value=${count(stats.visits)} full=${stats.visits} />
      <${Figure} name="unique" icon="eye" value=${atLeast(count(stats.unique), stats.unique_lower_bound)} full=${stats.unique} />
      <${Figure} name="likes" icon="heart" value=${count(state.likes)} full=${state.likes} />
      <${Figure} name="sales" icon="bag" value=${atLeast(sales, orders.more)} note=${t('figure.orders', { paid: paid.length, all: orders.list.length })} />
      <${Figure} name="tips" icon="gift" value=${atLeast(number(tips.beans), tips.more)} note=${tips.top && t('figure.top_sender', { name: tips.top })} />
    </section>`;
}

function Figure({ name, icon, value, full, note, children }) {
  return html`
    <dl class=${`figure ${name}`}>
      <dt><${Icon} name=${icon} />${t(`figure.${name}`)}</dt>
      <dd data-testid=${`host-figure-${name}`} data-value=${full === undefined ? undefined : String(full)} title=${full === undefined ? undefined : number(full)}>${value}</dd>
      ${note && html`<dd class="note">${note}</dd>`}
      ${children}
    </dl>`;
}

/** How many watched lately. */
function useOnline(room) {
  const [points, setPoints] = useState([]);
  useEffect(() => {
    const take = ({ detail: event }) => {
      if (event.room_stats) setPoints((now) => [...now, Number(event.room_stats.online)].slice(-POINTS));
    };
    room.addEventListener('event', take);
    return () => room.removeEventListener('event', take);
  }, [room]);
  return points;
}

function Line({ points }) {
  if (points.length < 2) return null;
  const least = Math.min(...points);
  const range = Math.max(...points) - least || 1;
  const path = points.map((p, i) => `${(i / (points.length - 1)) * 100},${22 - ((p - least) / range) * 20}`).join(' ');
  return html`
    <svg class="line" viewBox="0 0 100 24" preserveAspectRatio="none" aria-hidden="true">
      <polygon points=${`0,24 ${path} 100,24`} /><polyline points=${path} />
    </svg>`;
}

/** Beans given in this room, read again when gifts came but not more than every few seconds. */
function useTips(session, newest) {
  const [tips, setTips] = useState({ beans: 0, top: '', more: false });
  const seen = useRef(newest);
  seen.current = newest;
  useEffect(() => {
    let known;
    const readAgain = async () => {
      const upTo = seen.current;
      if (known === upTo) return;
      try {
        const body = await session.api.get(`/v1/rooms/${roomID}/ranking`, { limit: PLACES });
        const entries = body.entries.map((raw) => read(RankingEntry, raw));
        known = upTo;
        setTips({
          beans: entries.reduce((sum, e) => sum + BigInt(e.beans), 0n), top: entries[0]?.user?.name ?? '', more: entries.length >= PLACES,
        });
      } catch {
        // the figure stays as it was; the next reading comes by itself
      }
    };
    readAgain();
    const timer = setInterval(readAgain, TIPS_EVERY);
    return () => clearInterval(timer);
  }, [session]);
  return tips;
}
