import t from 'tap';
import {
  type Answer,
  call,
  type Gate,
  GENERATE,
  generate,
  idle,
  limits,
  MODEL,
  partitionOf,
  passUntil,
  queueOf,
  saying,
  send,
  startGate,
  statusOf,
  until,
  waiting,
  windowOf,
} from '../support/gate.ts';
import { ManualClock } from '../support/manual-clock.ts';

const BODY = saying('Tell me about the sea.');
const FULL = { rate_limits: limits({ rpm: 1 }) };

/** Takes the only request of the minute. */
async function fill(gate: Gate): Promise<void> {
  const { status } = await call(gate, GENERATE, { body: BODY });
  t.equal(status, 200);
}

interface Detail {
  readonly '@type': string;
  readonly retryDelay?: string;
  readonly reason?: string;
  readonly domain?: string;
  readonly violations?: readonly { readonly quotaId: string; readonly quotaValue: string }[];
}

function detailOf({ text }: Answer, type: string): Detail | undefined {
  const details: readonly Detail[] = JSON.parse(text).error.details;
  return details.find((detail) => detail['@type'] === `type.googleapis.com/google.rpc.${type}`);
}

for (const [whose, headers] of [
  ['x-headgate-max-wait', { 'x-headgate-max-wait': '30s' }],
  ['X-Server-Timeout, less the time for an answer', { 'x-server-timeout': '40' }],
  ['x-stainless-timeout', { 'x-stainless-timeout': '40' }],
  ['the patience of gemini-cli', { 'user-agent': 'GeminiCLI/0.61.0/gemini-2.5-pro (linux; x64)' }],
] as const) {
  t.test(
    `a call is refused at once when ${whose} is too short for even an empty queue`,
    async (t) => {
      const clock = new ManualClock();
      const gate = await startGate(t, { clock, config: FULL });
      await fill(gate);
      const answer = await call(gate, GENERATE, { body: BODY, headers });
      t.equal(answer.status, 429);
      t.equal(answer.headers['x-headgate-refused'], 'QUOTA_MINUTE');
      t.equal(answer.headers['retry-after'], '61');
      t.equal(answer.headers['retry-after-ms'], '61000');
      t.equal(detailOf(answer, 'RetryInfo')?.retryDelay, '61s');
      t.match(detailOf(answer, 'ErrorInfo'), { reason: 'QUOTA_MINUTE', domain: 'headgate' });
      t.match(detailOf(answer, 'QuotaFailure')?.violations, [
        { quotaId: /PerMinute/, quotaValue: '1', quotaDimensions: { model: MODEL } },
      ]);
      t.match(JSON.parse(answer.text).error.message, /^headgate .* Please retry in 61s\.$/);
      t.equal((await windowOf(gate, 'rpm')).used, 1, 'it cost nothing');
      t.equal(gate.simulator.arrivals.length, 1);
      const { recent_refusals: refusals } = await statusOf(gate);
      t.match(refusals, [{ model: MODEL, reason: 'QUOTA_MINUTE' }]);
    },
  );
}

t.test('whoever has time waits, and is refused once its time cannot suffice', async (t) => {
  const clock = new ManualClock();
  const gate = await startGate(t, { clock, config: FULL });
  await fill(gate);
  // Two go before it, so that it would be its turn only after three minutes.
  const before = [0, 1].map(() => call(gate, GENERATE, { body: BODY }));
  await waiting(gate, 2);
  const headers = { 'x-headgate-max-wait': '100s' };
  const last = call(gate, GENERATE, { body: BODY, headers });
  await waiting(gate, 3);
  const { value, tookMs } = await passUntil(clock, last, 110_000);
  t.equal(value.status, 429);
  // The first of the two has gone then, and the next slot is a minute away.
  t.ok(tookMs >= 61_000 && tookMs < 62_000, `refused after ${tookMs} ms`);
  t.match(value.text, /waited 61(?:\.\d)?s, and cannot pass/);
  t.equal(value.headers['retry-after'], '61');
  t.ok(Number(value.headers['x-headgate-queued-ms']) >= 61_000);
  clock.advance(61_000);
  for (const { status } of await Promise.all(before)) t.equal(status, 200);
});

