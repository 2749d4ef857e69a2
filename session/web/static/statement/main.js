import { html, render, useEffect, useReducer, useState } from '../ui/html.js';
import { roomID } from '../ui/live.js';
import { amount, date } from '../ui/format.js';
import { Icon } from '../ui/icons.js';
import { takeToken } from '../ui/token.js';
import { Toasts, toast } from '../ui/toast.js';
import { Api } from '../livecart.js';
import { choose, current, explain, onChange, t } from '../i18n/index.js';

const token = takeToken();
const api = new Api(location.origin, () => token);
const address = `/v1/rooms/${roomID}/statement`;

/** Figures of each table, in order; some are sums of what is around them and some parts of the one before. */
const SALES = ['gross_sales', 'discounts', 'unpaid_sales', 'paid_sales', 'refunds', 'refunds_due', 'net_sales', 'platform_fees', 'shop_shares'];
const MONEY = ['received', 'stray_money', 'stray_money_due'];
const TIPS = ['tip_beans', 'reversed_beans', 'host_share', 'platform_share'];
const ORDERS = [
  'orders', 'orders_awaiting_payment', 'orders_paid', 'orders_shipped', 'orders_completed', 'orders_expired', 'orders_cancelled',
  'orders_refund_due', 'orders_refunded', 'pieces', 'pieces_refunded',
];
const COUNTED = ['orders', 'pieces', 'tips', 'beans'];
const SUMS = ['paid_sales', 'net_sales', 'orders', 'received', 'tip_beans', 'host_share'];
/** Words of figures whose names mean something else on the console. */
const RENAMED = { orders: 'statement.orders', tips: 'figure.tips_sent' };
const PARTS = ['refunds_due', 'stray_money_due', 'pieces_refunded'];

function Page() {
  const [statement, setStatement] = useState(null);
  const [refusal, setRefusal] = useState(null);
  const [, redraw] = useReducer((n) => n + 1, 0);
  useEffect(() => onChange(redraw), []);
  useEffect(() => {
    api.get(address).then(setStatement).catch(setRefusal);
  }, []);
  useEffect(() => { document.title = `${t('statement.title')} · ${statement?.title ?? 'livecart'}`; });
  if (refusal) {
    return html`<main class="gate"><h1 data-testid="statement-refused">${t('statement.failed')}</h1><p>${explain(refusal)}</p>
      <a class="tool" href=${`/host/${roomID}`}><${Icon} name="back" />${t('host.console')}</a></main>`;
  }
  if (!statement) return html`<main class="gate"><p class="muted"><span class="spin" aria-hidden="true"></span> ${t('loading')}</p></main>`;
  const owners = ownersOf(statement);
  return html`
    <${Head} statement=${statement} />
    <main class="account">
      ${owners.map((owner) => html`<${Part} key=${owner.key} statement=${statement} owner=${owner} />`)}
      <${Balances} statement=${statement} />
    </main>
    <${Toasts} />`;
}

function Head({ statement: s }) {
  const save = () => download().catch((refused) => toast(explain(refused), 'bad'));
  const when = [s.started_at_ms, s.ended_at_ms].filter((ms) => Number(ms) > 0).map(date).join(' – ');
  return html`
    <header class="head">
      <div class="head-words"><h1>${t('statement.title')} · ${s.title}</h1>
        <p class="muted">${[s.host_name, when, t('statement.as_of', { time: date(s.as_of_ms) })].filter(Boolean).join(' · ')}</p></div>
      <span class=${`verdict ${s.final ? 'good' : ''}`} data-testid="statement-final" data-final=${String(s.final)}>${t(s.final ? 'statement.final' : 'statement.not_final')}</span>
      <span class=${`verdict ${s.balanced ? 'good' : 'bad'}`} data-testid="statement-balanced" data-balanced=${String(s.balanced)}>${t(s.balanced ? 'statement.balanced' : 'statement.not_balanced')}</span>
      <div class="head-acts">
        <a class="tool" href=${`/host/${roomID}`}><${Icon} name="back" />${t('host.console')}</a>
        <button class="tool" onClick=${() => print()}>${t('statement.print')}</button>
        <button class="tool" data-testid="statement-csv" onClick=${save}>${t('statement.csv')}</button>
        <button class="tool" data-testid="language" lang=${current() === 'en' ? 'zh-Hans' : 'en'} onClick=${() => choose(current() === 'en' ? 'zh-Hans' : 'en')}>
          <${Icon} name="globe" />${current() === 'en' ? '中文' : 'English'}</button>
      </div>
    </header>`;
}

