import { html, useEffect, useState } from './html.js';

const LASTS = 4000;
let show = () => {};

/** Says something for a moment. */
export function toast(text, kind = 'info') {
  show({ text, kind, id: Math.random() });
}

/**
 * Where toasts appear. A popover, because only what is in the browser's top layer is seen above a
 * modal dialog.
 */
export function Toasts() {
  const [now, setNow] = useState(null);
  show = setNow;
  useEffect(() => {
    if (!now) return undefined;
    const timer = setTimeout(() => setNow(null), LASTS);
    return () => clearTimeout(timer);
  }, [now]);
  const raise = (element) => {
    if (!element?.showPopover) return;
    element.showPopover();
  };
  return html`
    <div role="status" aria-live="polite">
      ${now && html`<p class=${`toast ${now.kind}`} key=${now.id} popover="manual" ref=${raise} data-testid="toast">${now.text}</p>`}
    </div>`;
}