t.test('whoever waits for what nobody can foresee is refused at its deadline', async (t) => {
  const clock = new ManualClock();
  const gate = await startGate(t, {
    clock,
    config: { rate_limits: limits({ max_concurrent: 1 }) },
  });
  const running = call(gate, GENERATE, { body: saying('Slowly. [[sleep:20000]]') });
  await until(() => gate.simulator.arrivals.length === 1);
  const headers = { 'x-headgate-max-wait': '5s' };
  const held = call(gate, GENERATE, { body: BODY, headers });
  await waiting(gate, 1);
  const { value, tookMs } = await passUntil(clock, held, 6_000);
  t.equal(value.status, 429);
  t.equal(value.headers['x-headgate-refused'], 'CONCURRENCY');
  t.ok(tookMs >= 5_000 && tookMs < 5_500, `refused after ${tookMs} ms`);
  clock.advance(20_000);
  t.equal((await running).status, 200);
});

t.test('a spent day says PerDay and keeps SDKs from retrying', async (t) => {
  const clock = new ManualClock();
  const gate = await startGate(t, { clock, config: { rate_limits: limits({ rpd: 1 }) } });
  await fill(gate);
  const answer = await call(gate, GENERATE, { body: BODY });
  t.equal(answer.status, 429);
  t.equal(answer.headers['x-headgate-refused'], 'QUOTA_DAY');
  t.equal(answer.headers['x-should-retry'], 'false');
  t.match(detailOf(answer, 'QuotaFailure')?.violations, [{ quotaId: /PerDay/ }]);
  t.ok(Number(answer.headers['retry-after']) > 80_000);
});

t.test('every counted answer tells the limits, and how long it waited', async (t) => {
  const clock = new ManualClock();
  const config = { rate_limits: limits({ rpm: 2, tpm: 1_000, rpd: 50 }) };
  const gate = await startGate(t, { clock, config });
  const { headers } = await call(gate, GENERATE, { body: BODY });
  t.match(headers['ratelimit-policy'], /^"rpm";q=2;w=60, "tpm";q=1000;w=60, "rpd";q=50;w=86400$/);
  t.match(headers.ratelimit, /^"rpm";r=1;t=\d+, "tpm";r=\d{3};t=\d+, "rpd";r=49;t=\d+$/);
  t.match(headers['x-headgate-request-id'], /^[0-9a-f]{10}-\w+$/);
  t.match(headers['x-headgate-queued-ms'], /^\d+$/);
});

t.test('a full queue refuses with the bound that is at fault', async (t) => {
  const clock = new ManualClock();
  const queue = { max_depth: 4, max_depth_per_agent: 2, max_bytes: '4KiB' };
  const gate = await startGate(t, { clock, config: { ...FULL, queue } });
  await fill(gate);
  const as = (agent: string, body: object = BODY) =>
    call(gate, GENERATE, { body, headers: { 'x-headgate-agent': agent } });
  const kept = [as('one'), as('one')];
  await waiting(gate, 2);
  const ofAgent = await as('one');
  t.equal(ofAgent.headers['x-headgate-refused'], 'QUEUE_FULL_AGENT');
  t.match(ofAgent.text, /queue\.max_depth_per_agent is 2/);
  const large = await as('two', saying('x'.repeat(5_000)));
  t.equal(large.headers['x-headgate-refused'], 'QUEUE_FULL_BYTES');
  kept.push(as('two'), as('three'));
  await waiting(gate, 4);
  const deep = await as('four');
  t.equal(deep.status, 429);
  t.equal(deep.headers['x-headgate-refused'], 'QUEUE_FULL');
  t.equal(deep.headers['retry-after'], '10');
  gate.configure({ rate_limits: limits({}) });
  gate.daemon.reload();
  for (const { status } of await Promise.all(kept)) t.equal(status, 200);
});

