import { html, render, useEffect, useState } from '../ui/html.js';
import { Picture, Session, useLive } from '../ui/live.js';
import { Toasts, toast } from '../ui/toast.js';
import { t } from '../i18n/index.js';
import { Bar } from './bar.js';
import { Cards } from './cards.js';
import { Comments } from './comments.js';
import { ComboButton, GiftBanners, GiftSheet, useGifts } from './gifts.js';
import { Hearts } from './hearts.js';
import { OrdersSheet } from './orders.js';
import { ProductSheet, ShelfSheet } from './shelf.js';
import { Stage, Veil } from './stage.js';
import { TopBar } from './top.js';
import { TopUpSheet } from './topup.js';

const session = new Session();

/**
 * The page. `sheet` is the drawer that is open: {name, ...what it shows}, and `back` where closing
 * leads.
 */
function Viewer() {
  const state = useLive(session.room);
  const gifts = useGifts(session.api);
  const [sheet, setSheet] = useState(null);
  const [combo, setCombo] = useState(null);
  const title = state.room?.title;
  useEffect(() => { if (title) document.title = `${title} · livecart`; }, [title]);
  usePaidNotice(state);

  const open = (name, rest = {}) => setSheet({ name, ...rest });
  const close = () => setSheet(null);
  const view = { session, state, gifts, open, close };
  const gone = session.room.connection.phase === 'closed';
  const over = gone || state.room?.phase === 'ROOM_PHASE_ENDED';

  return html`
    <div class="backdrop" aria-hidden="true"><${Picture} src=${state.room?.cover_url} /></div>
    <main class=${`device ${gone ? 'gone' : ''} ${over ? 'over' : ''}`}>
      <${Stage} state=${state} />
      <${TopBar} ...${view} />
      <${GiftBanners} ...${view} />
      <${Hearts} room=${session.room} />
      <div class="lower">
        <div class="middle">
          <${Comments} ...${view} />
          ${combo && html`<${ComboButton} ...${view} combo=${combo} setCombo=${setCombo} />`}
        </div>
        <${Cards} ...${view} />
        <${Bar} ...${view} />
      </div>
      <${Veil} ...${view} />
    </main>
    ${sheet?.name === 'gifts' && html`<${GiftSheet} ...${view} setCombo=${setCombo} />`}
    ${sheet?.name === 'topup' && html`<${TopUpSheet} ...${view} />`}
    ${sheet?.name === 'shelf' && html`<${ShelfSheet} ...${view} />`}
    ${sheet?.name === 'product' && html`<${ProductSheet} ...${view} productID=${sheet.productID} key=${sheet.productID} />`}
    ${sheet?.name === 'orders' && html`<${OrdersSheet} ...${view} orderID=${sheet.orderID} />`}
    <${Toasts} />`;
}

/** Says so when the payment of an own order has arrived. */
function usePaidNotice({ orders }) {
  const [known, setKnown] = useState({});
  useEffect(() => {
    const now = {};
    for (const order of Object.values(orders)) {
      now[order.id] = order.state;
      if (order.state === 'ORDER_STATE_PAID' && known[order.id] === 'ORDER_STATE_AWAITING_PAYMENT') {
        toast(t('order_paid_notice'), 'good');
      }
    }
    setKnown(now);
  }, [orders]);
}

render(html`<${Viewer} />`, document.getElementById('app'));
session.start();
