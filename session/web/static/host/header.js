import { html } from '../ui/html.js';
import { Picture, roomID, useNow } from '../ui/live.js';
import { countdown, date } from '../ui/format.js';
import { Icon } from '../ui/icons.js';
import { choose, current, t } from '../i18n/index.js';
import { useAct, useSure } from './act.js';

/** The room, how it is, and the controls of its phase. */
export function Header({ session, state }) {
  const { room } = state;
  const { connection } = session.room;
  const live = room?.phase === 'ROOM_PHASE_LIVE';
  const now = useNow(session.room, 1000, live);
  return html`
    <header class="head">
      <${Picture} class="head-cover" src=${room?.cover_url} />
      <div class="head-words">
        <h1>${room?.title ?? t('loading')}</h1>
        <p class="muted">${room?.host?.name}${live && room.started_at_ms > 0 && html` · <span class="tabular">${t('host.live_for', { time: countdown(now - room.started_at_ms) })}</span>`}
          ${room?.phase === 'ROOM_PHASE_SCHEDULED' && room.scheduled_at_ms > 0 && ` · ${date(room.scheduled_at_ms)}`}</p>
      </div>
      <span class=${`phase ${room?.phase ?? ''}`} data-testid="host-phase" data-phase=${room?.phase ?? ''}>${room && t(`phase.${room.phase}`)}</span>
      <span class="link-state" role="status" data-testid="host-connection" data-phase=${connection.phase}>
        ${connection.phase !== 'open' && html`<span class="spin" aria-hidden="true"></span> ${t(room ? 'reconnecting' : 'connecting')}`}</span>
      <div class="head-acts">
        ${room && html`<${Controls} session=${session} phase=${room.phase} />`}
        ${room?.phase === 'ROOM_PHASE_ENDED' && state.self?.user?.role !== 'ROLE_MODERATOR' && html`
          <a class="tool strong" data-testid="host-statement" href=${`/host/${roomID}/statement`}><${Icon} name="receipt" />${t('statement.title')}</a>`}
        <a class="tool" href=${`/rooms/${roomID}`} target="_blank" rel="noopener"><${Icon} name="external" />${t('host.open_room')}</a>
        <button class="tool" data-testid="language" lang=${current() === 'en' ? 'zh-Hans' : 'en'} onClick=${() => choose(current() === 'en' ? 'zh-Hans' : 'en')}>
          <${Icon} name="globe" />${current() === 'en' ? '中文' : 'English'}</button>
      </div>
    </header>`;
}

function Controls({ session, phase }) {
  const [busy, run] = useAct();
  const [sure, press] = useSure();
  const act = (kind) => () => run(() => session.room.send(kind));
  return html`
    ${phase === 'ROOM_PHASE_SCHEDULED' && html`
      <button class="tool strong" data-testid="host-start" disabled=${busy} onClick=${act('room_start')}><${Icon} name="play" />${t('host.start')}</button>`}
    ${phase === 'ROOM_PHASE_LIVE' && html`
      <button class="tool" data-testid="host-pause" disabled=${busy} onClick=${act('room_pause')}><${Icon} name="pause" />${t('host.pause')}</button>`}
    ${phase === 'ROOM_PHASE_PAUSED' && html`
      <button class="tool strong" data-testid="host-resume" disabled=${busy} onClick=${act('room_resume')}><${Icon} name="play" />${t('host.resume')}</button>`}
    ${(phase === 'ROOM_PHASE_LIVE' || phase === 'ROOM_PHASE_PAUSED') && html`
      <button class="tool danger" data-testid=${sure ? 'host-confirm' : 'host-end'} disabled=${busy} onClick=${() => press(act('room_end'))}>
        <${Icon} name="stop" />${t(sure ? 'host.end_sure' : 'host.end')}</button>`}`;
}