t.test('GET /queue shows who waits for what, and DELETE takes it out', async (t) => {
  const clock = new ManualClock();
  const gate = await startGate(t, { clock, config: FULL });
  await fill(gate);
  const batch = call(gate, GENERATE, {
    body: BODY,
    headers: { 'x-headgate-agent': 'writer', 'x-headgate-priority': 'batch' },
  });
  await waiting(gate, 1);
  const first = call(gate, `/agents/reader${GENERATE}`, {
    body: BODY,
    headers: { 'x-headgate-max-wait': '2m' },
  });
  await waiting(gate, 2);
  clock.advance(1_000);
  const [head, next] = await queueOf(gate);
  t.match(head, {
    project: 'default',
    model: MODEL,
    agent: 'reader',
    class: 'interactive',
    position: 1,
    waited_ms: 1_000,
    expected_at: '2026-01-15T12:01:01.000Z',
    deadline_at: '2026-01-15T12:02:00.000Z',
    reason: /requests per minute/,
  });
  t.match(next, { agent: 'writer', class: 'batch', position: 2 });
  t.equal((await partitionOf(gate)).waiting, 2);

  const gone = await call(gate, `/queue/${head?.id}`, { method: 'DELETE' });
  t.equal(gone.status, 200);
  const refused = await first;
  t.equal(refused.status, 499);
  t.equal(refused.headers['x-headgate-refused'], 'CANCELLED');
  t.equal(refused.headers['x-headgate-request-id'], head?.id);
  const again = await call(gate, `/queue/${head?.id}`, { method: 'DELETE' });
  t.equal(again.status, 404);
  clock.advance(61_000);
  t.equal((await batch).status, 200);
});

t.test('a wait past two seconds has its one line in the log', async (t) => {
  const clock = new ManualClock();
  const gate = await startGate(t, { clock, config: FULL });
  await fill(gate);
  const late = call(gate, GENERATE, { body: BODY, headers: { 'x-headgate-agent': 'reader' } });
  await waiting(gate, 1);
  const lines = () => gate.log.filter((line) => line.includes('"msg":"waiting '));
  clock.advance(1_900);
  t.equal(lines().length, 0);
  clock.advance(20_000);
  t.equal(lines().length, 1);
  t.match(
    lines()[0],
    /waiting gemini-2.5-flash reader: requests per minute.*; position 1, expected in 59\.0 s/,
  );
  clock.advance(40_000);
  t.equal((await late).status, 200);
  const ended = gate.log.filter((line) => line.includes('"msg":"ok gemini-2.5-flash'));
  t.equal(ended.length, 2, 'and each exchange its own');
  t.match(ended[1], /waited 1 min 1 s \(requests per minute\)/);
});

t.test('whoever leaves the queue costs nothing', async (t) => {
  const clock = new ManualClock();
  const gate = await startGate(t, { clock, config: FULL });
  await fill(gate);
  const { used } = await windowOf(gate, 'rpd');
  const leaving = send(gate, GENERATE, { body: BODY });
  await waiting(gate, 1);
  leaving.request.destroy();
  await waiting(gate, 0);
  clock.advance(120_000);
  t.match(await statusOf(gate), { totals: { cancelled: 1, running: 0, waiting: 0 } });
  t.equal((await windowOf(gate, 'rpd')).used, used);
  t.equal((await windowOf(gate, 'rpm')).used, 0);
  t.equal(gate.simulator.arrivals.length, 1);
});

