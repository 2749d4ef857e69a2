import { html, useEffect, useRef } from './html.js';
import { t } from '../i18n/index.js';
import { Icon } from './icons.js';

/** A dialog from the bottom of the page. The browser's own modal keeps the focus inside. */
export function Sheet({ title, name, onClose, action, children }) {
  const dialog = useRef(null);
  useEffect(() => {
    const before = document.activeElement;
    dialog.current.showModal();
    return () => before?.focus?.();
  }, []);
  const outside = (e) => { if (e.target === dialog.current) onClose(); };
  return html`
    <dialog class="sheet" ref=${dialog} data-testid=${`sheet-${name}`} aria-label=${title}
      onClick=${outside} onCancel=${(e) => { e.preventDefault(); onClose(); }}>
      <div class="sheet-body">
        <header class="sheet-head">
          <h2>${title}</h2>
          ${action}
          <button class="round quiet" data-testid="sheet-close" aria-label=${t('close')} onClick=${onClose}>
            <${Icon} name="close" />
          </button>
        </header>
        ${children}
      </div>
    </dialog>`;
}
