import { html, useEffect, useLayoutEffect, useRef, useState } from '../ui/html.js';
import { Icon } from '../ui/icons.js';
import { t } from '../i18n/index.js';

/** How many comments stay in the document; older ones have scrolled out of reach anyway. */
const SHOWN = 80;
/** A newcomer's line stays this long, milliseconds. */
const JOINED_LASTS = 4000;

/** The stream of comments. It follows the newest unless the viewer scrolled up to read. */
export function Comments({ session, state }) {
  const list = useRef(null);
  const [following, setFollowing] = useState(true);
  const comments = state.comments.slice(-SHOWN);
  const newest = comments.at(-1)?.id;
  useLayoutEffect(() => {
    if (following) list.current.scrollTop = list.current.scrollHeight;
  }, [newest, following, state.pinned]);
  const scrolled = () => {
    const { scrollTop, scrollHeight, clientHeight } = list.current;
    setFollowing(scrollHeight - scrollTop - clientHeight < 48);
  };
  const me = state.self?.user?.id;
  return html`
    <section class="chat" aria-label=${t('comments')}>
      ${state.pinned && html`
        <p class="comment pinned"><${Icon} name="pin" /><span class="sr">${t('pinned')} </span>
          <b>${state.pinned.message.user?.name}</b> ${state.pinned.message.text}</p>`}
      <ol class="comments" ref=${list} onScroll=${scrolled} role="log" aria-live="polite" tabindex="0" data-testid="comments">
        <li class="comment notice">${t('house_rules')}</li>
        ${comments.map((c) => html`
          <li class=${`comment ${c.user?.id === me ? 'mine' : ''}`} key=${c.id} data-testid="comment" data-id=${c.id}>
            <${Role} role=${c.user?.role} /><b>${c.user?.name}</b> <span>${c.text}</span>
          </li>`)}
      </ol>
      ${!following && html`
        <button class="pill newer" onClick=${() => setFollowing(true)}>${t('newest')}</button>`}
      <${Joined} joined=${state.joined} />
    </section>`;
}

function Role({ role }) {
  if (role === 'ROLE_HOST') return html`<em class="role host-role">${t('role.host')}</em>`;
  if (role === 'ROLE_MODERATOR') return html`<em class="role">${t('role.moderator')}</em>`;
  return null;
}

function Joined({ joined }) {
  const [shown, setShown] = useState(null);
  useEffect(() => {
    if (!joined?.user) return undefined;
    setShown(joined);
    const timer = setTimeout(() => setShown(null), JOINED_LASTS);
    return () => clearTimeout(timer);
  }, [joined]);
  return html`
    <p class="joined" aria-hidden="true">
      ${shown && html`<span key=${shown.time_ms}>${shown.count > 1
        ? t('joined.more', { name: shown.user.name, count: shown.count - 1 })
        : t('joined', { name: shown.user.name })}</span>`}
    </p>`;
}