t.test('a stop refuses those who wait and lets running calls end', async (t) => {
  const clock = new ManualClock();
  const gate = await startGate(t, { clock, config: FULL });
  const running = call(gate, GENERATE, { body: saying('Slowly. [[sleep:500]]') });
  await until(() => gate.simulator.arrivals.length === 1);
  const held = call(gate, GENERATE, { body: BODY });
  const array = call(gate, GENERATE.replace(':generate', ':streamGenerate'), { body: BODY });
  await waiting(gate, 2);
  const stop = gate.daemon.stop();
  const refused = await held;
  t.equal(refused.status, 503);
  t.equal(refused.headers['x-headgate-refused'], 'DRAINING');
  t.equal(detailOf(refused, 'RetryInfo')?.retryDelay, '5s');
  t.equal((await array).text[0], '[', 'in the shape that its client reads');
  const { value } = await passUntil(clock, running, 2_000);
  t.equal(value.status, 200);
  await passUntil(clock, stop, 2_000);
});

t.test('input tokens of those next in line are counted ahead', async (t) => {
  const clock = new ManualClock();
  const config = { rate_limits: limits({ tpm: 300 }) };
  const gate = await startGate(t, { clock, config });
  const long = saying(`${'the sea is wide and blue today '.repeat(30)} [[out:1]]`);
  const counts = () => gate.simulator.arrivals.filter(({ method }) => method === 'countTokens');
  await call(gate, GENERATE, { body: long });
  const ahead = [0, 1, 2].map(() => call(gate, GENERATE, { body: long }));
  await until(() => counts().length === 3);
  const exact = counts()[0]?.inputTokens ?? 0;
  t.ok(exact > 150 && exact < 300);
  for (;;) {
    const queue = await queueOf(gate);
    if (queue.length === 3 && queue.every(({ tokens }) => tokens === exact)) break;
  }
  t.pass('each is known to the token');
  for (let minutes = 0; minutes < 3; minutes += 1) {
    await idle(gate);
    clock.advance(61_100);
    await until(
      () => gate.simulator.arrivals.filter(({ requests }) => requests > 0).length === minutes + 2,
    );
    await idle(gate);
  }
  for (const { status } of await Promise.all(ahead)) t.equal(status, 200);
  t.equal(counts().length, 3, 'each once');
  t.equal(gate.simulator.score().refusedByQuota, 0);
});

t.test('counting is given up for a while after it has failed', async (t) => {
  const clock = new ManualClock();
  const config = { rate_limits: limits({ tpm: 300 }) };
  const gate = await startGate(t, { clock, config, scenario: { count_tokens_rpm: 0 } });
  const long = saying(`${'the sea is wide and blue today '.repeat(30)} [[out:1]]`);
  const counts = () => gate.simulator.arrivals.filter(({ method }) => method === 'countTokens');
  await call(gate, GENERATE, { body: long });
  const held: Promise<Answer>[] = [];
  for (let calls = 0; calls < 6; calls += 1) {
    held.push(call(gate, GENERATE, { body: long }));
    await waiting(gate, calls + 1);
    await statusOf(gate);
    await until(() => counts().length >= Math.min(3, calls + 1));
  }
  for (let trips = 0; trips < 5; trips += 1) await statusOf(gate);
  t.equal(counts().length, 3);
  gate.configure({ rate_limits: limits({}) });
  gate.daemon.reload();
  for (const { status } of await Promise.all(held)) t.equal(status, 200, 'the ceiling stands');
});

t.test('an OpenAI client is refused in its own shape', async (t) => {
  const clock = new ManualClock();
  const gate = await startGate(t, { clock, config: FULL });
  await fill(gate);
  const body = { model: MODEL, messages: [{ role: 'user', content: 'Hi' }] };
  const headers = { 'x-headgate-max-wait': '1s' };
  const answer = await call(gate, '/v1beta/openai/chat/completions', { body, headers });
  t.equal(answer.status, 429);
  t.match(JSON.parse(answer.text).error.message, /headgate/);
  t.equal((await call(gate, generate('other-model'), { body: BODY })).status, 200);
});
