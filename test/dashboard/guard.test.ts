import { createServer } from 'node:http';
import t from 'tap';
import type { Test } from 'tap';
import type { Page } from 'playwright-core';
import { BROWSER, browserFor, visit } from '../support/dashboard.ts';
import {
  call,
  GENERATE,
  type Gate,
  MODEL,
  queueOf,
  saying,
  send,
  startGate,
  waiting,
} from '../support/gate.ts';
import { LIVE_PATH } from '../support/live.ts';
import { listen } from '../support/loopback.ts';
import { answered, LOG, stage, type Stage } from '../support/session-stage.ts';

/** A name of somebody else that leads to this machine, as DNS rebinding makes it do. */
const EVIL = 'evil.example';
const browser = browserFor(t, [`--host-resolver-rules=MAP ${EVIL} 127.0.0.1`]);

/** Calls wait for twenty minutes: nothing moves by itself while a test runs. */
const SLOW = {
  rate_limits: {
    gemini: {
      default: {
        rpm: null,
        tpm: null,
        rpd: null,
        windows: [{ name: 'slow', unit: 'requests', limit: 1, per: '20m' }],
      },
    },
  },
};

/**
 * What a page of somebody else tries in the browser of whoever runs headgate. Each way resolves with
 * what the page got to know, null where it is nothing.
 */
const ATTACK = `
const json = { 'content-type': 'application/json' };
const settled = (promise) => promise.then((read) => read, () => null);
const reading = (url, options) => settled(fetch(url, options).then((answer) => answer.text()));
const blind = (url, options) => settled(
  fetch(url, { mode: 'no-cors', ...options }).then(async (answer) => (await answer.text()) || null),
);
const loading = (name, url) => new Promise((resolve) => {
  const element = document.createElement(name);
  element.onload = () => resolve(name + ' was loaded');
  element.onerror = () => resolve(null);
  element.src = url;
  document.body.append(element);
});
const streaming = (url) => new Promise((resolve) => {
  const source = new EventSource(url);
  const done = (read) => { source.close(); resolve(read); };
  source.onopen = () => done('the stream was opened');
  source.onerror = () => done(null);
});
const talking = (url) => new Promise((resolve) => {
  const socket = new WebSocket(url);
  socket.onopen = () => { socket.close(); resolve('the socket was opened'); };
  socket.onerror = () => resolve(null);
});
const posting = (url, fields, type) => new Promise((resolve) => {
  const frame = document.createElement('iframe');
  frame.name = 'frame' + Math.random();
  document.body.append(frame);
  const form = document.createElement('form');
  Object.assign(form, { action: url, method: 'post', enctype: type, target: frame.name });
  for (const [name, value] of Object.entries(fields)) {
    form.append(Object.assign(document.createElement('input'), { name, value, type: 'hidden' }));
  }
  document.body.append(form);
  frame.onload = () => {
    try { resolve(frame.contentDocument?.body.innerText || null); } catch { resolve(null); }
  };
  form.submit();
});
globalThis.attack = async (gate, { model, log, queued, generate, live }) => {
  const got = [];
  const tried = async (what, promise) => got.push([what, await promise]);
  const reads = ['/status', '/limits', '/queue', '/usage', '/metrics', '/exchanges', '/history',
    '/sessions', '/sessions/' + log, '/sessions/' + log + '/history', '/openapi.json', '/', generate];
  for (const path of reads) {
    await tried('GET ' + path, reading(gate + path));
    await tried('GET unseen ' + path, blind(gate + path));
    for (const name of ['script', 'img']) await tried(name + ' ' + path, loading(name, gate + path));
  }
  const turn = { message: 'And how blue?' };
  const prompt = { contents: [{ role: 'user', parts: [{ text: 'Spend the key.' }] }] };
  const writes = [
    ['PATCH', '/limits/' + model, { slow: 1000 }],
    ['DELETE', '/limits/' + model],
    ['DELETE', '/queue/' + queued],
    ['POST', '/reload'],
    ['POST', '/limits/explain', { model }],
    ['POST', '/sessions/' + log + '/continue', turn],
    ['POST', generate, prompt],
  ];
  for (const [method, path, body] of writes) {
    const text = body === undefined ? {} : { body: JSON.stringify(body) };
    const url = gate + path;
    await tried(method + ' ' + path, reading(url, { method, ...text }));
    await tried(method + ' as JSON ' + path, reading(url, { method, ...text, headers: json }));
    await tried('POST unseen ' + path, blind(url, { method: 'POST', ...text }));
    // A body of text that is JSON, which browsers send without asking first.
    const [start = '{', end = ''] = (text.body ?? '').split(/(?<=^\\{)/);
    await tried('form ' + path, posting(url, { [start]: end }, 'text/plain'));
    await tried('form of fields ' + path, posting(url, { _method: method }, ''));
    if (navigator.sendBeacon(url, text.body ?? '')) got.push(['beacon ' + path, null]);
  }
  await tried('events', streaming(gate + '/events'));
  for (const path of ['/events', live]) {
    await tried('socket ' + path, talking(gate.replace('http', 'ws') + path));
  }
  return got;
};`;

