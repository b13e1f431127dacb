import { readFileSync, writeFileSync } from 'node:fs';
import { createServer, request } from 'node:http';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { parse } from 'yaml';
import { directoryFor } from '../support/daemon.ts';
import { call, type Gate, generate, MODEL, saying, send, startGate } from '../support/gate.ts';
import { listen } from '../support/loopback.ts';
import {
  eventually,
  missing,
  type Prometheus,
  queriesOf,
  readDashboard,
  RULES,
  startPrometheus,
} from '../support/prometheus.ts';

const CONFIG = new URL('../../config/', import.meta.url);
const SAMPLES = fileURLToPath(new URL('samples', CONFIG));
const SESSION = 'log_20260105_101500_000001';
const TOKEN = 'scraped-with-this';
/** As compose.yaml calls it. */
const HOST = 'headgate:4290';
const REFUSED_MODEL = 'gemini-2.5-flash-lite';
const STUCK_MODEL = 'gemini-2.5-pro';
/** Of five a day, four are four fifths. */
const DAY_LIMIT = 5;
const HEADERS = { 'x-headgate-token': TOKEN };
const BODY = saying('Tell me about the sea. [[think:5]]');
const HANGING = saying('Tell me about the sea. [[sleep:3600000]]');
/** Nothing of the gate is traced here. */
const WITHOUT_SAMPLES = ['Traces'];

const skip = missing('prometheus');

t.test('Prometheus sees what happens, and the alerts say so', { skip }, async (t) => {
  const config = {
    upstream: { api_key: 'test-key' },
    admin: { ...containerAdmin(), token: TOKEN },
    rate_limits: {
      gemini: {
        default: { rpm: null, tpm: null, rpd: null },
        [MODEL]: { rpd: DAY_LIMIT },
        [STUCK_MODEL]: { rpd: 100, max_concurrent: 1 },
      },
    },
    sessions: { roots: [SAMPLES], write: 'beside', record_dir: directoryFor(t) },
  };
  const gate = await startGate(t, {
    config,
    scenario: { faults: [{ match: { model: REFUSED_MODEL }, answer: '429-billing' }] },
  });
  const ask = (model: string, body: object = BODY) =>
    call(gate, generate(model), { body, headers: HEADERS });
  // Its name is known from now on, and nothing of it is answered while Prometheus looks.
  t.equal((await ask(STUCK_MODEL)).status, 200);
  const prometheus = await startPrometheus(t, await scrapeOf(t, gate));

  await t.test('the token and the name of compose let the scrape in', async (t) => {
    const ofJob = (targets: Awaited<ReturnType<Prometheus['targets']>>, job: string) =>
      targets.find(({ labels }) => labels['job'] === job);
    const targets = await eventually(
      () => prometheus.targets(),
      (all) => ofJob(all, 'headgate')?.health === 'up' && ofJob(all, 'stranger')?.health === 'down',
    );
    t.match(ofJob(targets, 'headgate'), { health: 'up', labels: { instance: HOST } });
    t.match(ofJob(targets, 'stranger'), { health: 'down', lastError: /401/ }, 'without a token');
    const scrape = (host: string) =>
      call(gate, '/metrics', { headers: { host, authorization: `Bearer ${TOKEN}` } });
    t.equal((await scrape(HOST)).status, 200);
    t.equal((await scrape('prometheus:9090')).status, 403, 'nor under any other name');
    t.strictSame(await names(prometheus), [], 'nothing is amiss yet');
  });

  const held = [HANGING, BODY].map((body) =>
    send(gate, generate(STUCK_MODEL), { body, headers: HEADERS }),
  );
  t.teardown(() => {
    for (const { request } of held) request.destroy();
  });
  for (let calls = 0; calls < DAY_LIMIT - 1; calls += 1) t.equal((await ask(MODEL)).status, 200);
  t.equal((await ask(REFUSED_MODEL)).status, 429, 'the upstream refuses');
  t.equal((await ask(REFUSED_MODEL)).status, 429, 'headgate refuses');
  const turn = await call(gate, `/sessions/${SESSION}/continue`, {
    body: { message: 'And then?', agent: 'agent_a', model: 'gemini-3.8-flash' },
    headers: HEADERS,
  });
  t.equal(turn.status, 200, turn.text.slice(0, 500));
  writeFileSync(gate.file, 'listen: [');
  t.equal((await call(gate, '/reload', { method: 'POST', headers: HEADERS })).status, 422);

  await t.test('samples are what headgate has counted', async (t) => {
    for (const [expr, value] of [
      [`headgate_exchanges_total{model="${MODEL}", outcome="ok"}`, DAY_LIMIT - 1],
      [`headgate_upstream_rejections_total{model="${REFUSED_MODEL}"}`, 1],
      [`headgate_queue_depth{model="${STUCK_MODEL}"}`, 1],
      [`headgate:quota_used:ratio{model="${MODEL}", policy="rpd"}`, 0.8],
      ['headgate_refusals_total{reason="COOLDOWN"}', 1],
    ] as const) {
      const samples = await eventually(
        () => prometheus.query(expr),
        ([sample]) => Number(sample?.value[1]) === value,
      );
      t.strictSame(
        samples.map((sample) => Number(sample.value[1])),
        [value],
        expr,
      );
    }
  });

  await t.test('every panel of the dashboard has something to show', async (t) => {
    for (const { title, expr } of queriesOf(readDashboard())) {
      if (WITHOUT_SAMPLES.includes(title)) continue;
      const samples = await eventually(
        () => prometheus.query(expr),
        ({ length }) => length > 0,
      );
      t.ok(samples.length > 0, `${title}: ${expr}`);
    }
    for (const title of WITHOUT_SAMPLES) {
      for (const { expr } of queriesOf(readDashboard()).filter((query) => query.title === title)) {
        t.strictSame(await prometheus.query(expr), [], `${title}: ${expr}`);
      }
    }
  });

  await t.test('alerts fire or gather as they should', async (t) => {
    const expected = [
      'HeadgateConfigReloadFailed firing',
      `HeadgateDayQuotaNearlyUsed firing ${MODEL}`,
      `HeadgateQueueNotMoving pending ${STUCK_MODEL}`,
      `HeadgateUpstream429 firing ${REFUSED_MODEL}`,
    ];
    t.strictSame(await alertsOf(prometheus, expected), expected);
    const refused = (await prometheus.alerts()).find(
      ({ labels }) => labels['alertname'] === 'HeadgateUpstream429',
    );
    t.match(refused?.annotations, {
      summary: `Gemini refused a call to ${REFUSED_MODEL}: billing`,
    });
  });

  await t.test('alerts end with their causes', async (t) => {
    gate.configure(config);
    await call(gate, '/reload', { method: 'POST', headers: HEADERS });
    const overridden = { method: 'PATCH', body: { rpd: 100 }, headers: HEADERS };
    t.equal((await call(gate, `/limits/${MODEL}`, overridden)).status, 200);
    for (const { request } of held) request.destroy();
    const expected = [`HeadgateUpstream429 firing ${REFUSED_MODEL}`];
    t.strictSame(await alertsOf(prometheus, expected), expected, 'a 429 is told for ten minutes');
    await gate.stop();
    const down = 'HeadgateDown pending';
    const last = await eventually(
      () => names(prometheus),
      (alerts) => alerts.includes(down),
    );
    t.ok(last.includes(down), last.join());
  });
});

