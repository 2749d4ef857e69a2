import { html, useLayoutEffect, useRef, useState } from '../ui/html.js';
import { Avatar } from '../ui/live.js';
import { number, time } from '../ui/format.js';
import { Icon } from '../ui/icons.js';
import { toast } from '../ui/toast.js';
import { t } from '../i18n/index.js';
import { useAct } from './act.js';

/** How long a mute from here lasts, milliseconds. */
const MUTE = 600_000;

/** The comments with what a moderator may do to them, and a line to write in. */
export function Comments({ session, state }) {
  const list = useRef(null);
  const [following, setFollowing] = useState(true);
  const [busy, run] = useAct();
  const newest = state.comments.at(-1)?.id;
  useLayoutEffect(() => {
    if (following) list.current.scrollTop = list.current.scrollHeight;
  }, [newest, following]);
  const scrolled = () => {
    const { scrollTop, scrollHeight, clientHeight } = list.current;
    setFollowing(scrollHeight - scrollTop - clientHeight < 60);
  };
  const send = (kind, body) => run(() => session.room.send(kind, body));
  const mute = async (user) => {
    const done = await send('user_sanction', { user_id: user.id, kind: 'SANCTION_KIND_MUTE', duration_ms: String(MUTE) });
    if (done) toast(t('host.muted', { name: user.name }), 'good');
  };
  const leftOut = state.sampled + state.skipped;
  return html`
    <section class="panel tall" aria-label=${t('comments')}>
      <header><h2>${t('comments')}</h2>${leftOut > 0 && html`<span class="muted">${t('host.left_out', { count: number(leftOut) })}</span>`}</header>
      ${state.pinned && html`
        <p class="pin" data-testid="host-pinned"><${Icon} name="pin" /><span><b>${state.pinned.message.user?.name}</b> ${state.pinned.message.text}</span>
          <button class="link" data-testid="host-unpin" disabled=${busy} onClick=${() => send('chat_pin', { message_id: '' })}>${t('host.unpin')}</button></p>`}
      <ol class="talk" ref=${list} onScroll=${scrolled} role="log" aria-live="off" tabindex="0" aria-label=${t('comments')} data-testid="host-comments">
        ${state.comments.length === 0 && html`<li class="empty">${t('host.no_comments')}</li>`}
        ${state.comments.map((c) => html`
          <li key=${c.id} data-testid="host-comment" data-id=${c.id}>
            <${Avatar} user=${c.user} />
            <div class="talk-words"><p class="talk-by"><b>${c.user?.name}</b>
              ${c.user?.role === 'ROLE_HOST' && html`<em class="badge host">${t('role.host')}</em>`}
              ${c.user?.role === 'ROLE_MODERATOR' && html`<em class="badge">${t('role.moderator')}</em>`}
              <time>${time(c.time_ms)}</time></p><p class="talk-text">${c.text}</p></div>
            <span class="talk-acts">
              <button data-testid="host-comment-pin" title=${t('host.pin')} aria-label=${t('host.pin')} onClick=${() => send('chat_pin', { message_id: c.id })}><${Icon} name="pin" /></button>
              ${c.user && !['ROLE_HOST', 'ROLE_MODERATOR'].includes(c.user.role) && html`
                <button data-testid="host-comment-mute" title=${t('host.mute')} aria-label=${t('host.mute')} onClick=${() => mute(c.user)}><${Icon} name="mute" /></button>`}
              <button data-testid="host-comment-delete" title=${t('host.delete')} aria-label=${t('host.delete')} onClick=${() => send('chat_delete', { message_id: c.id })}><${Icon} name="trash" /></button>
            </span>
          </li>`)}
      </ol>
      ${!following && html`<button class="tool newer" onClick=${() => setFollowing(true)}>${t('newest')}</button>`}
      ${state.room?.phase !== 'ROOM_PHASE_ENDED' && html`<${Compose} session=${session} />`}
    </section>`;
}

function Compose({ session }) {
  const [text, setText] = useState('');
  const [busy, run] = useAct();
  const send = async (e) => {
    e.preventDefault();
    if (text.trim() === '' || busy) return;
    if (await run(() => session.room.send('chat_send', { text: text.trim() }))) setText('');
  };
  return html`
    <form class="compose" onSubmit=${send}>
      <input data-testid="host-comment-input" value=${text} onInput=${(e) => setText(e.target.value)} maxlength="1000"
        placeholder=${t('host.comment')} aria-label=${t('host.comment')} autocomplete="off" />
      <button class="tool strong" data-testid="host-comment-send" disabled=${text.trim() === '' || busy}>${t('send')}</button>
    </form>`;
}
