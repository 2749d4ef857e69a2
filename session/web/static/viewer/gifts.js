import { html, useEffect, useRef, useState } from '../ui/html.js';
import { Avatar, Picture, useNow } from '../ui/live.js';
import { number } from '../ui/format.js';
import { Icon } from '../ui/icons.js';
import { Sheet } from '../ui/sheet.js';
import { toast } from '../ui/toast.js';
import { explain, nameIn, t } from '../i18n/index.js';
import { newRequestID } from '../livecart.js';
import { Gift, read } from '../livecart/messages.js';

/** A combo lasts this long after its last gift, milliseconds; the ledger's own figure wins. */
const COMBO = 3000;
/** A banner stays this long after its last gift, by tier, milliseconds. */
const BANNER = [3000, 3500, 5000, 7000];
const COUNTS = [1, 10, 66, 188];

/** The catalogue, read once and by load() again: {list, byID, failed, load}. */
export function useGifts(api) {
  const [gifts, setGifts] = useState({ list: [], byID: {}, failed: false });
  const load = () => api.get('/v1/gifts').then((body) => {
    const list = body.gifts.map((raw) => read(Gift, raw));
    setGifts({ list, byID: Object.fromEntries(list.map((g) => [g.id, g])), failed: false });
  }).catch(() => setGifts((old) => ({ ...old, failed: old.list.length === 0 })));
  useEffect(() => { load(); }, [api]);
  return { ...gifts, load };
}

/** Sends a gift; confirmed is how many beans the person agreed to, 0 for none. Resolves to whether it was
 * sent, or to 'confirm' where the person must agree to what it costs by now. */
async function sendGift({ session, open, gifts }, gift, count, comboID, confirmed) {
  if (session.room.state.balance < gift.beans * count) {
    toast(t('reason.insufficient_beans'), 'bad');
    open('topup');
    return false;
  }
  try {
    await session.room.send('gift_send', { gift_id: gift.id, count, combo_id: comboID, confirmed_beans: String(confirmed) });
    return true;
  } catch (refusal) {
    if (refusal.reason === 'confirmation_required') {
      await gifts.load(); // the price may be another than the one that was shown
      return 'confirm';
    }
    toast(explain(refusal), 'bad');
    if (refusal.reason === 'insufficient_beans') open('topup');
    return false;
  }
}

/** The drawer to choose a gift and how many. */
export function GiftSheet(view) {
  const { state, gifts, open, close, setCombo } = view;
  const [chosen, setChosen] = useState('');
  const [count, setCount] = useState(1);
  const [busy, setBusy] = useState(false);
  const [asked, setAsked] = useState(false); // whether to agree to the beans
  const gift = gifts.byID[chosen] ?? gifts.list[0];
  const choose = (set) => (value) => { setAsked(false); set(value); };
  const send = async () => {
    setBusy(true);
    const comboID = newRequestID();
    const confirmed = asked ? gift.beans * count : 0;
    const sent = await sendGift(view, gift, count, comboID, confirmed);
    setBusy(false);
    setAsked(sent === 'confirm');
    if (sent !== true) return;
    setCombo({ gift, count, comboID, confirmed, until: Date.now() + COMBO });
    close();
  };
  return html`
    <${Sheet} title=${t('gifts')} name="gifts" onClose=${close} action=${html`
      <button class="beans" data-testid="topup-open" onClick=${() => open('topup')}>
        <${Icon} name="bean" /><span class="sr">${t('beans')} </span><b data-testid="balance">${number(state.balance)}</b>
        <span class="top-up">${t('top_up')}</span>
      </button>`}>
      ${gifts.failed && html`<p class="empty">${t('gifts_failed')}</p>`}
      <div class="gift-grid" role="group" aria-label=${t('gifts')}>
        ${gifts.list.map((g) => html`
          <button key=${g.id} class=${`gift-tile tier-${g.tier}`} aria-pressed=${g.id === gift?.id}
            data-testid=${`gift-${g.id}`} onClick=${() => choose(setChosen)(g.id)}>
            <${Picture} src=${g.icon_url} width="52" height="52" />
            <span class="gift-name">${nameIn(g.names)}</span>
            <span class="gift-price"><${Icon} name="bean" />${number(g.beans)}</span>
          </button>`)}
      </div>
      ${asked && html`<p class="fine" role="status" data-testid="gift-ask">${t('confirm_gift', { beans: number(gift.beans * count), gift: nameIn(gift.names), count })}</p>`}
      <div class="gift-send">
        <div class="counts" role="group" aria-label=${t('how_many')}>
          ${COUNTS.map((n) => html`
            <button key=${n} aria-pressed=${n === count} data-testid=${`gift-count-${n}`} onClick=${() => choose(setCount)(n)}>×${n}</button>`)}
        </div>
        <button class="primary" data-testid="gift-send" disabled=${!gift || busy} onClick=${send}>
          ${t(asked ? 'confirm_send' : 'send_gift', { beans: gift ? number(gift.beans * count) : 0 })}
        </button>
      </div>
    </${Sheet}>`;
}

