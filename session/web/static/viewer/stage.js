import { html, useState } from '../ui/html.js';
import { Picture, useNow } from '../ui/live.js';
import { date } from '../ui/format.js';
import { Icon } from '../ui/icons.js';
import { t } from '../i18n/index.js';

/** Whether this browser plays an address by itself: HLS in some, plain files in all. */
function plays(url) {
  if (!/^https?:\/\//.test(url)) return false;
  const hls = new URL(url).pathname.endsWith('.m3u8');
  return !hls || document.createElement('video').canPlayType('application/vnd.apple.mpegurl') !== '';
}

/** What is behind everything: the video where it plays, else the room's picture. */
export function Stage({ state }) {
  const { room } = state;
  const [failed, setFailed] = useState('');
  const [muted, setMuted] = useState(true);
  const live = room?.phase === 'ROOM_PHASE_LIVE';
  const url = room?.playback_url ?? '';
  const video = live && url !== '' && url !== failed && plays(url);
  return html`
    <div class="stage">
      <${Picture} class="cover" src=${room?.cover_url} data-testid="room-cover" />
      ${video && html`
        <video class="cover" src=${url} poster=${room.cover_url} autoplay playsinline muted=${muted}
          onError=${() => setFailed(url)}></video>
        <button class="round sound" aria-label=${t(muted ? 'sound_on' : 'sound_off')} onClick=${() => setMuted(!muted)}>
          <${Icon} name=${muted ? 'mute' : 'sound'} />
        </button>`}
    </div>`;
}

/** Lies over the stage while the room is not live, or when this page may not be in it. */
export function Veil({ session, state }) {
  const { connection } = session.room;
  const now = useNow(session.room, 1000, state.room?.phase === 'ROOM_PHASE_SCHEDULED');
  if (connection.phase === 'closed') {
    return html`
      <section class="veil" role="alert">
        <h2>${t(`closed.${known(connection.reason)}`)}</h2>
        <p>${t(`closed.${known(connection.reason)}.more`)}</p>
        ${connection.reason === 'replaced' && html`
          <button class="primary" onClick=${() => session.restart()}>${t('closed.here')}</button>`}
        ${session.signedIn && ['unauthenticated', 'token_expired', 'forbidden'].includes(connection.reason) && html`
          <button class="primary" onClick=${() => session.signOut()}>${t('closed.anonymous')}</button>`}
      </section>`;
  }
  switch (state.room?.phase) {
    case 'ROOM_PHASE_SCHEDULED': {
      const { scheduled_at_ms: at } = state.room;
      return html`
        <section class="veil"><h2>${t('room.scheduled')}</h2>
          <p>${at > now ? t('room.scheduled.at', { time: date(at) }) : t('room.scheduled.soon')}</p></section>`;
    }
    case 'ROOM_PHASE_PAUSED':
      return html`<section class="veil low" role="status"><h2>${t('room.paused')}</h2><p>${t('room.paused.more')}</p></section>`;
    case 'ROOM_PHASE_ENDED':
      return html`<section class="veil" role="status"><h2>${t('room.ended')}</h2><p>${t('room.ended.more')}</p></section>`;
    default:
      return null;
  }
}

const reasons = ['unauthenticated', 'token_expired', 'sign_in_required', 'forbidden', 'room_not_found', 'replaced', 'banned'];

function known(reason) {
  return reasons.includes(reason) ? reason : 'other';
}
