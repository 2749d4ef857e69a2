import { html, useEffect, useState } from '../ui/html.js';
import { decimals, money, number, toDecimal, toMinor } from '../ui/format.js';
import { Icon } from '../ui/icons.js';
import { toast } from '../ui/toast.js';
import { t } from '../i18n/index.js';
import { Product, read } from '../livecart/messages.js';
import { useAct } from './act.js';

const MINUTE = 60_000;
const DURATIONS = [1, 3, 5, 10, 30, 60];
const DELAYS = [0, 10, 30, 60];

/** The form of a new flash sale. `draft` is the product it is about, '' for none yet. */
export function SaleForm({ session, state, draft, setDraft }) {
  const [product, setProduct] = useState(null);
  const [values, setValues] = useState({ listing: '', price: '', quantity: '50', limit: '1', minutes: '3', delay: '0' });
  const [busy, run] = useAct();
  useEffect(() => {
    setProduct(null);
    if (draft === '') return;
    run(async () => {
      const loaded = read(Product, await session.api.get(`/v1/products/${encodeURIComponent(draft)}`));
      setProduct(loaded);
      choose(loaded, loaded.listings[0]);
    });
  }, [draft]);
  // Half the price and what is in stock, at most fifty, is a start that a host changes.
  const choose = (of, listing) => listing && setValues((now) => ({
    ...now, listing: listing.id,
    price: toDecimal(BigInt(listing.price) / 2n || 1n, decimals(of.currency)),
    quantity: String(Math.max(1, Math.min(50, Number(listing.available)))),
  }));
  const set = (field) => ({ target: { value } }) => setValues((now) => ({ ...now, [field]: value }));
  const listing = product?.listings.find((l) => l.id === values.listing);

  const start = (e) => {
    e.preventDefault();
    if (!listing) return;
    const price = toMinor(values.price, decimals(product.currency));
    if (price === null || BigInt(price) >= BigInt(listing.price)) {
      return toast(t('host.price_bad', { price: money(listing.price, product.currency) }), 'bad');
    }
    if (!/^[1-9]\d{0,8}$/.test(values.quantity) || Number(values.quantity) > Number(listing.available)) return toast(t('host.pieces_bad'), 'bad');
    if (!/^\d{1,6}$/.test(values.limit)) return toast(t('host.limit_bad'), 'bad');
    const delay = Number(values.delay) * 1000;
    run(async () => {
      await session.room.send('flash_start', {
        listing_id: listing.id, price, quantity: values.quantity, per_buyer_limit: Number(values.limit),
        starts_at_ms: delay === 0 ? '0' : String(Math.round(session.room.now() + delay)),
        duration_ms: String(Number(values.minutes) * MINUTE),
      });
      toast(t('host.sale_started'), 'good');
      setDraft('');
    });
  };

  return html`
    <section class="panel" aria-label=${t('host.new_sale')}>
      <header><h2>${t('host.new_sale')}</h2></header>
      <form class="grid-form" onSubmit=${start}>
        <label class="whole">${t('host.product')}
          <select data-testid="host-sale-product" value=${draft} onChange=${(e) => setDraft(e.target.value)}>
            <option value="">${t('host.choose_product')}</option>
            ${state.shelf.filter((e) => e.on_sale).map((e) => html`<option key=${e.product_id} value=${e.product_id}>${e.title}</option>`)}
          </select></label>
        ${product?.listings.length > 1 && html`
          <label class="whole">${t('variant')}
            <select data-testid="host-sale-listing" value=${values.listing} onChange=${(e) => choose(product, product.listings.find((l) => l.id === e.target.value))}>
              ${product.listings.map((l) => html`<option key=${l.id} value=${l.id}>${l.name || product.title} · ${number(l.available)}</option>`)}
            </select></label>`}
        ${listing && html`
          <label>${t('host.price')}<input data-testid="host-sale-price" inputmode="decimal" value=${values.price} onInput=${set('price')} />
            <small>${t('host.price_normal', { price: money(listing.price, product.currency) })}</small></label>
          <label>${t('host.pieces')}<input data-testid="host-sale-quantity" inputmode="numeric" value=${values.quantity} onInput=${set('quantity')} />
            <small>${t('host.pieces_have', { count: number(listing.available) })}</small></label>
          <label>${t('host.limit')}<input data-testid="host-sale-limit" inputmode="numeric" value=${values.limit} onInput=${set('limit')} />
            <small>${t('host.limit_none')}</small></label>
          <label>${t('host.lasts')}<select data-testid="host-sale-duration" value=${values.minutes} onChange=${set('minutes')}>
            ${DURATIONS.map((n) => html`<option key=${n} value=${String(n)}>${t('host.minutes', { count: n })}</option>`)}</select></label>
          <label class="whole">${t('host.starts')}<select data-testid="host-sale-delay" value=${values.delay} onChange=${set('delay')}>
            ${DELAYS.map((n) => html`<option key=${n} value=${String(n)}>${n === 0 ? t('host.now') : t('host.in_seconds', { count: n })}</option>`)}</select></label>
          <button class="tool strong whole" data-testid="host-sale-start" disabled=${busy}><${Icon} name="bolt" filled />${t('host.start_sale')}</button>`}
      </form>
    </section>`;
}
