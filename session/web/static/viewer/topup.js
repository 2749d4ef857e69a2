import { html, useEffect, useState } from '../ui/html.js';
import { money, number } from '../ui/format.js';
import { Icon } from '../ui/icons.js';
import { Sheet } from '../ui/sheet.js';
import { toast } from '../ui/toast.js';
import { explain, t } from '../i18n/index.js';
import { integer, newRequestID } from '../livecart.js';
import { openPayment, safeURL } from './payment.js';

const PACKS = [70, 210, 420, 700, 2100, 4200];

/** The drawer to buy beans: choose a pack, pay on the provider's page, see the balance rise. */
export function TopUpSheet({ session, state, open, close }) {
  const [busy, setBusy] = useState(0);
  const [started, setStarted] = useState(null);
  const [before] = useState(state.balance);
  const arrived = started !== null && state.balance > before;
  useEffect(() => { if (arrived) toast(t('topped_up'), 'good'); }, [arrived]);
  const choose = async (beans) => {
    setBusy(beans);
    try {
      const topUp = await session.api.post('/v1/topups', { beans }, newRequestID());
      setStarted({ url: safeURL(topUp.url), amount: integer(topUp.amount), currency: topUp.currency, beans: integer(topUp.beans) });
      openPayment(topUp.url);
    } catch (refusal) {
      toast(explain(refusal), 'bad');
    } finally {
      setBusy(0);
    }
  };
  return html`
    <${Sheet} title=${t('top_up')} name="topup" onClose=${() => open('gifts')} action=${html`
      <span class="beans"><${Icon} name="bean" /><span class="sr">${t('beans')} </span><b data-testid="balance">${number(state.balance)}</b></span>`}>
      ${arrived ? html`
        <div class="done"><span class="done-mark"><${Icon} name="check" /></span>
          <p>${t('topped_up')}</p><button class="primary" onClick=${() => open('gifts')}>${t('back_to_gifts')}</button></div>` : html`
        <div class="packs">
          ${PACKS.map((beans) => html`
            <button key=${beans} class="pack" data-testid=${`topup-${beans}`} disabled=${busy !== 0} aria-busy=${busy === beans} onClick=${() => choose(beans)}>
              <${Icon} name="bean" /><b>${number(beans)}</b><span>${t('beans')}</span>
            </button>`)}
        </div>
        ${started && html`
          <p class="pay-open"><span>${t('topup_waiting', { beans: number(started.beans), amount: money(started.amount, started.currency) })}</span>
            <a class="primary" data-testid="topup-link" href=${started.url} target="_blank" rel="noopener noreferrer">
              ${t('open_payment')} <${Icon} name="external" /></a></p>`}
        <p class="fine">${t('topup_note')}</p>`}
    </${Sheet}>`;
}
