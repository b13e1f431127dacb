import { once } from 'node:events';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import t from 'tap';
import type { Test } from 'tap';
import { ProxyError } from '../../src/errors.ts';
import {
  type Answer,
  call,
  type CallOptions,
  type Gate,
  GENERATE,
  limitOf,
  limits,
  MODEL,
  saying,
  startGate,
  statusOf,
  STREAM,
  windowOf,
} from '../support/gate.ts';
import { bodyOf } from '../support/loopback.ts';

const BODY = saying('Tell me about the sea.');

/** One call that is right, so that there is something to compare with. */
async function started(t: Test, options: Parameters<typeof startGate>[1] = {}): Promise<Gate> {
  const gate = await startGate(t, options);
  t.equal((await call(gate, GENERATE, { body: BODY })).status, 200);
  return gate;
}

/** That a mistake has cost nothing and reached nobody. */
async function costsNothing(t: Test, gate: Gate): Promise<void> {
  t.equal((await windowOf(gate, 'rpm')).used, 1, 'it costs no request');
  t.equal((await windowOf(gate, 'rpd')).used, 1);
  const counted = gate.simulator.arrivals.filter(({ requests }) => requests > 0);
  t.equal(counted.length, 1, 'and nothing was sent');
  const { queue, totals } = await statusOf(gate);
  t.match({ queue, totals }, { queue: [], totals: { running: 0, waiting: 0 } });
}

function errorOf({ text }: Answer) {
  const parsed = JSON.parse(text);
  return (Array.isArray(parsed) ? parsed[0] : parsed).error;
}

t.test('a mistake in a call is told with its field and its fix', async (t) => {
  const gate = await started(t);
  const cases: readonly [string, string, CallOptions, number, string, RegExp][] = [
    ['bad JSON', GENERATE, { body: '{"contents": [}' }, 400, 'BAD_JSON', /byte 14/],
    ['cut JSON', GENERATE, { body: '{"contents": [' }, 400, 'BAD_JSON', /byte 14/],
    ['an empty body', GENERATE, { body: '' }, 400, 'BAD_JSON', /body/],
    ['no object', STREAM, { body: '[1]' }, 400, 'BAD_JSON', /object/],
    ['no model', '/v1beta/models/:generateContent', { body: BODY }, 400, 'MODEL_MISSING', /model/],
    [
      'no model in the body',
      '/v1beta/openai/chat/completions',
      { body: { messages: [] } },
      400,
      'MODEL_MISSING',
      /"model"/,
    ],
    [
      'an empty model in the body',
      '/v1beta/openai/chat/completions',
      { body: { model: '', messages: [] } },
      400,
      'MODEL_MISSING',
      /"model"/,
    ],
    [
      'a priority of no such name',
      GENERATE,
      { body: BODY, headers: { 'x-headgate-priority': 'urgent' } },
      400,
      'BAD_REQUEST',
      /x-headgate-priority is "urgent"; say interactive or batch/,
    ],
    [
      'a wait without a unit',
      GENERATE,
      { body: BODY, headers: { 'x-headgate-max-wait': '30' } },
      400,
      'BAD_REQUEST',
      /x-headgate-max-wait is "30"; say a duration such as 30s/,
    ],
    [
      'an agent with a blank in its name',
      GENERATE,
      { body: BODY, headers: { 'x-headgate-agent': 'a b' } },
      400,
      'BAD_REQUEST',
      /x-headgate-agent is "a b"; use 1 to 64 letters/,
    ],
    [
      'an agent of that kind in the path',
      `/agents/a%20b${GENERATE}`,
      { body: BODY },
      400,
      'BAD_REQUEST',
      /agent/,
    ],
    [
      'a session name that climbs',
      GENERATE,
      { body: BODY, headers: { 'x-headgate-session': '..' } },
      400,
      'BAD_REQUEST',
      /x-headgate-session/,
    ],
  ];
  for (const [what, path, options, status, reason, message] of cases) {
    const answer = await call(gate, path, { method: 'POST', ...options });
    t.equal(answer.status, status, what);
    t.equal(answer.headers['x-headgate-refused'], reason, what);
    t.match(errorOf(answer).message, message, what);
    t.match(errorOf(answer).message, /headgate/, 'and says whose word it is');
  }
  await costsNothing(t, gate);
});

t.test('an unknown method of a model passes and is not counted', async (t) => {
  const gate = await started(t);
  const answer = await call(gate, `/v1beta/models/${MODEL}:paintContent`, { body: BODY });
  t.equal(answer.status, 404, 'as the upstream says');
  t.equal(answer.headers['x-headgate-refused'], undefined);
  t.equal((await windowOf(gate, 'rpm')).used, 1);
});

