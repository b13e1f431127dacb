import t from 'tap';

import { ConfigError } from '../../src/config/problems.ts';
import { ProxyError } from '../../src/errors.ts';
import type { ExplainQuery } from '../../src/http/control.ts';
import type { LimitsView, StatusView } from '../../src/http/views.ts';
import { ask } from '../support/ask.ts';
import { startOwnServer } from '../support/own-server.ts';

const CONFIG_PROBLEM = {
  file: 'a.yaml',
  line: 3,
  column: 9,
  field: 'rpm',
  message: 'must be a number',
  hint: '',
};

const NO_SUMS = { requests: 0, input_tokens: 0, output_tokens: 0, usd: 0 };
const NO_USAGE = { until: '2026-11-30', zone: 'America/Los_Angeles', rows: [], total: NO_SUMS };

const LIMITS: LimitsView = { project: 'default', model: 'm', windows: [], max_concurrent: null };

t.test('a disk that is full is told of, and a statement that is wrong is not', async (t) => {
  let code = '';
  const { port, faults } = await startOwnServer(t, {
    control: {
      queue() {
        throw Object.assign(new Error('as SQLite says it'), { code });
      },
    },
  });
  for (const [said, status, reason] of [
    ['SQLITE_FULL', 503, 'DATABASE_UNAVAILABLE'],
    ['SQLITE_IOERR_WRITE', 503, 'DATABASE_UNAVAILABLE'],
    ['SQLITE_CONSTRAINT_UNIQUE', 500, 'INTERNAL'],
    ['SQLITE_ERROR', 500, 'INTERNAL'],
  ] as const) {
    code = said;
    const { json, ...answer } = await ask(port, 'GET /queue');
    t.equal(answer.status, status, said);
    t.match(json, { reason }, said);
    t.match(faults.pop(), { reason, cause: { code } }, `the log is told of ${said}`);
    if (status === 503) t.match(json, { where: 'storage.path', detail: /as SQLite says it/ });
    else t.notMatch(answer.text, 'as SQLite says it');
  }
});

t.test('views are answered as the control gives them', async (t) => {
  const { port } = await startOwnServer(t, {
    control: {
      // Only whether it comes through matters here.
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion
      status: () => ({ version: '1.2.3', banners: ['shadow mode'] }) as unknown as StatusView,
      limits: () => [LIMITS],
      queue: () => [],
      usage: ({ by, since }) => ({ ...NO_USAGE, by, since }),
      reload: () => ({ result: 'unchanged', file: null, hash: 'x', restart_needed: [] }),
    },
  });
  const cases = {
    'GET /status': { version: '1.2.3', banners: ['shadow mode'] },
    'GET /limits': { limits: [LIMITS] },
    'GET /queue': { queue: [] },
    'GET /queue/': { queue: [] },
    'GET //queue': { queue: [] },
    'GET /usage': { ...NO_USAGE, by: 'model', since: null },
    'GET /usage?by=day&since=7d': { ...NO_USAGE, by: 'day', since: '7d' },
    'POST /reload': { result: 'unchanged', file: null, hash: 'x', restart_needed: [] },
    'GET /livez': { status: 'live' },
    'GET /readyz': { status: 'ready' },
  };
  for (const [line, view] of Object.entries(cases)) {
    const answer = await ask(port, line);
    t.equal(answer.status, 200, line);
    t.strictSame(answer.json, view, line);
    t.equal(answer.headers['cache-control'], 'no-store');
  }
  const empty = await ask(port, 'POST /reload', {
    headers: { 'content-type': 'application/json' },
  });
  t.equal(empty.status, 200, 'an empty body is no mistake where none is needed');
  const metrics = await ask(port, 'GET /metrics');
  t.equal(metrics.text, 'up 1\n');
  t.match(metrics.headers['content-type'], 'version=0.0.4');
  t.match((await ask(port, 'GET /')).text, /headgate 1\.2\.3[^]*\/status[^]*\/metrics/);
});

t.test('limits are set, lifted and reset for one model of one project', async (t) => {
  const calls: unknown[] = [];
  const { port } = await startOwnServer(t, {
    control: {
      setLimits(model, limits, project) {
        calls.push([model, Object.fromEntries(limits), project]);
        return LIMITS;
      },
      resetLimits(model, project) {
        calls.push([model, project]);
        return LIMITS;
      },
    },
  });
  const set = await ask(port, 'PATCH /limits/tunedModels%2Fx', { body: { rpm: 5, tpm: null } });
  t.strictSame([set.status, set.json], [200, LIMITS]);
  await ask(port, 'PATCH /limits/m?project=team-b', { body: { spend: 0.5 } });
  await ask(port, 'DELETE /limits/m?project=team-b');
  await ask(port, 'DELETE /limits/m', { headers: { 'content-type': 'application/json' } });
  t.strictSame(calls, [
    ['tunedModels/x', { rpm: 5, tpm: null }, 'default'],
    ['m', { spend: 0.5 }, 'team-b'],
    ['m', 'team-b'],
    ['m', 'default'],
  ]);
});

t.test('explain fills in what was not told', async (t) => {
  const queries: ExplainQuery[] = [];
  const { port } = await startOwnServer(t, {
    control: {
      explain(query) {
        queries.push(query);
        return { project: 'p', model: 'm', admit: true, wait_ms: 0, limited_by: [] };
      },
    },
  });
  await ask(port, 'POST /limits/explain', { body: { model: 'm' } });
  const full = { model: 'm', tokens: 9, agent: 'a', project: 'p' };
  await ask(port, 'POST /limits/explain', { body: full });
  t.strictSame(queries, [{ model: 'm', tokens: 0, agent: null, project: 'default' }, full]);
});

