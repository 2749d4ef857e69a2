import { html } from '../ui/html.js';
import { Avatar } from '../ui/live.js';
import { count, number } from '../ui/format.js';
import { Icon } from '../ui/icons.js';
import { choose, current, t } from '../i18n/index.js';

/** Host, audience, likes, language, and what is the matter with the connection. */
export function TopBar({ session, state }) {
  const { room, stats } = state;
  const { connection } = session.room;
  const live = room?.phase === 'ROOM_PHASE_LIVE';
  return html`
    <header class="top">
      <div class="host">
        <${Avatar} user=${room?.host} />
        <div class="host-words">
          <h1 class="host-name">${room?.host?.name || room?.title || ' '}</h1>
          <p class="host-likes"><${Icon} name="heart" filled /><span data-testid="likes" title=${number(state.likes)}>${count(state.likes)}</span></p>
        </div>
        <span class=${`phase ${live ? 'live' : ''}`} data-testid="room-phase" data-phase=${room?.phase ?? ''}>
          ${room && t(`phase.${room.phase}`)}</span>
      </div>
      <div class="top-right">
        <span class="pill" title=${t('online_now')}>
          <${Icon} name="people" /><span class="sr">${t('online_now')} </span>
          <span data-testid="online">${count(stats.online)}</span>
        </span>
        <button class="round" data-testid="language" onClick=${() => choose(current() === 'en' ? 'zh-Hans' : 'en')}
          lang=${current() === 'en' ? 'zh-Hans' : 'en'} aria-label=${current() === 'en' ? '切换到简体中文' : 'Switch to English'}>
          ${current() === 'en' ? '中' : 'En'}
        </button>
      </div>
    </header>
    <${ConnectionBanner} connection=${connection} room=${session.room} />`;
}

function ConnectionBanner({ connection, room }) {
  const first = !room.state.room;
  const quiet = connection.phase === 'open' || connection.phase === 'closed' || connection.phase === 'idle';
  return html`
    <div class="connection" role="status" data-testid="connection" data-phase=${connection.phase}>
      ${!quiet && html`
        <span class="pill warn"><span class="spin" aria-hidden="true"></span>
          ${t(first ? 'connecting' : 'reconnecting')}
          ${connection.phase === 'waiting' && html`<button class="link" onClick=${() => room.retryNow()}>${t('retry_now')}</button>`}
        </span>`}
    </div>`;
}