/** A web server of somebody else, on a port of its own. */
async function foreignSite(t: Test): Promise<number> {
  const server = createServer((_, response) => {
    response.setHeader('content-type', 'text/html');
    response.end(`<!doctype html><title>Prize</title><body><script>${ATTACK}</script>`);
  });
  const port = await listen(server);
  t.teardown(() => {
    server.close();
    server.closeAllConnections();
  });
  return port;
}

/** A daemon with a call that waits and a limit set live, and what all of it stands at. */
async function busy(t: Test): Promise<{ staged: Stage; look: () => Promise<object> }> {
  const staged = await stage(t, answered('Blue.'), {}, SLOW);
  const { gate, asked } = staged;
  const { status } = await call(gate, GENERATE, { body: saying('Hello') });
  t.equal(status, 200);
  const held = send(gate, GENERATE, { body: saying('Hello') });
  t.teardown(() => held.request.destroy());
  await waiting(gate, 1);
  await call(gate, `/limits/${MODEL}`, { method: 'PATCH', body: { rpd: 50 } });
  const look = async () => {
    const metrics = (await call(gate, '/metrics')).text;
    return {
      limits: JSON.parse((await call(gate, '/limits')).text),
      queue: (await queueOf(gate)).map(({ id }) => id),
      usage: JSON.parse((await call(gate, '/usage')).text),
      session: JSON.parse((await call(gate, `/sessions/${LOG}`)).text),
      reloads: metrics.match(/^headgate_config_reloads_total\{.*$/gm),
      exchanges: metrics.match(/^headgate_exchanges_total\{.*$/gm),
      asked: asked.length,
    };
  };
  return { staged, look };
}

/** Everything that a page at this address can try, from within it. */
async function attackFrom(page: Page, gate: Gate): Promise<[what: string, read: string | null][]> {
  const [queued] = await queueOf(gate);
  const known = { model: MODEL, log: LOG, queued: queued?.id, generate: GENERATE, live: LIVE_PATH };
  return page.evaluate(`attack(${JSON.stringify(gate.url)}, ${JSON.stringify(known)})`);
}

for (const [name, host] of [
  ['another name', EVIL],
  ['another port of the same name', '127.0.0.1'],
] as const) {
  t.test(`a page of ${name} reads nothing and changes nothing`, BROWSER, async (t) => {
    const { staged, look } = await busy(t);
    const { gate } = staged;
    const { page } = await visit(t, await browser(), `http://${host}:${await foreignSite(t)}/`);
    const answers = new Map<string, Set<number>>();
    page.on('response', (response) => {
      const { origin, pathname } = new URL(response.url());
      if (origin !== gate.url) return;
      const known = answers.get(pathname) ?? new Set();
      answers.set(pathname, known.add(response.status()));
    });
    const before = await look();
    const got = await attackFrom(page, gate);
    t.ok(got.length > 80, `${got.length} ways were tried`);
    t.strictSame(
      got.filter(([, read]) => read !== null),
      [],
      'nothing is read',
    );
    t.strictSame(await look(), before, 'nothing is changed');
    for (const path of ['/status', '/reload', `/limits/${MODEL}`, `/sessions/${LOG}/continue`]) {
      t.strictSame([...(answers.get(path) ?? [])], [403], `${path} was asked, and refused`);
    }
  });
}

t.test('a form that leads here is refused, and says why', BROWSER, async (t) => {
  const gate = await startGate(t);
  const port = await foreignSite(t);
  const { page } = await visit(t, await browser(), `http://${EVIL}:${port}/`);
  await page.setContent(
    `<form method="post" action="${gate.url}/reload"><button>Win</button></form>`,
  );
  await page.getByRole('button', { name: 'Win' }).click();
  await page.getByText('admin.allowed_origins').waitFor();
  t.match(await page.content(), `Pages of http://${EVIL}:${port} may not call headgate`);
  t.notMatch((await call(gate, '/metrics')).text, /^headgate_config_reloads_total\{/m);
});

t.test(
  'a name that somebody else points here is refused, until it is allowed',
  BROWSER,
  async (t) => {
    const gate = await startGate(t);
    const address = gate.url.replace('127.0.0.1', EVIL);
    const { page } = await visit(t, await browser(), address);
    const text = await page.locator('body').innerText();
    t.match(text, `The host \\"${new URL(address).host}\\" is not one of headgate's`);
    t.match(text, 'add it to admin.allowed_hosts', 'what to do is told');
    t.equal(await page.getByRole('heading', { name: 'headgate' }).count(), 0, 'no page is shown');
    // The browser takes this for the page's own origin: only the daemon can tell the difference.
    const read = await page.evaluate(`Promise.all(
    [['GET', '/status'], ['GET', '/dashboard/page.js'], ['POST', '/reload'], ['POST', '${GENERATE}']].map(
      ([method, path]) => fetch(path, { method }).then(async (answer) => [answer.status, await answer.text()]),
    ),
  )`);
    t.match(
      read,
      Array.from({ length: 4 }, () => [403, /admin\.allowed_hosts/]),
    );
    t.notMatch((await call(gate, '/metrics')).text, /^headgate_config_reloads_total\{/m);
    t.equal(gate.simulator.arrivals.length, 0);

    gate.configure({ admin: { allowed_hosts: [EVIL] } });
    gate.daemon.reload();
    await page.goto(address);
    await page.getByText('No call has come yet').waitFor();
    await page.getByText(/^live/).waitFor();
    await page.getByRole('button', { name: 'Reload' }).click();
    await page.getByText('nothing new').waitFor();
  },
);

t.test('a token is asked for, and is kept out of every address', BROWSER, async (t) => {
  const token = 'a-token-for-this-test';
  const gate = await startGate(t, { config: { admin: { token } } });
  await call(gate, GENERATE, { body: saying('Hello'), headers: { 'x-goog-api-key': token } });
  const asked: string[] = [];
  const { page } = await visit(t, await browser(), gate.url, {}, async (page) => {
    page.on('request', (request) => asked.push(request.url()));
  });
  const field = page.getByRole('textbox', { name: 'Token' });
  await field.fill(token);
  await field.press('Enter');
  await page.locator('.recent tbody tr').first().waitFor();
  await page.getByRole('button', { name: 'Reload' }).click();
  await page.getByText('nothing new').waitFor();
  asked.push(page.url());
  t.ok(asked.some((address) => address.endsWith('/events')));
  t.strictSame(
    asked.filter((address) => address.includes(token)),
    [],
  );
  const kept = await page.evaluate('JSON.stringify([{ ...localStorage }, document.cookie])');
  t.equal(kept, '[{},""]', 'nor does it outlive the tab');
  const other = await visit(t, await browser(), gate.url);
  await other.page.getByRole('textbox', { name: 'Token' }).waitFor();
  t.equal((await call(gate, '/status')).status, 401, 'and nothing is told without it');
});