t.test('every mistake names the field and the fix', async (t) => {
  const { port, faults } = await startOwnServer(t, {
    control: {
      setLimits() {
        throw new ProxyError('BAD_REQUEST', 'rpx is not a policy; there are rpm, tpm.', {
          where: 'rpx',
        });
      },
      cancelQueued: (id) => id === 'here',
      reload() {
        throw new ConfigError([CONFIG_PROBLEM]);
      },
      queue() {
        throw new Error('secret detail');
      },
    },
  });
  const cases: readonly [string, unknown, number, object][] = [
    ['PATCH /limits/m', { rpm: '5' }, 400, { where: 'body.rpm', detail: /number or null/ }],
    ['PATCH /limits/m', { rpm: -1 }, 400, { where: 'body.rpm', detail: />= 0/ }],
    ['PATCH /limits/m', {}, 400, { where: 'body' }],
    ['PATCH /limits/m', [1], 400, { where: 'body', detail: /object/ }],
    ['PATCH /limits/m', '{"rpm":', 400, { reason: 'BAD_JSON', where: 'body' }],
    ['PATCH /limits/m', undefined, 400, { where: 'body', detail: /object/ }],
    ['PATCH /limits/m', { rpx: 5 }, 400, { where: 'rpx', detail: /rpm, tpm/ }],
    ['PATCH /limits/m?projekt=x', { rpm: 1 }, 400, { where: 'query.projekt', detail: /spelling/ }],
    ['POST /limits/explain', { tokens: 1 }, 400, { where: 'body.model', detail: /missing/ }],
    ['POST /limits/explain', { model: 'm', tokens: 1.5 }, 400, { where: 'body.tokens' }],
    [
      'GET /usage?by=week',
      undefined,
      400,
      { where: 'query.by', detail: /model, agent, project, day/ },
    ],
    ['POST /reload', undefined, 422, { reason: 'CONFIG_INVALID', where: 'a.yaml:3:9' }],
    ['DELETE /queue/gone', undefined, 404, { reason: 'NOT_FOUND', where: 'id', detail: /gone/ }],
    ['GET /queue', undefined, 500, { reason: 'INTERNAL' }],
    ['GET /limits/%zz', undefined, 400, { reason: 'BAD_REQUEST', where: 'path' }],
  ];
  for (const [line, body, status, problem] of cases) {
    const answer = await ask(port, line, { body });
    t.equal(answer.status, status, `${line} ${JSON.stringify(body)}`);
    t.match(answer.headers['content-type'], 'application/problem+json');
    t.match(answer.json, {
      type: /^urn:headgate:error:[A-Z_]+$/,
      title: String,
      status,
      ...problem,
    });
    t.notMatch(answer.text, 'secret detail');
  }
  t.match(faults, [{ reason: 'INTERNAL', cause: { message: 'secret detail' } }]);
  const form = await ask(port, 'PATCH /limits/m', {
    body: 'rpm=5',
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
  });
  t.match(form.json, { status: 400, where: 'content-type', detail: /application\/json/ });
  t.strictSame((await ask(port, 'DELETE /queue/here')).json, { id: 'here', cancelled: true });
});

t.test('what does not exist is told with what does', async (t) => {
  const { port } = await startOwnServer(t);
  const lost = await ask(port, 'GET /statuz?x=1');
  t.match(lost.json, { status: 404, reason: 'NOT_FOUND', detail: /\/statuz\./ });
  const { routes } = lost.json as { routes: string[] };
  for (const route of ['GET /status', 'PATCH /limits/:model', 'GET /metrics']) {
    t.ok(routes.includes(route), route);
  }
  const wrong = await ask(port, 'PUT /limits/m', { body: {} });
  t.match(wrong.json, { status: 405, reason: 'METHOD_NOT_ALLOWED' });
  t.match(wrong.headers.allow, /PATCH.*DELETE/);
  const agents = await ask(port, 'GET /agents/a/v2/models');
  t.equal(agents.status, 404, 'not a Gemini path');
});

t.test('probes say when calls cannot be taken, and errors when to come back', async (t) => {
  const { port } = await startOwnServer(t, {
    control: {
      unreadyReason: () => 'draining',
      status() {
        throw new ProxyError('DATABASE_UNAVAILABLE', 'Locked.', { retryAfterMs: 1200 });
      },
    },
  });
  t.equal((await ask(port, 'GET /livez')).status, 200);
  for (const path of ['/readyz', '/healthz']) {
    const answer = await ask(port, `GET ${path}`);
    t.equal(answer.status, 503);
    t.strictSame(answer.json, { status: 'unready', reason: 'draining' });
  }
  const busy = await ask(port, 'GET /status');
  t.equal(busy.headers['retry-after'], '2');
  t.match(busy.json, { retry_after_ms: 1200 });
});

t.test('further routes share the guard and the problem documents', async (t) => {
  const { port } = await startOwnServer(t, {
    routes: [
      (app) =>
        app.get('/sessions', () => {
          throw new ProxyError('CONFLICT', 'Busy.');
        }),
    ],
  });
  t.match((await ask(port, 'GET /sessions')).json, { status: 409, reason: 'CONFLICT' });
});