t.test('a body over the limit is refused by its announced length, unread', async (t) => {
  const gate = await started(t);
  const outgoing = request(gate.url + GENERATE, {
    method: 'POST',
    headers: { 'content-length': 200 * 1024 * 1024, expect: '100-continue' },
  });
  outgoing.on('error', () => undefined);
  outgoing.flushHeaders();
  const [response] = await once(outgoing, 'response');
  t.equal(response.statusCode, 413);
  const { error } = JSON.parse((await bodyOf(response)).toString());
  t.match(error.message, /larger than 128 MiB; upload large files through the Files API/);
  outgoing.destroy();
  await costsNothing(t, gate);
});

t.test('a call larger than its own limit is refused at once, on an exact count', async (t) => {
  const gate = await started(t, { config: { rate_limits: limits({ tpm: 500 }) } });
  const larger = saying('the sea is wide and blue today '.repeat(200));
  const answer = await call(gate, GENERATE, { body: larger });
  t.equal(answer.status, 400);
  t.equal(answer.headers['x-headgate-refused'], 'CALL_LARGER_THAN_LIMIT');
  t.match(errorOf(answer).message, /more than the whole limit of 500; .*headgate limits set/);
  const counts = gate.simulator.arrivals.filter(({ method }) => method === 'countTokens');
  t.equal(counts.length, 1);
  await costsNothing(t, gate);
});

t.test('a call larger than its own limit is refused on an empty window too', async (t) => {
  const gate = await startGate(t, { config: { rate_limits: limits({ tpm: 500 }) } });
  const answer = await call(gate, GENERATE, {
    body: saying('the sea is wide and blue today '.repeat(200)),
  });
  t.equal(answer.headers['x-headgate-refused'], 'CALL_LARGER_THAN_LIMIT');
  t.equal(gate.simulator.arrivals.filter(({ requests }) => requests > 0).length, 0);
});

t.test('more requests than the limit in one call are refused at once', async (t) => {
  const gate = await startGate(t, { config: { rate_limits: limits({ rpm: 2 }) } });
  const item = { content: { parts: [{ text: 'sea' }] } };
  const path = `/v1beta/models/${MODEL}:batchEmbedContents`;
  const answer = await call(gate, path, { body: { requests: [item, item, item] } });
  t.equal(answer.status, 400);
  t.equal(answer.headers['x-headgate-refused'], 'CALL_LARGER_THAN_LIMIT');
  t.equal(gate.simulator.arrivals.length, 0);
});

t.test('a limit of zero admits nothing and names itself', async (t) => {
  const gate = await startGate(t, { config: { rate_limits: limits({ rpm: 0 }) } });
  const answer = await call(gate, GENERATE, { body: BODY });
  t.equal(answer.status, 429);
  t.equal(answer.headers['x-headgate-refused'], 'QUOTA_ZERO');
  t.equal(answer.headers['x-should-retry'], 'false');
  t.match(errorOf(answer).message, /limit: 0/);
});

t.test('mistakes in limits are told, and change nothing', async (t) => {
  const gate = await started(t, { config: { rate_limits: limits({ rpm: 10 }) } });
  const cases: readonly [object | string, RegExp, RegExp][] = [
    [{ rpm: -1 }, /rpm/, /0/],
    [{ rpm: 1.5 }, /^rpm$/, /whole number/],
    [{ rps: 3 }, /^rps$/, /use rpm, tpm, rpd/],
    [{ rpm: '5' }, /rpm/, /number or null/],
    [{}, /body/, /./],
    ['{"rpm": ', /body/, /not JSON/],
  ];
  for (const [body, where, detail] of cases) {
    const answer = await call(gate, `/limits/${MODEL}`, { method: 'PATCH', body });
    t.equal(answer.status, 400, JSON.stringify(body));
    t.match(answer.headers['content-type'], /^application\/problem\+json/);
    const problem = JSON.parse(answer.text);
    t.match(problem.where, where);
    t.match(problem.detail, detail);
  }
  t.match(await limitOf(gate, 'rpm'), { limit: 10, override: null });
  await costsNothing(t, gate);
});

t.test('a project that is not configured is a mistake, not a new quota', async (t) => {
  const gate = await started(t, { config: { projects: { 'team-b': { keys: ['AIza-b'] } } } });
  const path = `/limits/${MODEL}?project=team-c`;
  for (const [at, method, body] of [
    [path, 'PATCH', { rpm: 3 }],
    [path, 'DELETE', undefined],
    ['/limits/explain', 'POST', { model: MODEL, project: 'team-c' }],
  ] as const) {
    const answer = await call(gate, at, { method, ...(body === undefined ? {} : { body }) });
    t.equal(answer.status, 400, `${method} ${at}`);
    t.match(JSON.parse(answer.text), {
      reason: 'BAD_REQUEST',
      where: 'project',
      detail: /team-c is no project; use default or team-b\./,
    });
  }
  await costsNothing(t, gate);
});

