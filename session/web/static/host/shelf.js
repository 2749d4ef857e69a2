import { html, useEffect, useState } from '../ui/html.js';
import { Picture, roomID, useNow } from '../ui/live.js';
import { countdown, money } from '../ui/format.js';
import { Icon } from '../ui/icons.js';
import { toast } from '../ui/toast.js';
import { t } from '../i18n/index.js';
import { ShelfEntry, read } from '../livecart/messages.js';
import { useAct } from './act.js';

/** The room's products: show one, or start a flash sale with it. */
export function Shelf({ session, state, onFlash }) {
  const now = useNow(session.room, 1000, state.onShow !== null);
  const [busy, run] = useAct();
  const [rest, setRest] = useState([]);
  const more = state.shelfTotal > state.shelf.length;
  useEffect(() => {
    if (!more) return;
    run(async () => {
      const shelf = await session.api.list(`/v1/rooms/${roomID}/shelf`, 'shelf');
      setRest(shelf.map((raw) => read(ShelfEntry, raw)));
    });
  }, [more]);
  const known = new Set(state.shelf.map((e) => e.product_id));
  const entries = [...state.shelf, ...rest.filter((e) => !known.has(e.product_id))];
  const push = (entry) => run(async () => {
    await session.room.send('product_push', { product_id: entry.product_id, duration_ms: '0' });
    toast(t('host.pushed', { title: entry.title }), 'good');
  });
  return html`
    <section class="panel" aria-label=${t('host.shelf')}>
      <header><h2>${t('host.shelf')}</h2><span class="muted">${state.shelfTotal}</span></header>
      ${entries.length === 0 && html`<p class="empty">${t('shelf_empty')}</p>`}
      <ul class="goods" data-testid="host-shelf">
        ${entries.map((e, i) => {
          const showing = state.onShow?.product.id === e.product_id && state.onShow.until_ms > now;
          return html`
            <li key=${e.product_id} class=${showing ? 'showing' : ''}>
              <span class="place">${i + 1}</span>
              <${Picture} class="thumb" src=${e.image_url} />
              <div class="goods-words"><p class="goods-title">${e.title}</p>
                <p class="muted">${money(e.price_from, e.currency)}${!e.on_sale && ` · ${t('off_sale')}`}</p></div>
              <button class="tool icon-only" title=${t('host.flash_this')} aria-label=${`${t('host.flash_this')}: ${e.title}`} disabled=${!e.on_sale}
                onClick=${() => onFlash(e.product_id)}><${Icon} name="bolt" /></button>
              <button class=${`tool ${showing ? 'on' : ''}`} data-testid=${`host-push-${e.product_id}`} disabled=${busy || !e.on_sale} onClick=${() => push(e)}>
                <${Icon} name="show" />${showing ? html`<span class="tabular" data-testid="host-on-show">${countdown(state.onShow.until_ms - now)}</span>` : t('host.push')}</button>
            </li>`;
        })}
      </ul>
    </section>`;
}
