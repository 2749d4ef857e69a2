import { html, useEffect, useState } from '../ui/html.js';
import { Picture, useNow } from '../ui/live.js';
import { countdown, date, money } from '../ui/format.js';
import { Icon } from '../ui/icons.js';
import { Sheet } from '../ui/sheet.js';
import { toast } from '../ui/toast.js';
import { explain, t } from '../i18n/index.js';
import { AddressForm, isWhole } from './address.js';
import { openPayment, safeURL } from './payment.js';

/** Own orders, newest first; one of them opened. */
export function OrdersSheet({ session, state, orderID, open, close }) {
  const [loading, setLoading] = useState(true);
  useEffect(() => {
    session.room.send('order_list', { limit: 20 })
      .catch((refusal) => toast(explain(refusal), 'bad')).finally(() => setLoading(false));
  }, []);
  const orders = Object.values(state.orders).sort((a, b) => Number(b.created_ms) - Number(a.created_ms));
  const order = orderID && state.orders[orderID];
  if (order) {
    return html`
      <${Sheet} title=${t('order')} name="order" onClose=${close} key=${order.id} action=${html`
        <button class="round quiet" aria-label=${t('all_orders')} onClick=${() => open('orders')}><${Icon} name="receipt" /></button>`}>
        <${OrderView} session=${session} order=${order} />
      </${Sheet}>`;
  }
  return html`
    <${Sheet} title=${t('orders')} name="orders" onClose=${close} key="list">
      ${orders.length === 0 && html`<p class="empty">${t(loading ? 'loading' : 'orders_empty')}</p>`}
      <ul class="rows">
        ${orders.map((o) => html`
          <li key=${o.id}>
            <button class="row order-row" data-testid=${`order-${o.id}`} onClick=${() => open('orders', { orderID: o.id })}>
              <${Picture} class="thumb" src=${o.lines[0]?.image_url} />
              <span class="row-words"><span class="row-title">${o.lines[0]?.title}</span>
                <span class="muted">${date(o.created_ms)}</span>
                <${StateBadge} state=${o.state} /></span>
              <b class="row-amount">${money(o.amount, o.currency)}</b>
            </button>
          </li>`)}
      </ul>
    </${Sheet}>`;
}

function StateBadge({ state }) {
  return html`<span class=${`state ${state}`}>${t(`order.${state}`)}</span>`;
}

function OrderView({ session, order }) {
  const awaiting = order.state === 'ORDER_STATE_AWAITING_PAYMENT';
  const now = useNow(session.room, 1000, awaiting);
  const [payment, setPayment] = useState(null);
  const [busy, setBusy] = useState('');
  const [editing, setEditing] = useState(false);
  const [sure, setSure] = useState(false);
  const left = Number(order.expires_at_ms) - now;
  const hasAddress = isWhole(order.ship_to);

  const run = async (what, act) => {
    setBusy(what);
    try {
      await act();
    } catch (refusal) {
      toast(explain(refusal), 'bad');
    } finally {
      setBusy('');
    }
  };
  const pay = () => run('pay', async () => {
    const ok = await session.room.send('order_pay', { order_id: order.id });
    setPayment(ok.payment);
    openPayment(ok.payment.url);
  });
  const cancel = () => run('cancel', () => session.room.send('order_cancel', { order_id: order.id }));
  const receive = () => run('receive', async () => {
    if (!sure) return setSure(true);
    await session.room.send('order_receive', { order_id: order.id });
    setSure(false);
  });
  const setAddress = (address) => run('address', async () => {
    await session.room.send('order_address', { order_id: order.id, ship_to: address });
    setEditing(false);
  });

  return html`
    <div class="order">
      <p class=${`order-state ${order.state}`} data-testid="order-state" data-state=${order.state} aria-live="polite">
        <b>${t(`order.${order.state}`)}</b>
        <span>${awaiting ? t('pay_within', { time: countdown(left) }) : t(`order.${order.state}.more`)}</span>
      </p>
      ${order.lines.map((line) => html`
        <div class="row" key=${line.listing_id}>
          <${Picture} class="thumb" src=${line.image_url} />
          <div class="row-words"><h3>${line.title}</h3><p class="muted">×${line.quantity}${line.refunded > 0 && ` · ${t('desk.refunded', { count: line.refunded })}`}</p></div>
          <b class="row-amount">${money(line.unit_price, order.currency)}</b>
        </div>`)}
      ${order.discount > 0 && html`<p class="less"><span>${t('desk.discount')}</span><b data-testid="order-discount">−${money(order.discount, order.currency)}</b></p>`}
      <p class="total"><span>${t('total')}</span><b data-testid="order-amount">${money(order.amount, order.currency)}</b></p>
      ${order.refunds.map((r) => html`
        <p class="less" key=${r.id} data-testid="order-refund"><span>${t(`refund.${r.state}`)}</span><b>${money(r.amount, order.currency)}</b></p>`)}
      ${order.shipments.length > 0 && html`
        <section class="ship" data-testid="order-shipments"><h3>${t('parcels')}</h3>
          ${order.shipments.map((s) => html`
            <p class="address" key=${s.id}>${t('desk.sent', { carrier: s.carrier, waybill: s.waybill })}<br />
              ${s.pieces.map((p) => `${order.lines[p.line - 1]?.title} ×${p.quantity}`).join(', ')} · ${date(s.shipped_ms)}</p>`)}
        </section>`}
      <section class="ship" data-testid="order-address">
        <h3>${t('ship_to')}</h3>
        ${hasAddress && !editing ? html`
          <p class="address">${order.ship_to.name} · ${order.ship_to.phone}<br />
            ${[order.ship_to.street, order.ship_to.city, order.ship_to.region, order.ship_to.postal_code, order.ship_to.country].filter(Boolean).join(', ')}</p>
          ${['ORDER_STATE_AWAITING_PAYMENT', 'ORDER_STATE_PAID'].includes(order.state) && html`
            <button class="link" onClick=${() => setEditing(true)}>${t('change')}</button>`}` : html`
          <${AddressForm} address=${order.ship_to} busy=${busy === 'address'} onSave=${setAddress} />`}
      </section>
      ${awaiting && html`
        <div class="order-acts">
          <button class="quiet" data-testid="order-cancel" disabled=${busy !== ''} onClick=${cancel}>${t('cancel_order')}</button>
          <button class="primary" data-testid="order-pay" disabled=${busy !== '' || left <= 0} aria-busy=${busy === 'pay'} onClick=${pay}>
            ${t('pay', { amount: money(order.amount, order.currency) })}</button>
        </div>
        ${payment && payment.price_version === order.price_version && html`
          <p class="pay-open"><span>${t('pay_waiting')}</span>
            <a class="primary" data-testid="order-pay-link" href=${safeURL(payment.url)} target="_blank" rel="noopener noreferrer">
              ${t('open_payment')} <${Icon} name="external" /></a></p>`}`}
      ${order.state === 'ORDER_STATE_SHIPPED' && html`
        <div class="order-acts whole">
          <button class="primary wide" data-testid="order-receive" disabled=${busy !== ''} aria-busy=${busy === 'receive'} onClick=${receive}>${t(sure ? 'received_sure' : 'received')}</button>
        </div>`}
    </div>`;
}
