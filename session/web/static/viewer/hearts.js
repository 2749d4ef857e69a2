import { html, useEffect, useState } from '../ui/html.js';
import { toast } from '../ui/toast.js';
import { explain, t } from '../i18n/index.js';

/** Likes are gathered this long before they are sent, milliseconds. */
const GATHER = 600;
/** Most likes of one command. */
const MOST = 100;
/** How long a heart floats, as in the style sheet; milliseconds. */
const FLOATS = 2400;
/** Hearts in the document at once. */
const MOST_HEARTS = 24;

const hearts = new EventTarget();
let gathered = 0;
let timer;

/** Floats a heart at once and tells the server of all of them a moment later. */
export function like(session) {
  if (!session.signedIn) return toast(t('sign_in_hint'));
  hearts.dispatchEvent(new CustomEvent('float', { detail: 1 }));
  gathered = Math.min(MOST, gathered + 1);
  timer ??= setTimeout(async () => {
    const count = gathered;
    gathered = 0;
    timer = undefined;
    try {
      await session.room.send('like_send', { count });
    } catch (refusal) {
      if (refusal.reason !== 'connection_lost' && refusal.reason !== 'timeout') toast(explain(refusal), 'bad');
    }
  }, GATHER);
}

/** The floating hearts: own ones and a few for those of others. */
export function Hearts({ room }) {
  const [shown, setShown] = useState([]);
  useEffect(() => {
    const timers = new Set();
    const float = (n) => {
      const fresh = Array.from({ length: n }, () => ({
        id: Math.random(), sway: Math.round(Math.random() * 56 - 28), hue: Math.round(Math.random() * 50 - 20),
        late: Math.round(Math.random() * 500), size: 0.8 + Math.random() * 0.5,
      }));
      setShown((now) => [...now, ...fresh].slice(-MOST_HEARTS));
      const gone = setTimeout(() => {
        timers.delete(gone);
        setShown((now) => now.filter((heart) => !fresh.includes(heart)));
      }, FLOATS + 600);
      timers.add(gone);
    };
    const own = (e) => float(e.detail);
    const others = ({ detail: event }) => {
      const delta = Number(event.like_total?.delta ?? 0);
      if (delta > 0) float(Math.min(4, Math.ceil(Math.log2(delta + 1))));
    };
    hearts.addEventListener('float', own);
    room.addEventListener('event', others);
    return () => {
      hearts.removeEventListener('float', own);
      room.removeEventListener('event', others);
      for (const each of timers) clearTimeout(each);
    };
  }, [room]);
  return html`
    <div class="hearts" aria-hidden="true">
      ${shown.map((heart) => html`
        <svg key=${heart.id} class="heart" viewBox="0 0 24 24" style=${{
          '--sway': `${heart.sway}px`, '--hue': `${heart.hue}deg`, '--size': heart.size, animationDelay: `${heart.late}ms`,
        }}><path d="M12 20.2C5.6 15.6 3 12.4 3 8.9 3 6.2 5.1 4.2 7.6 4.2c1.8 0 3.4 1 4.4 2.6 1-1.6 2.6-2.6 4.4-2.6C18.9 4.2 21 6.2 21 8.9c0 3.5-2.6 6.7-9 11.3z" /></svg>`)}
    </div>`;
}
