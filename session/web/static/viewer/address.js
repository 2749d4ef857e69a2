import { html, useState } from '../ui/html.js';
import { country } from '../ui/format.js';
import { t } from '../i18n/index.js';

const REMEMBERED = 'livecart.address';
const COUNTRIES = ['CN', 'HK', 'MO', 'TW', 'SG', 'MY', 'JP', 'KR', 'TH', 'VN', 'ID', 'PH', 'AU', 'US', 'CA', 'GB', 'IE', 'DE', 'FR', 'NL', 'ES', 'IT', 'CH', 'AT', 'SE', 'PL', 'BR', 'MX', 'AE', 'IN'];
const EMPTY = { name: '', phone: '', country: 'CN', region: '', city: '', street: '', postal_code: '' };
const REQUIRED = ['name', 'phone', 'country', 'city', 'street'];
const FIELDS = [
  ['name', 'name'], ['phone', 'tel'], ['street', 'street-address'], ['city', 'address-level2'],
  ['region', 'address-level1'], ['postal_code', 'postal-code'],
];

/** Whether a parcel could go there. */
export function isWhole(address) {
  return address !== null && REQUIRED.every((field) => address[field]);
}

/** Asks where an order goes; starts with the address given last on this device. */
export function AddressForm({ address, busy, onSave }) {
  const [values, setValues] = useState(() => ({ ...EMPTY, ...remembered(), ...(isWhole(address) ? address : {}) }));
  // A browser that fills the form in changes several fields before the next drawing.
  const set = (field) => ({ target: { value } }) => setValues((now) => ({ ...now, [field]: value }));
  const save = (e) => {
    e.preventDefault();
    localStorage.setItem(REMEMBERED, JSON.stringify(values));
    onSave(values);
  };
  return html`
    <form class="address-form" onSubmit=${save}>
      ${FIELDS.map(([field, autocomplete]) => html`
        <label key=${field} class=${`field ${field}`}><span>${t(`address.${field}`)}</span>
          <input data-testid=${`address-${field}`} value=${values[field]} onInput=${set(field)} autocomplete=${autocomplete}
            required=${REQUIRED.includes(field)} maxlength="120" inputmode=${field === 'phone' ? 'tel' : 'text'} /></label>`)}
      <label class="field country"><span>${t('address.country')}</span>
        <select data-testid="address-country" value=${values.country} onChange=${set('country')} autocomplete="country">
          ${COUNTRIES.map((code) => html`<option key=${code} value=${code}>${country(code)}</option>`)}
        </select></label>
      <button class="secondary wide" data-testid="address-save" disabled=${busy}>${t('save_address')}</button>
    </form>`;
}

function remembered() {
  try {
    return JSON.parse(localStorage.getItem(REMEMBERED)) ?? {};
  } catch {
    return {};
  }
}
