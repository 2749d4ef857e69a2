import { html, useEffect, useState } from '../ui/html.js';
import { Picture, roomID, useNow } from '../ui/live.js';
import { money, number } from '../ui/format.js';
import { Icon } from '../ui/icons.js';
import { Sheet } from '../ui/sheet.js';
import { toast } from '../ui/toast.js';
import { explain, t } from '../i18n/index.js';
import { Product, ShelfEntry, read } from '../livecart/messages.js';

/** Most pieces of one order line. */
const MOST = 99;

/** The room's products. The welcome brings the first 20; the others are read when the drawer opens. */
export function ShelfSheet({ session, state, open, close }) {
  const [rest, setRest] = useState([]);
  const now = useNow(session.room, 1000);
  const more = state.shelfTotal > state.shelf.length;
  useEffect(() => {
    if (!more) return;
    session.api.list(`/v1/rooms/${roomID}/shelf`, 'shelf')
      .then((shelf) => setRest(shelf.map((raw) => read(ShelfEntry, raw))))
      .catch((refusal) => toast(explain(refusal), 'bad'));
  }, [more]);
  const known = new Set(state.shelf.map((e) => e.product_id));
  const entries = [...state.shelf, ...rest.filter((e) => !known.has(e.product_id))];
  const flash = (id) => Object.values(state.sales).find((s) => s.product_id === id
    && s.phase !== 'SALE_PHASE_ENDED' && s.starts_at_ms <= now && now < s.ends_at_ms);
  return html`
    <${Sheet} title=${t('shelf_title', { count: state.shelfTotal })} name="shelf" onClose=${close}>
      ${entries.length === 0 && html`<p class="empty">${t('shelf_empty')}</p>`}
      <ul class="rows">
        ${entries.map((e, i) => {
          const sale = flash(e.product_id);
          return html`
            <li class="row" key=${e.product_id} data-testid=${`shelf-${e.product_id}`}>
              <span class="row-picture"><${Picture} class="thumb" src=${e.image_url} /><i>${i + 1}</i></span>
              <div class="row-words">
                <h3>${e.title}</h3>
                ${sale && html`<p class="tag"><${Icon} name="bolt" filled />${t('flash_sale')} · ${money(sale.price, sale.currency, { short: true })}</p>`}
                <p class="price"><b>${money(e.price_from, e.currency, { short: true })}</b></p>
              </div>
              <button class="buy small" data-testid=${`shelf-buy-${e.product_id}`} disabled=${!e.on_sale}
                onClick=${() => open('product', { productID: e.product_id })}>${t(e.on_sale ? 'choose' : 'off_sale')}</button>
            </li>`;
        })}
      </ul>
    </${Sheet}>`;
}

/** One product: its variants, how many, and the order. */
export function ProductSheet({ session, state, productID, open }) {
  const [loaded, setProduct] = useState(null);
  const [listingID, setListing] = useState('');
  const [quantity, setQuantity] = useState(1);
  const [busy, setBusy] = useState(false);
  useEffect(() => {
    session.api.get(`/v1/products/${encodeURIComponent(productID)}`)
      .then((body) => setProduct(read(Product, body)))
      .catch((refusal) => { toast(explain(refusal), 'bad'); open('shelf'); });
  }, [productID]);
  // The product on show is kept current by events; take it where it is newer.
  const shown = state.onShow?.product;
  const product = shown?.id === productID && shown.version > (loaded?.version ?? 0) ? shown : loaded;
  const listing = product?.listings.find((l) => l.id === listingID)
    ?? product?.listings.find((l) => l.available > 0) ?? product?.listings[0];
  const most = Math.min(MOST, Number(listing?.available ?? 0));
  const order = async () => {
    setBusy(true);
    try {
      const ok = await session.room.send('order_create', { items: [{ listing_id: listing.id, quantity }] });
      toast(t('ordered'), 'good');
      open('orders', { orderID: ok.order.id });
    } catch (refusal) {
      toast(explain(refusal), 'bad');
      setBusy(false);
    }
  };
  return html`
    <${Sheet} title=${product?.title ?? t('loading')} name="product" onClose=${() => open('shelf')}>
      ${product && html`
        <div class="product">
          <div class="product-top">
            <${Picture} class="product-picture" src=${product.image_url} />
            <div>
              <p class="price large"><b>${listing ? money(listing.price, product.currency) : ''}</b></p>
              <p class="muted">${listing?.available > 0 ? t('left', { count: number(listing.available) }) : t('sold_out')}</p>
            </div>
          </div>
          ${product.description && html`<p class="description">${product.description}</p>`}
          ${product.listings.length > 1 && html`
            <fieldset class="variants"><legend>${t('variant')}</legend>
              ${product.listings.map((l) => html`
                <label key=${l.id} class=${l.available > 0 ? '' : 'gone'}>
                  <input type="radio" name="listing" data-testid=${`listing-${l.id}`} checked=${l.id === listing?.id} disabled=${l.available <= 0}
                    onChange=${() => { setListing(l.id); setQuantity(1); }} /><span>${l.name || product.title}</span></label>`)}
            </fieldset>`}
          <div class="quantity"><span>${t('quantity')}</span>
            <span class="stepper">
              <button class="round" aria-label=${t('less')} disabled=${quantity <= 1} onClick=${() => setQuantity(quantity - 1)}><${Icon} name="minus" /></button>
              <output data-testid="order-quantity" aria-live="polite">${quantity}</output>
              <button class="round" aria-label=${t('more')} disabled=${quantity >= most} onClick=${() => setQuantity(quantity + 1)}><${Icon} name="plus" /></button>
            </span>
          </div>
          <button class="primary wide" data-testid="order-create" onClick=${order}
            disabled=${busy || !session.signedIn || !product.on_sale || most < 1}>
            ${session.signedIn ? t('order_for', { amount: listing ? money(BigInt(listing.price) * BigInt(quantity), product.currency) : '' }) : t('buy.sign_in')}
          </button>
        </div>`}
    </${Sheet}>`;
}
