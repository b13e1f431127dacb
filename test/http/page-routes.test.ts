import { once } from 'node:events';
import { connect } from 'node:net';
import t, { type Test } from 'tap';
import { eventFrame } from '../../src/http/event-frame.ts';
import {
  LISTENERS_MAX,
  PING_MS,
  STALLED_MS_MAX,
  UNSENT_BYTES_MAX,
} from '../../src/http/event-stream.ts';
import type { FrameListener, PageControl } from '../../src/http/page-control.ts';
import { ask } from '../support/ask.ts';
import { listenTo } from '../support/event-source.ts';
import { until } from '../support/gate.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { startOwnServer } from '../support/own-server.ts';

/** A page whose listeners the test talks to. */
async function startPage(
  t: Test,
  options: { readonly token?: () => string | null; readonly page?: Partial<PageControl> } = {},
) {
  const clock = new ManualClock();
  const listeners = new Set<FrameListener>();
  const page: PageControl = {
    listen(listener) {
      listeners.add(listener);
      listener(eventFrame('status', [{ n: 0 }]));
      return () => listeners.delete(listener);
    },
    exchanges: () => [],
    history: ({ span }) => ({ span, step_ms: 60_000, points: [] }),
    ...options.page,
  };
  const guard = {
    get token() {
      return options.token?.() ?? null;
    },
  };
  const { url, port, server } = await startOwnServer(t, { clock, page, guard });
  const tell = (...frame: Parameters<typeof eventFrame>) => {
    for (const listener of listeners) listener(eventFrame(...frame));
  };
  return { clock, listeners, url, port, server, tell };
}

t.test('events come as they happen, and pings in between', async (t) => {
  const { clock, listeners, url, tell } = await startPage(t);
  const source = await listenTo(url);
  t.match(source.response.headers, {
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
  });
  await source.find(({ event }) => event === 'status');
  tell('exchange', [{ id: 'a\n\nb' }, { id: 'c' }]);
  await source.find(({ data }) => JSON.stringify(data) === '{"id":"c"}');
  clock.advance(PING_MS);
  await source.find(({ event }) => event === 'ping');
  t.strictSame(source.events, [
    { event: 'status', data: { n: 0 } },
    { event: 'exchange', data: { id: 'a\n\nb' } },
    { event: 'exchange', data: { id: 'c' } },
    { event: 'ping', data: null },
  ]);
  source.request.destroy();
  await until(() => listeners.size === 0);
  t.equal(clock.pendingTimers, 0, 'nothing is left of it');
});

t.test('a server that closes ends its streams', async (t) => {
  const { url, server } = await startPage(t);
  const source = await listenTo(url);
  await server.close();
  await source.closed;
  t.ok(source.events.length <= 1);
});

t.test('so many may listen and no more', async (t) => {
  const { listeners, url, port } = await startPage(t);
  const sources = await Promise.all(Array.from({ length: LISTENERS_MAX }, () => listenTo(url)));
  const one = await ask(port, 'GET /events');
  t.match(one.json, { status: 503, reason: 'LISTENERS_FULL', detail: /close one/ });
  t.equal(one.headers['retry-after'], '5');
  sources[0]?.request.destroy();
  await until(() => listeners.size < LISTENERS_MAX);
  const next = await listenTo(url);
  t.equal(next.response.statusCode, 200);
  for (const { request } of [...sources, next]) request.destroy();
});

/** A client that has asked and reads nothing. */
async function sleeper(port: number) {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  socket.pause();
  socket.write('GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n');
  return socket;
}

