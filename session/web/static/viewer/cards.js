import { html, useState } from '../ui/html.js';
import { Picture, useNow } from '../ui/live.js';
import { countdown, money, number } from '../ui/format.js';
import { Icon } from '../ui/icons.js';
import { t } from '../i18n/index.js';
import { buyState, ordersOf, useBuy } from './purchase.js';

/** A sale that ended stays in sight this long, milliseconds. */
const ENDED_STAYS = 8000;

/** Sales that are on, then the product on show where no sale shows it already. */
export function Cards(view) {
  const { session, state } = view;
  const busy = Object.keys(state.sales).length > 0 || state.onShow !== null;
  const now = useNow(session.room, 250, busy);
  const [hidden, setHidden] = useState('');
  const sales = Object.values(state.sales)
    .filter((s) => now < (s.ended_at_ms || s.ends_at_ms) + ENDED_STAYS)
    .sort((a, b) => Number(a.phase === 'SALE_PHASE_ENDED') - Number(b.phase === 'SALE_PHASE_ENDED') || a.starts_at_ms - b.starts_at_ms)
    .slice(0, 2);
  const { onShow } = state;
  const shown = onShow && onShow.until_ms > now && hidden !== `${onShow.product.id} ${onShow.until_ms}`
    && !sales.some((s) => s.product_id === onShow.product.id);
  return html`
    <section class="cards" aria-label=${t('offers')}>
      ${sales.map((sale) => html`<${FlashCard} key=${sale.id} ...${view} sale=${sale} now=${now} />`)}
      ${shown && sales.length < 2 && html`
        <${ProductCard} key=${onShow.product.id} ...${view} product=${onShow.product}
          onHide=${() => setHidden(`${onShow.product.id} ${onShow.until_ms}`)} />`}
    </section>`;
}

function FlashCard({ session, state, sale, now, open }) {
  const { buying, limited, buy } = useBuy(session, sale, (order) => open('orders', { orderID: order.id }));
  const can = limited ? 'limit' : buyState({ session, state, sale, now, buying });
  const own = ordersOf(state, sale.id);
  const announced = sale.starts_at_ms > now;
  const over = can === 'ended' || sale.phase === 'SALE_PHASE_ENDED';
  const left = sale.quantity > 0 ? Math.max(0, Math.min(1, Number(sale.available) / Number(sale.quantity))) : 0;
  const off = sale.original_price > 0 ? Math.round((1 - Number(sale.price) / Number(sale.original_price)) * 100) : 0;
  return html`
    <article class=${`card flash ${over ? 'over' : ''}`} data-testid="flash-card" data-sale=${sale.id}>
      <header class="flash-head">
        <span class="flash-tag"><${Icon} name="bolt" filled />${t('flash_sale')}</span>
        ${off > 0 && html`<span class="flash-off">−${off}%</span>`}
        <span class="flash-time">${over ? t('sale_over') : html`
          ${t(announced ? 'starts_in' : 'ends_in')} <time data-testid="flash-countdown">${countdown((announced ? sale.starts_at_ms : sale.ends_at_ms) - now)}</time>`}</span>
      </header>
      <div class="card-body">
        <${Picture} class="thumb" src=${sale.image_url} />
        <div class="card-words">
          <h3>${sale.title}</h3>
          <p class="price"><b data-testid="flash-price">${money(sale.price, sale.currency, { short: true })}</b>
            <s><span class="sr">${t('instead_of')} </span>${money(sale.original_price, sale.currency, { short: true })}</s></p>
          <div class="stock" role="meter" aria-valuemin="0" aria-valuemax=${String(sale.quantity)} aria-valuenow=${String(sale.available)} aria-label=${t('stock')}>
            <span class="stock-bar"><i style=${{ width: `${left * 100}%` }}></i></span>
            <span class="stock-words" data-testid="flash-stock" data-available=${String(sale.available)}>${t('left', { count: number(sale.available) })}</span>
          </div>
        </div>
        <div class="card-act">
          <button class=${`buy ${can}`} data-testid="flash-buy" data-state=${can} aria-busy=${can === 'buying'}
            disabled=${!['buy', 'yours'].includes(can)}
            onClick=${() => (can === 'yours' ? open('orders', { orderID: own[0].id }) : buy())}>
            ${can === 'buying' && html`<span class="spin" aria-hidden="true"></span>`}
            ${can === 'yours' && html`<${Icon} name="check" />`}
            ${t(`buy.${can}`)}
          </button>
          ${own.length > 0 && can !== 'yours' && html`
            <button class="link" data-testid="flash-order" onClick=${() => open('orders', { orderID: own[0].id })}>${t('my_order')}</button>`}
        </div>
      </div>
    </article>`;
}

function ProductCard({ product, open, onHide }) {
  const prices = product.listings.map((l) => l.price);
  const least = prices.reduce((a, b) => (b < a ? b : a), prices[0] ?? 0);
  return html`
    <article class="card" data-testid="product-card" data-product=${product.id}>
      <div class="card-body">
        <${Picture} class="thumb" src=${product.image_url} />
        <div class="card-words">
          <p class="showing">${t('on_show')}</p>
          <h3>${product.title}</h3>
          <p class="price"><b>${money(least, product.currency, { short: true })}</b>
            ${prices.some((p) => p !== least) && html`<span class="from">${t('from')}</span>`}</p>
        </div>
        <div class="card-act">
          <button class="buy" data-testid="product-buy" disabled=${!product.on_sale}
            onClick=${() => open('product', { productID: product.id })}>${t(product.on_sale ? 'view' : 'off_sale')}</button>
        </div>
      </div>
      <button class="card-close" aria-label=${t('hide')} onClick=${onHide}><${Icon} name="close" /></button>
    </article>`;
}
