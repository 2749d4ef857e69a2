import { html, useState } from '../ui/html.js';
import { decimals, money, time, toDecimal, toMinor } from '../ui/format.js';
import { toast } from '../ui/toast.js';
import { t } from '../i18n/index.js';
import { useAct } from './act.js';

/** The longest reason of a refund, and name of a carrier or waybill, in characters. */
const MAX_REASON = 200;
const MAX_WAYBILL = 80;

const toRefund = (line) => line.quantity - line.refunded;
const toShip = (line) => Math.max(0, line.quantity - line.refunded - line.shipped);

/** One order: what became of it, and what its seller can do now. */
export function OrderDesk({ session, order, maySell, put }) {
  const [doing, setDoing] = useState('');
  const [busy, run] = useAct();
  const send = (kind, fields, done) => run(async () => {
    const ok = await session.room.send(kind, { order_id: order.id, ...fields });
    put(ok.order);
    toast(t(done), 'good');
    setDoing('');
  });
  const acts = maySell ? possible(order) : [];
  const Form = acts.includes(doing) ? FORMS[doing] : null;
  return html`
    <div class="desk">
      <${Story} order=${order} />
      ${Form ? html`<${Form} order=${order} busy=${busy} send=${send} onClose=${() => setDoing('')} />` : html`
        <div class="acts">
          ${acts.map((act) => html`<button key=${act} class="tool" data-testid=${`host-order-${act}`} disabled=${busy} onClick=${() => setDoing(act)}>${t(`desk.${act}`)}</button>`)}
        </div>`}
    </div>`;
}

/** What the state of an order allows. */
function possible(order) {
  switch (order.state) {
    case 'ORDER_STATE_AWAITING_PAYMENT': return ['reprice'];
    case 'ORDER_STATE_PAID': return order.lines.some((l) => toShip(l) > 0) ? ['refund', 'ship'] : ['refund'];
    case 'ORDER_STATE_SHIPPED': case 'ORDER_STATE_COMPLETED': return ['refund'];
    default: return [];
  }
}

/** Lines, discount, address, shipments and refunds. */
function Story({ order }) {
  const named = (pieces) => pieces.map((p) => `${order.lines[p.line - 1]?.title} ×${p.quantity}`).join(', ');
  return html`
    <ul class="desk-lines">
      ${order.lines.map((l, i) => html`
        <li key=${i}><span>${l.title} ×${l.quantity}</span>
          <span class="muted">${[l.shipped > 0 && t('desk.shipped', { count: l.shipped }), l.refunded > 0 && t('desk.refunded', { count: l.refunded })].filter(Boolean).join(' · ')}</span>
          <span class="tabular">${money(BigInt(l.unit_price) * BigInt(l.quantity), order.currency)}</span></li>`)}
      ${order.discount > 0 && html`<li><span>${t('desk.discount')}</span><span class="tabular" data-testid="host-order-discount">−${money(order.discount, order.currency)}</span></li>`}
      ${order.refunded > 0 && html`<li><span>${t('desk.money_back')}</span><span class="tabular" data-testid="host-order-refunded">−${money(order.refunded, order.currency)}</span></li>`}
    </ul>
    <p class="muted desk-address">${order.ship_to ? [order.ship_to.name, order.ship_to.phone, order.ship_to.street, order.ship_to.city, order.ship_to.region, order.ship_to.postal_code, order.ship_to.country].filter(Boolean).join(', ') : t('desk.no_address')}</p>
    ${order.shipments.map((s) => html`<p key=${s.id} class="desk-note" data-testid="host-order-shipment">${t('desk.sent', { carrier: s.carrier, waybill: s.waybill })} · ${named(s.pieces)} · ${time(s.shipped_ms)}</p>`)}
    ${order.refunds.map((r) => html`<p key=${r.id} class="desk-note">${t(`refund.${r.state}`)} ${money(r.amount, order.currency)} · ${named(r.pieces)} · ${t(r.restocked ? 'desk.restocked' : 'desk.not_restocked')}${r.reason && ` · ${r.reason}`}</p>`)}`;
}

