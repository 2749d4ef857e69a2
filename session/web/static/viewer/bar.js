import { html, useRef, useState } from '../ui/html.js';
import { useNow } from '../ui/live.js';
import { Icon } from '../ui/icons.js';
import { toast } from '../ui/toast.js';
import { explain, t } from '../i18n/index.js';
import { like } from './hearts.js';

/** Code points of a comment, as the server counts them. */
const MAX_COMMENT = 500;

/** The controls at the bottom: comment, shelf, orders, gifts, likes. When the room is over, products and orders stay. */
export function Bar({ session, state, open }) {
  const over = state.room?.phase === 'ROOM_PHASE_ENDED';
  const waiting = Object.values(state.orders).filter((o) => o.state === 'ORDER_STATE_AWAITING_PAYMENT').length;
  return html`
    <footer class="bar">
      <button class="round bag" data-testid="shelf-open" aria-label=${t('shelf')} onClick=${() => open('shelf')}>
        <${Icon} name="bag" />${state.shelfTotal > 0 && html`<span class="badge">${state.shelfTotal}</span>`}
      </button>
      ${over ? html`<span class="gap"></span>` : session.signedIn ? html`<${CommentForm} session=${session} state=${state} />` : html`
        <p class="sign-in" data-testid="sign-in-hint">${t('sign_in_hint')}</p>`}
      ${session.signedIn && html`
        <button class="round" data-testid="orders-open" aria-label=${t('orders')} onClick=${() => open('orders')}>
          <${Icon} name="receipt" />${waiting > 0 && html`<span class="badge hot">${waiting}</span>`}
        </button>`}
      ${session.signedIn && !over && html`
        <button class="round gift" data-testid="gift-open" aria-label=${t('gifts')} onClick=${() => open('gifts')}>
          <${Icon} name="gift" />
        </button>`}
      ${!over && html`
        <button class="round like" data-testid="like" aria-label=${t('like')} onClick=${() => like(session)}>
          <${Icon} name="heart" filled />
        </button>`}
    </footer>`;
}

function CommentForm({ session, state }) {
  const [text, setText] = useState('');
  const [busy, setBusy] = useState(false);
  const input = useRef(null);
  const { closed } = state.chatSettings;
  const mute = state.self?.sanctions.find((s) => s.kind === 'SANCTION_KIND_MUTE');
  const now = useNow(session.room, 1000, mute !== undefined);
  const muted = mute !== undefined && (Number(mute.until_ms) === 0 || now < mute.until_ms);
  const send = async (e) => {
    e.preventDefault();
    const words = text.trim();
    if (words === '' || busy) return;
    if ([...words].length > MAX_COMMENT) return toast(t('reason.message_too_long'), 'bad');
    setBusy(true);
    try {
      await session.room.send('chat_send', { text: words });
      setText('');
    } catch (refusal) {
      toast(explain(refusal), 'bad');
    } finally {
      setBusy(false);
      input.current?.focus();
    }
  };
  return html`
    <form class="comment-form" onSubmit=${send}>
      <input ref=${input} data-testid="comment-input" value=${text} onInput=${(e) => setText(e.target.value)}
        placeholder=${t(closed ? 'chat_closed' : muted ? 'reason.muted' : 'say_something')} aria-label=${t('say_something')} disabled=${closed || muted}
        maxlength=${MAX_COMMENT * 2} enterkeyhint="send" autocomplete="off" />
      <button class="send" data-testid="comment-send" aria-label=${t('send')} disabled=${text.trim() === '' || busy || closed || muted}>
        <${Icon} name="send" />
      </button>
    </form>`;
}