t.test('who does not read is cut off, and nothing is piled up for him', async (t) => {
  const { clock, listeners, port, tell } = await startPage(t);
  const socket = await sleeper(port);
  await until(() => listeners.size === 1);
  const big = { text: 'x'.repeat(UNSENT_BYTES_MAX / 2) };
  // The kernel takes some megabytes before anything waits here.
  for (let told = 0; told < 1_000 && listeners.size === 1; told += 1) {
    tell('exchange', [big]);
    await new Promise((resolve) => {
      setImmediate(resolve);
    });
  }
  t.equal(listeners.size, 0, 'cut off for what waits');
  socket.destroy();

  const quiet = await sleeper(port);
  await until(() => listeners.size === 1);
  for (let told = 0; told < 100; told += 1) {
    tell('status', [big]);
    await new Promise((resolve) => {
      setImmediate(resolve);
    });
  }
  t.equal(listeners.size, 1, 'statuses are left out while one waits');
  clock.advance(PING_MS + STALLED_MS_MAX);
  await until(() => listeners.size === 0);
  t.pass('cut off for its sleep');
  quiet.destroy();
});

t.test('the last status that was left out is told once there is room', async (t) => {
  const { listeners, url, tell } = await startPage(t);
  const source = await listenTo(url);
  await source.find(({ event }) => event === 'status');
  source.response.pause();
  const big = { text: 'x'.repeat(UNSENT_BYTES_MAX / 8) };
  for (let n = 1; n <= 100; n += 1) {
    tell('status', [{ ...big, n }]);
    await new Promise((resolve) => {
      setImmediate(resolve);
    });
  }
  source.response.resume();
  await source.find(({ data }) => JSON.stringify(data).endsWith('"n":100}'));
  t.ok(source.events.length < 100, 'those before it are not');
  t.equal(listeners.size, 1);
  source.request.destroy();
});

t.test('a token opens the stream, and closes it when it is another one', async (t) => {
  const state = { token: 'first-token' };
  const { clock, url, port } = await startPage(t, { token: () => state.token });
  for (const path of ['/events', '/exchanges', '/history', '/status']) {
    t.match((await ask(port, `GET ${path}`)).json, { status: 401, reason: 'UNAUTHORIZED' }, path);
  }
  for (const path of ['/', '/dashboard/vendor/preact.js', '/livez']) {
    t.equal((await ask(port, `GET ${path}`)).status, 200, path);
  }
  const source = await listenTo(url, { authorization: 'Bearer first-token' });
  await source.find(({ event }) => event === 'status');
  clock.advance(PING_MS);
  await source.find(({ event }) => event === 'ping');
  state.token = 'second-token';
  clock.advance(PING_MS);
  await source.closed;
  t.equal(source.events.length, 2);
});

t.test('what is asked of exchanges and history is passed on, and mistakes are told', async (t) => {
  const asked: unknown[] = [];
  const { port } = await startPage(t, {
    page: {
      exchanges(query) {
        asked.push(query);
        return [];
      },
      history(query) {
        asked.push(query);
        return { span: query.span, step_ms: 60_000, points: [] };
      },
    },
  });
  t.strictSame((await ask(port, 'GET /exchanges')).json, { exchanges: [] });
  await ask(port, 'GET /exchanges?limit=7&model=m&agent=a&outcome=failed');
  t.match((await ask(port, 'GET /history')).json, { span: 'hour', points: [] });
  await ask(port, 'GET /history?span=day&model=m&project=p');
  t.strictSame(asked, [
    { limit: 200, model: null, agent: null, outcome: null },
    { limit: 7, model: 'm', agent: 'a', outcome: 'failed' },
    { span: 'hour', model: null, project: null },
    { span: 'day', model: 'm', project: 'p' },
  ]);
  const mistakes: readonly [string, RegExp][] = [
    ['/exchanges?limit=0', /query\.limit must be a whole number from 1 to 200/],
    ['/exchanges?limit=201', /query\.limit/],
    ['/exchanges?limit=1e2', /query\.limit/],
    ['/exchanges?outcome=good', /query\.outcome must be one of ok, upstream_error/],
    ['/exchanges?model=', /query\.model must not be empty/],
    ['/exchanges?modell=m', /query\.modell is not known/],
    ['/history?span=week', /query\.span must be one of hour, day/],
  ];
  for (const [path, detail] of mistakes) {
    t.match((await ask(port, `GET ${path}`)).json, { status: 400, detail }, path);
  }
});
