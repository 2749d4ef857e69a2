// A client that shares no code with livecart: the WebSocket of Node.js and the JSON subprotocol as
// documented. It comments, buys, is cut off, resumes on the other gateway and asks again under the
// same request_id. Prints one JSON object of what it saw; arguments: the ready file.
import { readFileSync } from 'node:fs';
import { randomUUID } from 'node:crypto';

const ready = JSON.parse(readFileSync(process.argv[2]));

function join(gateway, token, query = '') {
  const ws = new WebSocket(`${ready.gateways[gateway].ws}?access_token=${token}${query}`, ['livecart.v1.json']);
  const room = { ws, events: [], replies: new Map(), wanted: [] };
  ws.addEventListener('message', ({ data }) => {
    const frame = JSON.parse(data);
    room.events.push(...(frame.events ?? []));
    for (const reply of frame.replies ?? []) room.replies.get(reply.request_id)?.(reply);
    room.wanted = room.wanted.filter((w) => !w());
  });
  room.ask = (kind, body, requestID = randomUUID()) =>
    new Promise((done) => {
      room.replies.set(requestID, done);
      ws.send(JSON.stringify({ commands: [{ request_id: requestID, [kind]: body }] }));
    });
  room.event = (kind, is = () => true) =>
    new Promise((done, fail) => {
      const look = () => {
        const found = room.events.find((e) => e[kind] && is(e[kind]));
        if (found) done(found);
        return found;
      };
      const timer = setTimeout(() => fail(new Error(`${kind} did not come`)), 15_000);
      timer.unref();
      if (!look()) room.wanted.push(look);
    });
  return new Promise((done, fail) => {
    ws.addEventListener('open', () => done(room));
    ws.addEventListener('error', () => fail(new Error('the connection failed')));
  });
}

const saw = {};
const host = await join(1, ready.host_token);
let viewer = await join(0, ready.viewer_token);
saw.protocol = viewer.ws.protocol;
const welcome = (await viewer.event('session_welcome')).session_welcome;
saw.first = Object.keys(viewer.events[0]).filter((k) => k !== 'time_ms' && k !== 'seq');
saw.shelf = welcome.shelf.length;
saw.comment = (await viewer.ask('chat_send', { text: 'hello 你好' })).ok.chat_message.text;

const started = await host.ask('flash_start', {
  listing_id: 'demo-teapot-1', price: '9900', quantity: '5', per_buyer_limit: 1, duration_ms: '600000',
});
const sale = started.ok.flash_sale;
await viewer.event('flash_started');
const key = randomUUID();
const bought = await viewer.ask('flash_buy', { sale_id: sale.id, quantity: 1 }, key);
saw.order = bought.ok.order.id;
saw.state = bought.ok.order.state;
await viewer.event('order_updated');
// The first one may be of the time before the order.
saw.available = (await viewer.event('flash_stock', (stock) => stock.available !== '5')).flash_stock.available;

const seen = Math.max(Number(welcome.seq), ...viewer.events.map((e) => Number(e.seq ?? 0)));
viewer.ws.close();
await host.ask('product_push', { product_id: 'demo-lamp' });
viewer = await join(1, ready.viewer_token, `&after_seq=${seen}`);
saw.resumed = (await viewer.event('session_welcome')).session_welcome.resumed;
saw.missed = Number((await viewer.event('product_pushed')).seq) - seen;
saw.again = (await viewer.ask('flash_buy', { sale_id: sale.id, quantity: 1 }, key)).ok.order.id;
saw.conflict = (await viewer.ask('flash_buy', { sale_id: sale.id, quantity: 2 }, key)).error.reason;
saw.unknown = (await viewer.ask('teleport', {})).error.reason;
await host.ask('flash_stop', { sale_id: sale.id, expected_version: sale.version });
saw.ended = (await viewer.event('flash_ended')).flash_ended.cause;
console.log(JSON.stringify(saw));
process.exit(0);
