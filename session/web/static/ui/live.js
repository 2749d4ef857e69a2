import { html, useEffect, useReducer, useState } from './html.js';
import { Api, LiveRoom } from '../livecart.js';
import { onChange } from '../i18n/index.js';
import { forgetToken, takeToken } from './token.js';

/** The id of this page's room. */
export const roomID = document.documentElement.dataset.room;

/** The page's room, its API and its token. */
export class Session {
  constructor() {
    this.token = takeToken();
    this.room = new LiveRoom();
    this.api = new Api(location.origin, () => this.token);
  }

  get signedIn() {
    return this.token !== '';
  }

  start() {
    // What ends the connection stands in room.connection, which the page shows.
    this.room.connect(location.origin, this.token, roomID).catch(() => {});
    addEventListener('online', () => this.room.retryNow());
    addEventListener('hashchange', () => {
      this.token = takeToken();
      if (this.room.connection.phase === 'closed') this.restart();
      else this.room.refresh(this.token).catch(() => this.restart());
    });
  }

  restart() {
    this.room.connect(location.origin, this.token, roomID).catch(() => {});
  }

  /** Goes on as a viewer without an account. */
  signOut() {
    forgetToken();
    this.token = '';
    this.restart();
  }
}

/** Draws again with each change of the room, of the connection or of the language. */
export function useLive(room) {
  const [, redraw] = useReducer((n) => n + 1, 0);
  useEffect(() => {
    room.addEventListener('state', redraw);
    room.addEventListener('connection', redraw);
    const stop = onChange(redraw);
    return () => {
      room.removeEventListener('state', redraw);
      room.removeEventListener('connection', redraw);
      stop();
    };
  }, [room]);
  return room.state;
}

/** The server's time, renewed every `every` milliseconds while `active`. */
export function useNow(room, every = 1000, active = true) {
  const [now, setNow] = useState(() => room.now());
  useEffect(() => {
    if (!active) return undefined;
    setNow(room.now());
    const timer = setInterval(() => setNow(room.now()), every);
    return () => clearInterval(timer);
  }, [room, every, active]);
  return now;
}

/** A picture by an address of the server's; nothing where there is none or it does not load. */
export function Picture({ src, alt = '', ...rest }) {
  const [broken, setBroken] = useState('');
  if (!/^(https?:\/\/|\/(?!\/))/.test(src ?? '') || broken === src) return html`<span class="picture-none" ...${rest}></span>`;
  return html`<img src=${src} alt=${alt} loading="lazy" decoding="async" onError=${() => setBroken(src)} ...${rest} />`;
}

/** A round sign of a person: the first letter on a colour that is theirs. */
export function Avatar({ user }) {
  const name = user?.name || user?.id || '';
  let hash = 0;
  for (const letter of user?.id ?? name) hash = (hash * 31 + letter.codePointAt(0)) % 65_521;
  const hue = Math.round(hash * 137.5) % 360; // the golden angle keeps neighbours apart
  const first = [...name.trim()][0] ?? '·';
  return html`<span class="avatar" style=${{ '--hue': hue }} aria-hidden="true">${first.toUpperCase()}</span>`;
}
