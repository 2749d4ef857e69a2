import { html, render, useEffect, useState } from '../ui/html.js';
import { Session, useLive } from '../ui/live.js';
import { Toasts } from '../ui/toast.js';
import { t } from '../i18n/index.js';
import { Comments } from './comments.js';
import { Figures } from './figures.js';
import { Header } from './header.js';
import { Orders, useOrders } from './orders.js';
import { PastSales, Sales } from './sales.js';
import { SaleForm } from './saleform.js';
import { Shelf } from './shelf.js';

const session = new Session();

/** The console of the one who sells. */
function Console() {
  const state = useLive(session.room);
  const orders = useOrders(session);
  const [draft, setDraft] = useState('');
  const title = state.room?.title;
  useEffect(() => { document.title = `${t('host.console')} · ${title ?? 'livecart'}`; });
  const { connection } = session.room;
  const role = state.self?.user?.role;
  const stranger = !session.signedIn || (role && !['ROLE_HOST', 'ROLE_MODERATOR', 'ROLE_OPERATOR'].includes(role));
  if (stranger || connection.phase === 'closed') {
    return html`
      <main class="gate">
        <h1>${t(stranger ? 'host.only' : 'closed.other')}</h1>
        <p>${t(stranger ? 'host.only.more' : 'closed.other.more')}</p>
        ${!stranger && html`<button class="primary" onClick=${() => session.restart()}>${t('retry_now')}</button>`}
      </main>`;
  }
  const view = { session, state, orders };
  const over = state.room?.phase === 'ROOM_PHASE_ENDED';
  return html`
    <${Header} ...${view} />
    <main class="console">
      <${Figures} ...${view} />
      <div class="columns">
        <div class="column">
          <${Sales} ...${view} />
          ${!over && html`<${SaleForm} ...${view} draft=${draft} setDraft=${setDraft} />
            <${Shelf} ...${view} onFlash=${setDraft} />`}
          <${PastSales} ...${view} />
        </div>
        <div class="column"><${Comments} ...${view} /></div>
        <div class="column"><${Orders} ...${view} /></div>
      </div>
    </main>
    <${Toasts} />`;
}

render(html`<${Console} />`, document.getElementById('app'));
session.start();