/** The shipped scrape and rules, hurried, and a job that knows no token besides. */
async function scrapeOf(t: Test, gate: Gate): Promise<object> {
  const shipped = parse(readFileSync(join(RULES, 'prometheus.yml'), 'utf8'));
  const [job] = shipped.scrape_configs;
  t.strictSame(job.static_configs, [{ targets: [HOST] }], 'compose scrapes this name');
  const token = join(directoryFor(t), 'token');
  writeFileSync(token, TOKEN);
  const proxy_url = await network(t, gate);
  const authorization = { ...job.authorization, credentials_file: token };
  return {
    ...shipped,
    global: { scrape_interval: '1s', evaluation_interval: '1s' },
    rule_files: shipped.rule_files.map((file: string) => join(RULES, file)),
    scrape_configs: [
      { ...job, authorization, proxy_url },
      { job_name: 'stranger', static_configs: job.static_configs, proxy_url },
    ],
  };
}

/** Stands for the network of compose, in which the name leads to headgate. */
async function network(t: Test, gate: Gate): Promise<string> {
  const server = createServer(({ method, url = '', headers }, response) => {
    const { hostname, port } = new URL(gate.url);
    const path = new URL(url).pathname;
    const outgoing = request({ hostname, port, method, path, headers, agent: false });
    outgoing.on('response', (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
    });
    outgoing.on('error', () => response.destroy());
    outgoing.end();
  });
  t.teardown(() => {
    server.close();
    server.closeAllConnections();
  });
  return `http://127.0.0.1:${await listen(server)}`;
}

/** The section of config/container.yaml that the guard goes by. */
function containerAdmin(): object {
  return parse(readFileSync(new URL('container.yaml', CONFIG), 'utf8')).admin;
}

/** Alerts and their states by name, once they are as expected, or as they are in the end. */
function alertsOf(prometheus: Prometheus, expected: readonly string[]): Promise<string[]> {
  return eventually(
    () => names(prometheus),
    (alerts) => alerts.join() === expected.join(),
  );
}

async function names(prometheus: Prometheus): Promise<string[]> {
  const alerts = await prometheus.alerts();
  return alerts
    .map(({ labels, state }) =>
      [labels['alertname'], state, labels['model'] ?? ''].join(' ').trim(),
    )
    .sort();
}
