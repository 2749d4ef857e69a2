import { html, useEffect, useState } from '../ui/html.js';
import { Picture, roomID } from '../ui/live.js';
import { money, number, time } from '../ui/format.js';
import { t } from '../i18n/index.js';
import { OrderPage, read } from '../livecart/messages.js';
import { OrderDesk } from './orderdesk.js';

/** How often the newest orders are read, milliseconds. */
const EVERY = 2000;
/** Orders of one page, and pages read at the start. */
const PAGE = 50;
const PAGES = 10;
/** Orders in the document. */
const SHOWN = 100;

/** The room's orders, kept current: {list newest first, more, failed, put(an order that changed)}. */
export function useOrders(session) {
  const [orders, setOrders] = useState({ byID: {}, more: false, failed: false });
  const merge = (fresh, rest) => setOrders((now) => {
    const byID = { ...now.byID };
    for (const o of fresh) if (!byID[o.id] || byID[o.id].version < o.version) byID[o.id] = o;
    return { ...now, byID, ...rest };
  });
  useEffect(() => {
    let stopped = false;
    let timer;
    const page = async (cursor) => read(OrderPage, await session.api.get(`/v1/rooms/${roomID}/orders`, { limit: PAGE, cursor }));
    const loop = async (pages) => {
      try {
        let cursor = '';
        for (let n = 0; n < pages && !stopped; n += 1) {
          const { orders: fresh, next_cursor: next } = await page(cursor);
          merge(fresh, pages > 1 ? { failed: false, more: next !== '' } : { failed: false });
          cursor = next;
          if (cursor === '') break;
        }
        pages = 1;
      } catch {
        merge([], { failed: true });
      }
      if (!stopped) timer = setTimeout(() => loop(pages), EVERY);
    };
    // Sales move stock at once; the orders behind them are read without waiting for the next turn.
    const soon = ({ detail: event }) => {
      if (!event.flash_sold_out && !event.flash_ended) return;
      page('').then(({ orders: fresh }) => merge(fresh, {})).catch(() => {}); // the loop says so if it lasts
    };
    if (session.signedIn) {
      loop(PAGES);
      session.room.addEventListener('event', soon);
    }
    return () => {
      stopped = true;
      clearTimeout(timer);
      session.room.removeEventListener('event', soon);
    };
  }, [session]);
  const list = Object.values(orders.byID).sort((a, b) => Number(b.created_ms) - Number(a.created_ms));
  return { list, more: orders.more, failed: orders.failed, put: (order) => merge([order], {}) };
}

/** The newest orders; one at a time is open to be worked on. */
export function Orders({ session, state, orders }) {
  const [open, setOpen] = useState('');
  const maySell = ['ROLE_HOST', 'ROLE_OPERATOR'].includes(state.self?.user?.role);
  return html`
    <section class="panel tall" aria-label=${t('host.orders')}>
      <header><h2>${t('host.orders')}</h2><span class="muted">${number(orders.list.length)}${orders.more ? '+' : ''}</span></header>
      ${orders.failed && html`<p class="warning" role="status">${t('host.orders_failed')}</p>`}
      ${orders.list.length === 0 && !orders.failed && html`<p class="empty">${t('host.no_orders')}</p>`}
      <ol class="bought" data-testid="host-orders">
        ${orders.list.slice(0, SHOWN).map((o) => html`
          <li key=${o.id} data-testid=${`host-order-${o.id}`} class=${open === o.id ? 'open' : ''}>
            <button class="bought-row" data-testid="host-order-open" aria-expanded=${open === o.id ? 'true' : 'false'} onClick=${() => setOpen(open === o.id ? '' : o.id)}>
              <${Picture} class="thumb" src=${o.lines[0]?.image_url} />
              <span class="goods-words">
                <span class="goods-title">${o.lines[0]?.title}${o.lines.length > 1 ? ` +${o.lines.length - 1}` : ''}</span>
                <span class="muted">${o.buyer?.name} · ×${o.lines.reduce((n, l) => n + l.quantity, 0)} · ${time(o.created_ms)}</span></span>
              <span class="bought-end"><b class="tabular">${money(o.amount, o.currency)}</b>
                <span class=${`state ${o.state}`} data-testid="host-order-state" data-state=${o.state}>${t(`order.${o.state}`)}</span></span>
            </button>
            ${open === o.id && html`<${OrderDesk} session=${session} order=${o} maySell=${maySell} put=${orders.put} />`}
          </li>`)}
      </ol>
    </section>`;
}