t.test('a live limit of a model is kept across a restart until it is reset', async (t) => {
  const gate = await started(t, { config: { rate_limits: limits({ rpm: 10 }) } });
  const path = `/limits/${MODEL}`;
  await call(gate, path, { method: 'PATCH', body: { rpm: 3 } });
  await gate.restart();
  t.match(await limitOf(gate, 'rpm'), { limit: 3, limit_source: 'override', configured: 10 });
  await call(gate, path, { method: 'DELETE' });
  t.match(await limitOf(gate, 'rpm'), { limit: 10, limit_source: 'configured' });
});

t.test('a route that is not there is a problem that lists those that are', async (t) => {
  const gate = await started(t);
  for (const [path, method, status] of [
    ['/nothing', 'GET', 404],
    ['/v2/models', 'GET', 404],
    ['/status', 'DELETE', 405],
  ] as const) {
    const answer = await call(gate, path, { method });
    t.equal(answer.status, status, path);
    t.match(answer.headers['content-type'], /^application\/problem\+json/);
    const problem = JSON.parse(answer.text);
    t.ok(problem.routes.includes('GET /status'));
    t.ok(problem.detail.length > 10);
  }
  await costsNothing(t, gate);
});

t.test('web pages of other sites and foreign hosts are kept out', async (t) => {
  const gate = await started(t);
  const cases: readonly [Record<string, string>, string, RegExp][] = [
    [{ host: 'evil.example' }, 'HOST_NOT_ALLOWED', /admin\.allowed_hosts/],
    [{ origin: 'https://evil.example' }, 'ORIGIN_NOT_ALLOWED', /admin\.allowed_origins/],
    [{ 'sec-fetch-site': 'cross-site' }, 'ORIGIN_NOT_ALLOWED', /admin\.allowed_origins/],
  ];
  for (const [headers, reason, fix] of cases) {
    const relayed = await call(gate, GENERATE, { body: BODY, headers });
    t.equal(relayed.status, 403);
    t.equal(relayed.headers['x-headgate-refused'], reason);
    t.match(errorOf(relayed).message, fix);
    const own = await call(gate, '/status', { headers });
    t.equal(own.status, 403);
    t.equal(JSON.parse(own.text).reason, reason);
    t.match(JSON.parse(own.text).detail, fix);
  }
  await costsNothing(t, gate);
  const metrics = (await call(gate, '/metrics')).text;
  t.match(metrics, 'headgate_refusals_total{reason="HOST_NOT_ALLOWED"} 1');
});

t.test('with a token nobody gets in without it', async (t) => {
  const config = { admin: { token: 'letmein-123' }, upstream: { api_key: 'AIza-configured' } };
  const first = await startGate(t);
  const upstream = { base_url: first.simulator.url, ...config.upstream };
  const gate = await startGate(t, { config: { ...config, upstream } });
  const none = await call(gate, GENERATE, { body: BODY, headers: { 'x-goog-api-key': 'own' } });
  t.equal(none.status, 401);
  t.equal(none.headers['x-headgate-refused'], 'UNAUTHORIZED');
  t.match(errorOf(none).message, /admin\.token/);
  t.equal((await call(gate, '/status')).status, 401);
  t.equal((await call(gate, '/livez')).status, 200);
  const authorization = 'Bearer letmein-123';
  t.equal((await call(gate, '/status', { headers: { authorization } })).status, 200);
  const asKey = { 'x-goog-api-key': 'letmein-123' };
  t.equal((await call(gate, GENERATE, { body: BODY, headers: asKey })).status, 200);
  t.equal(first.simulator.arrivals.length, 1);
});

t.test('a database that cannot be used stops the start, with path and fix', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'headgate-database-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  const newer = join(directory, 'newer.db');
  const fromLater = new Database(newer);
  fromLater.pragma('user_version = 99');
  fromLater.close();
  const corrupt = join(directory, 'corrupt.db');
  writeFileSync(corrupt, 'this is no database at all, not even a small one'.repeat(100));
  const locked = join(directory, 'locked.db');
  const holder = new Database(locked);
  holder.exec('BEGIN EXCLUSIVE');
  t.teardown(() => holder.close());
  const cases: [string, RegExp][] = [
    [newer, /newer headgate .*Update headgate, or name another file in storage\.path/],
    [corrupt, /not a database or is damaged\. Move it away/],
    [locked, /locked by another program\. Stop that program/],
  ];
  // Nothing is read-only to root.
  if (process.getuid?.() !== 0) {
    const readOnly = join(directory, 'read-only.db');
    writeFileSync(readOnly, '');
    chmodSync(readOnly, 0o444);
    cases.push([readOnly, /cannot be written\. Make the file and its directory writable/]);
  }
  for (const [path, fix] of cases) {
    const error: unknown = await startGate(t, { config: { storage: { path } } }).catch(
      (thrown: unknown) => thrown,
    );
    t.ok(error instanceof ProxyError, path);
    if (!(error instanceof ProxyError)) continue;
    t.equal(error.reason, 'DATABASE_UNAVAILABLE');
    t.match(error.message, path);
    t.match(error.message, fix);
    t.equal(error.where, 'storage.path');
  }
});