/** The round button that repeats a gift while its ring runs down. */
export function ComboButton(view) {
  const { combo, setCombo, state, session } = view;
  const now = useNow(session.room, 100);
  const sending = useRef(false);
  const mine = state.gifts.find((g) => JSON.parse(g.key)[2] === combo.comboID);
  const end = Math.max(Number(mine?.combo_end_ms ?? 0), combo.until + session.room.clock.offset);
  const left = Math.max(0, Math.min(1, (end - now) / COMBO));
  useEffect(() => { if (left === 0 && !sending.current) setCombo(null); }, [left === 0]);
  const again = async () => {
    if (sending.current) return;
    sending.current = true;
    setCombo({ ...combo, until: Date.now() + COMBO });
    const sent = await sendGift(view, combo.gift, combo.count, combo.comboID, combo.confirmed);
    sending.current = false;
    if (sent === 'confirm') toast(t('reason.confirmation_required'), 'bad');
    if (sent !== true) setCombo(null);
  };
  return html`
    <button class="combo" data-testid="combo" onClick=${again} aria-label=${t('combo_again', { name: nameIn(combo.gift.names) })}>
      <svg viewBox="0 0 100 100" aria-hidden="true">
        <circle class="ring-track" cx="50" cy="50" r="45" />
        <circle class="ring" cx="50" cy="50" r="45" pathLength="1" stroke-dasharray="1" stroke-dashoffset=${1 - left} />
      </svg>
      <${Picture} src=${combo.gift.icon_url} width="44" height="44" />
      <span class="combo-word">${t('combo')}</span>
    </button>`;
}

/** The banners of gifts that were just given: at most three, big ones first. */
export function GiftBanners({ session, state, gifts }) {
  const now = useNow(session.room, 500, state.gifts.length > 0);
  const shown = state.gifts
    .filter((g) => Number(g.combo_end_ms) + (BANNER[g.tier] ?? BANNER[1]) - COMBO > now)
    .sort((a, b) => b.tier - a.tier || Number(b.combo_end_ms) - Number(a.combo_end_ms))
    .slice(0, 3);
  return html`
    <div class="banners" role="log" aria-label=${t('gifts')}>
      ${shown.map((g) => {
        const gift = gifts.byID[g.gift_id];
        return html`
          <div class=${`banner tier-${g.tier}`} key=${g.key} data-testid="gift-banner" data-gift=${g.gift_id}>
            <${Avatar} user=${g.user} />
            <div class="banner-words"><b>${g.user?.name}</b>
              <span>${t('sent_gift', { gift: gift ? nameIn(gift.names) : t('a_gift') })}</span></div>
            <${Picture} src=${gift?.icon_url} width="48" height="48" />
            <span class="combo-count" key=${String(g.combo_count)}><i>×</i>${number(g.combo_count)}</span>
          </div>`;
      })}
    </div>`;
}