/** Saves the CSV. It is asked for with the token in a header, so that no address holds it. */
async function download() {
  const blob = await api.file(`${address}?format=csv`);
  const link = document.createElement('a');
  link.href = URL.createObjectURL(blob);
  link.download = `statement-${roomID}.csv`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/** Whose parts the statement has: the room's first, then shops, then hosts. One shop or host alone is the room. */
function ownersOf(statement) {
  const owners = new Map();
  for (const f of statement.figures) {
    const key = `${f.scope} ${f.shop_id ?? ''}${f.host_id ?? ''}`;
    if (!owners.has(key)) owners.set(key, { key, scope: f.scope, id: f.shop_id ?? f.host_id ?? '' });
  }
  const all = [...owners.values()];
  const room = all.some((o) => o.scope === 'room');
  return all.filter((o) => o.scope === 'room' || !room || all.filter((other) => other.scope === o.scope).length > 1);
}

function Part({ statement, owner }) {
  const own = statement.figures.filter((f) => f.scope === owner.scope && (f.shop_id ?? f.host_id ?? '') === owner.id);
  const title = owner.scope === 'room' ? t('statement.room') : t(`statement.of_${owner.scope}`, { name: owner.id });
  const tables = [['sales', SALES], ['orders', ORDERS], ['money', MONEY], ['tips', TIPS]];
  return html`
    <section class="panel" aria-label=${title} data-testid=${`statement-${owner.scope}`}>
      <header><h2>${title}</h2></header>
      <div class="pair">${tables.map(([name, rows]) => html`<${Table} key=${name} name=${name} rows=${rows} figures=${own} />`)}</div>
    </section>`;
}

function Table({ name, rows, figures }) {
  const shown = figures.filter((f) => rows.includes(f.name));
  if (shown.length === 0) return null;
  const counted = shown.every((f) => COUNTED.includes(f.unit));
  const units = counted ? ['count'] : [...new Set(shown.map((f) => f.unit))];
  const value = (row, unit) => shown.find((f) => f.name === row && (counted || f.unit === unit));
  return html`
    <table>
      <thead><tr><th scope="col">${t(`statement.${name}`)}</th>${units.map((u) => html`<th key=${u} scope="col">${counted ? '' : u}</th>`)}</tr></thead>
      <tbody>
        ${rows.filter((row) => shown.some((f) => f.name === row)).map((row) => html`
          <tr key=${row} class=${SUMS.includes(row) ? 'sum' : PARTS.includes(row) ? 'part' : ''}><th scope="row">${t(RENAMED[row] ?? `figure.${row}`)}</th>
            ${units.map((u) => html`<td key=${u} data-testid=${`statement-${row}`}>${show(value(row, u))}</td>`)}</tr>`)}
      </tbody>
    </table>`;
}

function show(figure) {
  return figure ? amount(figure.amount, COUNTED.includes(figure.unit) ? '' : figure.unit) : '–';
}

function Balances({ statement }) {
  const room = statement.balances.some((b) => b.scope === 'room');
  const unit = (b) => (COUNTED.includes(b.unit) ? '' : b.unit);
  // A part that is off makes the room off; it is shown too, to say whose it is.
  const rows = statement.balances.filter((b) => !room || b.scope === 'room' || b.difference !== '0');
  return html`
    <section class="panel" aria-label=${t('statement.balances')}>
      <header><h2>${t('statement.balances')}</h2></header>
      <table data-testid="statement-balances">
        <thead><tr><th scope="col">${t('statement.must_equal')}</th><th scope="col">${t('statement.left')}</th><th scope="col">${t('statement.right')}</th><th scope="col">${t('statement.difference')}</th></tr></thead>
        <tbody>
          ${rows.map((b, i) => html`
            <tr key=${i} class=${b.difference === '0' ? '' : 'off'}>
              <th scope="row">${names(b.left)} = ${names(b.right)}${b.scope !== 'room' && html`<small>${b.shop_id ?? b.host_id}</small>`}</th>
              <td>${amount(b.left_sum, unit(b))}</td><td>${amount(b.right_sum, unit(b))}</td><td>${amount(b.difference, unit(b))}</td></tr>`)}
        </tbody>
      </table>
    </section>`;
}

/** The figures of one side; all states of orders are named once. */
function names(list) {
  const states = list.filter((name) => name.startsWith('orders_'));
  if (states.length > 1) return t('statement.all_states');
  return list.map((name) => t(RENAMED[name] ?? `figure.${name}`)).join(' + ');
}

render(html`<${Page} />`, document.getElementById('app'));