/** How many pieces of each line; `left` says how many there can be. */
function usePieces(order, left) {
  const [counts, setCounts] = useState(() => order.lines.map((l) => String(left(l))));
  const fields = order.lines.map((l, i) => left(l) > 0 && html`
    <label key=${i} class="whole desk-pieces"><span>${l.title}</span>
      <input type="number" inputmode="numeric" min="0" max=${left(l)} data-testid=${`host-order-pieces-${i + 1}`} value=${counts[i]}
        aria-label=${t('desk.pieces_of', { title: l.title, count: left(l) })}
        onInput=${(e) => setCounts((now) => now.map((n, j) => (j === i ? e.target.value : n)))} /><small>/ ${left(l)}</small></label>`);
  // null for what is no choice of pieces; an empty list stands for all that is left.
  const picked = () => {
    const ns = order.lines.map((l, i) => (left(l) > 0 && /^\d{1,2}$/.test(counts[i]) ? Number(counts[i]) : left(l) > 0 ? -1 : 0));
    if (ns.some((n, i) => n < 0 || n > left(order.lines[i])) || ns.every((n) => n === 0)) return null;
    if (ns.every((n, i) => n === Math.max(0, left(order.lines[i])))) return [];
    return ns.map((n, i) => ({ line: i + 1, quantity: n })).filter((p) => p.quantity > 0);
  };
  return [fields, picked];
}

function Foot({ busy, onClose, name }) {
  return html`
    <div class="acts whole"><button type="button" class="tool" onClick=${onClose}>${t('host.cancel')}</button>
      <button class="tool strong" data-testid=${`host-order-${name}-send`} disabled=${busy}>${t(`desk.${name}_send`)}</button></div>`;
}

function Ship({ order, busy, send, onClose }) {
  const [carrier, setCarrier] = useState('');
  const [waybill, setWaybill] = useState('');
  const [fields, picked] = usePieces(order, toShip);
  const submit = (e) => {
    e.preventDefault();
    const pieces = picked();
    if (pieces === null) return toast(t('desk.pieces_bad'), 'bad');
    send('order_ship', { carrier: carrier.trim(), waybill: waybill.trim(), pieces }, 'desk.ship_done');
  };
  return html`
    <form class="grid-form" aria-label=${t('desk.ship')} onSubmit=${submit}>
      <label>${t('desk.carrier')}<input data-testid="host-order-carrier" required maxlength=${MAX_WAYBILL} value=${carrier} onInput=${(e) => setCarrier(e.target.value)} /></label>
      <label>${t('desk.waybill')}<input data-testid="host-order-waybill" required maxlength=${MAX_WAYBILL} value=${waybill} onInput=${(e) => setWaybill(e.target.value)} /></label>
      ${fields}
      <${Foot} busy=${busy} onClose=${onClose} name="ship" />
    </form>`;
}

function Refund({ order, busy, send, onClose }) {
  const [restock, setRestock] = useState('');
  const [reason, setReason] = useState('');
  const [fields, picked] = usePieces(order, toRefund);
  const submit = (e) => {
    e.preventDefault();
    const pieces = picked();
    if (pieces === null) return toast(t('desk.pieces_bad'), 'bad');
    if (restock === '') return toast(t('desk.restock_bad'), 'bad');
    send('order_refund', { pieces, restock: restock === 'yes', reason: reason.trim() }, 'desk.refund_done');
  };
  return html`
    <form class="grid-form" aria-label=${t('desk.refund')} onSubmit=${submit}>
      ${fields}
      <fieldset class="whole desk-choice"><legend>${t('desk.restock')}</legend>
        ${['yes', 'no'].map((value) => html`
          <label key=${value}><input type="radio" name="restock" data-testid=${`host-order-restock-${value}`} checked=${restock === value} onChange=${() => setRestock(value)} />${t(`desk.restock_${value}`)}</label>`)}
      </fieldset>
      <label class="whole">${t('desk.reason')}<input data-testid="host-order-reason" maxlength=${MAX_REASON} value=${reason} onInput=${(e) => setReason(e.target.value)} /></label>
      <${Foot} busy=${busy} onClose=${onClose} name="refund" />
    </form>`;
}

function Reprice({ order, busy, send, onClose }) {
  const places = decimals(order.currency);
  const [amount, setAmount] = useState(toDecimal(order.amount, places));
  const submit = (e) => {
    e.preventDefault();
    const minor = toMinor(amount, places);
    if (minor === null || BigInt(minor) >= BigInt(order.amount)) return toast(t('host.price_bad', { price: money(order.amount, order.currency) }), 'bad');
    send('order_reprice', { amount: minor, expected_version: String(order.version) }, 'desk.reprice_done');
  };
  return html`
    <form class="grid-form" aria-label=${t('desk.reprice')} onSubmit=${submit}>
      <label class="whole">${t('desk.amount')}<input data-testid="host-order-amount" inputmode="decimal" value=${amount} onInput=${(e) => setAmount(e.target.value)} />
        <small>${t('desk.amount_now', { amount: money(order.amount, order.currency) })}</small></label>
      <${Foot} busy=${busy} onClose=${onClose} name="reprice" />
    </form>`;
}

const FORMS = { ship: Ship, refund: Refund, reprice: Reprice };
