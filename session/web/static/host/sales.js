import { html, useState } from '../ui/html.js';
import { Picture, useNow } from '../ui/live.js';
import { countdown, money, number } from '../ui/format.js';
import { Icon } from '../ui/icons.js';
import { toast } from '../ui/toast.js';
import { t } from '../i18n/index.js';
import { useAct, useSure } from './act.js';

const MINUTE = 60_000;

/** Ended sales that stay in sight. */
const ENDED_SHOWN = 5;

/** The sales that are announced or on. */
export function Sales({ session, state }) {
  const [now, sales] = useSales(session, state);
  return sales.filter((sale) => !isOver(sale, now))
    .map((sale) => html`<${Sale} key=${sale.id} session=${session} sale=${sale} now=${now} />`);
}

/** The sales that are over, newest first. */
export function PastSales({ session, state }) {
  const [now, sales] = useSales(session, state);
  return sales.filter((sale) => isOver(sale, now)).slice(0, ENDED_SHOWN)
    .map((sale) => html`<${Sale} key=${sale.id} session=${session} sale=${sale} now=${now} />`);
}

function useSales(session, state) {
  const sales = Object.values(state.sales).sort((a, b) => Number(b.starts_at_ms) - Number(a.starts_at_ms));
  return [useNow(session.room, 500, sales.length > 0), sales];
}

function isOver(sale, now) {
  return sale.phase === 'SALE_PHASE_ENDED' || now >= sale.ends_at_ms;
}

function Sale({ session, sale, now }) {
  const [busy, run] = useAct();
  const [sure, press] = useSure();
  const [editing, setEditing] = useState(false);
  const over = isOver(sale, now);
  const announced = !over && sale.starts_at_ms > now;
  const gone = Number(sale.quantity) - Number(sale.available);
  const share = (n) => ({ width: `${Math.max(0, Math.min(100, (Number(n) / Number(sale.quantity || 1)) * 100))}%` });
  const update = (fields) => run(async () => {
    await session.room.send('flash_update', { sale_id: sale.id, expected_version: String(sale.version), ...fields });
    toast(t('host.saved'), 'good');
    setEditing(false);
  });
  const stop = () => run(() => session.room.send('flash_stop', { sale_id: sale.id, expected_version: String(sale.version) }));
  return html`
    <section class=${`panel sale ${over ? 'over' : ''}`} data-testid=${`host-sale-${sale.id}`} data-phase=${over ? 'SALE_PHASE_ENDED' : sale.phase}>
      <header><h2><${Icon} name="bolt" filled />${t('flash_sale')}</h2>
        <span class="sale-time tabular">${over ? t(`host.ended.${sale.cause || 'time'}`) : html`
          ${t(announced ? 'starts_in' : 'ends_in')} <b>${countdown((announced ? sale.starts_at_ms : sale.ends_at_ms) - now)}</b>`}</span></header>
      <div class="sale-body"><${Picture} class="thumb" src=${sale.image_url} />
        <div class="goods-words"><p class="goods-title">${sale.title}</p>
          <p><b class="sale-price">${money(sale.price, sale.currency)}</b> <s class="muted">${money(sale.original_price, sale.currency)}</s></p></div></div>
      <div class="sale-bar" aria-hidden="true"><i class="taken" style=${share(gone)}></i></div>
      <dl class="sale-figures">
        <div><dt>${t('host.remaining')}</dt><dd data-testid="host-sale-stock" data-available=${String(sale.available)}>${number(sale.available)}<span> / ${number(sale.quantity)}</span></dd></div>
        <div><dt>${t('host.held')}</dt><dd>${number(sale.held)}</dd></div>
        <div><dt>${t('host.sold')}</dt><dd>${number(Math.max(Number(sale.sold), gone - Number(sale.held)))}</dd></div>
        <div><dt>${t('host.limit')}</dt><dd>${sale.per_buyer_limit || '∞'}</dd></div>
      </dl>
      ${sale.paused && html`<p class="warning" role="status">${t('host.paused_sale')}</p>`}
      ${editing && !over && html`<${Edit} sale=${sale} busy=${busy} onSave=${update} onClose=${() => setEditing(false)} />`}
      ${!over && !editing && html`
        <footer class="acts">
          <button class="tool" data-testid="host-sale-extend" disabled=${busy} onClick=${() => update({ ends_at_ms: String(Number(sale.ends_at_ms) + MINUTE) })}><${Icon} name="clock" />${t('host.one_more_minute')}</button>
          <button class="tool" data-testid="host-sale-edit" disabled=${busy} onClick=${() => setEditing(true)}>${t('host.edit')}</button>
          <button class="tool danger" data-testid="host-sale-stop" disabled=${busy} onClick=${() => press(stop)}>${t(sure ? 'host.sure' : 'host.stop')}</button>
        </footer>`}
    </section>`;
}

function Edit({ sale, busy, onSave, onClose }) {
  const [quantity, setQuantity] = useState(String(sale.quantity));
  const [limit, setLimit] = useState(String(sale.per_buyer_limit));
  const save = (e) => {
    e.preventDefault();
    if (!/^[1-9]\d{0,8}$/.test(quantity)) return toast(t('host.pieces_bad'), 'bad');
    if (!/^\d{1,6}$/.test(limit)) return toast(t('host.limit_bad'), 'bad');
    onSave({ quantity, per_buyer_limit: Number(limit) });
  };
  return html`
    <form class="grid-form" onSubmit=${save}>
      <label>${t('host.pieces')}<input data-testid="host-sale-edit-quantity" inputmode="numeric" value=${quantity} onInput=${(e) => setQuantity(e.target.value)} /></label>
      <label>${t('host.limit')}<input data-testid="host-sale-edit-limit" inputmode="numeric" value=${limit} onInput=${(e) => setLimit(e.target.value)} /></label>
      <div class="acts whole"><button type="button" class="tool" onClick=${onClose}>${t('host.cancel')}</button>
        <button class="tool strong" data-testid="host-sale-save" disabled=${busy}>${t('host.save')}</button></div>
    </form>`;
}
