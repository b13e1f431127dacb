import t from 'tap';
import type { FaultAnswer } from '../../src/simulator/scenario.ts';
import { ManualClock } from '../support/manual-clock.ts';
import {
  call,
  type CallOptions,
  GENERATE,
  generate,
  idle,
  limitOf,
  limits,
  MODEL,
  partitionOf,
  passUntil,
  queueOf,
  saying,
  send,
  startGate,
  statusOf,
  STREAM,
  waiting,
  windowOf,
} from '../support/gate.ts';

const BODY = saying('Tell me about the sea.');
const HOUR_MS = 3_600_000;

const faultAt = (answer: FaultAnswer, ...nth: number[]) => ({
  faults: [{ match: nth.length === 0 ? {} : { nth }, answer }],
});

/** What the upstream itself answers to the same call, and its bytes without headgate. */
async function bare(upstreamUrl: string, options: CallOptions = { body: BODY }) {
  return call({ url: upstreamUrl }, GENERATE, options);
}

t.test('a minute 429 is waited out and the client sees only its answer', async (t) => {
  const clock = new ManualClock();
  const gate = await startGate(t, { clock, scenario: faultAt('429-minute', 1, 2) });
  const { value, tookMs } = await passUntil(clock, call(gate, GENERATE, { body: BODY }), 20_000);
  t.equal(value.status, 200);
  t.equal(gate.simulator.arrivals.length, 3);
  // The upstream says 2.3 s, cut to 2 in the field; a second is added to that, twice.
  t.ok(tookMs >= 6_000 && tookMs < 8_000, `took ${tookMs} ms`);
  t.ok(Number(value.headers['x-headgate-queued-ms']) >= 6_000);
  const { totals } = await statusOf(gate);
  t.match(totals, { exchanges: 1, answered: 1, upstream_rejections: 2 });
  t.equal((await windowOf(gate, 'rpm')).used, 3, 'a rejected request may have been counted');
  t.equal((await windowOf(gate, 'rpd')).used, 1, 'but not in the day');
  t.equal(gate.log.filter((line) => /"msg":"ok /.test(line)).length, 1, 'one line per exchange');
  t.equal(gate.log.filter((line) => /upstream 429 \(minute\)/.test(line)).length, 2);
});

t.test('a 429 is counted when it comes, while its call still waits', async (t) => {
  const clock = new ManualClock();
  const gate = await startGate(t, { clock, scenario: faultAt('429-minute', 1) });
  const sent = send(gate, GENERATE, { body: BODY });
  await waiting(gate, 1);
  const { totals, truth } = await statusOf(gate);
  t.match(totals, { exchanges: 0, waiting: 1, upstream_rejections: 1 });
  t.equal(truth.upstream_rejections, 1);
  const metrics = (await call(gate, '/metrics')).text;
  t.match(
    metrics,
    `headgate_upstream_rejections_total{model="${MODEL}",quota="minute requests"} 1`,
  );
  const { points } = JSON.parse((await call(gate, '/history?span=hour')).text);
  const told = points.reduce(
    (sum: number, point: { upstream_rejections: number }) => sum + point.upstream_rejections,
    0,
  );
  t.equal(told, 1, 'in the plots, too');
  const { value } = await passUntil(clock, sent.answer, 20_000);
  t.equal(value.status, 200);
  t.match((await statusOf(gate)).totals, { exchanges: 1, upstream_rejections: 1 }, 'once');
});

t.test('after three resends the 429 is the client’s, byte for byte', async (t) => {
  const clock = new ManualClock();
  const gate = await startGate(t, { clock, scenario: faultAt('429-tokens') });
  const direct = await bare(gate.simulator.url);
  gate.simulator.reset();
  const { value } = await passUntil(clock, call(gate, GENERATE, { body: BODY }), 60_000);
  t.equal(value.status, 429);
  t.equal(value.text, direct.text);
  t.equal(value.headers['content-type'], direct.headers['content-type']);
  t.equal(value.headers['x-headgate-refused'], undefined, 'it is no refusal of headgate');
  t.equal(gate.simulator.arrivals.length, 4);
  const metrics = (await call(gate, '/metrics')).text;
  t.match(metrics, `headgate_upstream_rejections_total{model="${MODEL}",quota="minute tokens"} 4`);
});

t.test('a call whose next slot lies beyond its deadline gets the upstream’s 429', async (t) => {
  const clock = new ManualClock();
  const scenario = faultAt('429-minute', 1, 2);
  const config = { rate_limits: limits({ rpm: 1 }) };
  const gate = await startGate(t, { clock, scenario, config });
  const direct = await bare(gate.simulator.url);
  // The upstream would have it back in 3 s; headgate's own window has room only after a minute.
  const headers = { 'x-headgate-max-wait': '10s' };
  const { value } = await passUntil(clock, call(gate, GENERATE, { body: BODY, headers }), 12_000);
  t.equal(value.status, 429);
  t.equal(value.text, direct.text);
  t.equal(gate.simulator.arrivals.length, 2, 'it was not sent again');
  t.match(await statusOf(gate), { totals: { answered: 1, refused: 0 }, queue: [] });
});

t.test('a day 429 is answered at once and stands until midnight Pacific', async (t) => {
  // 07:50 UTC is ten to midnight in Los Angeles.
  const clock = new ManualClock({ wallMs: Date.UTC(2026, 0, 15, 7, 50) });
  const config = { rate_limits: limits({}, { day: 'pacific' }), queue: { max_wait: '1m' } };
  const scenario = {
    models: { [MODEL]: { rpm: null, tpm: null, rpd: 2 } },
    rejected_counts_rpm: false,
  };
  const gate = await startGate(t, { clock, config, scenario });
  for (let calls = 0; calls < 2; calls += 1) await bare(gate.simulator.url);
  const direct = await bare(gate.simulator.url);
  t.equal(direct.status, 429);

  const first = await call(gate, GENERATE, { body: BODY });
  t.equal(first.status, 429);
  t.equal(first.text, direct.text);
  const arrived = gate.simulator.arrivals.length;

  const second = await call(gate, GENERATE, { body: BODY });
  t.equal(second.status, 429);
  t.equal(second.headers['x-headgate-refused'], 'QUOTA_DAY');
  t.match(second.text, /headgate/);
  t.equal(second.headers['x-should-retry'], 'false');
  const [cooldown] = (await partitionOf(gate)).cooldowns;
  t.equal(cooldown?.kind, 'day');
  t.equal(cooldown?.until, '2026-01-15T08:00:01.000Z', 'midnight, and a second to be sure');

  await gate.restart();
  const third = await call(gate, GENERATE, { body: BODY });
  t.equal(third.headers['x-headgate-refused'], 'QUOTA_DAY', 'a restart does not forget it');
  t.equal(gate.simulator.arrivals.length, arrived, 'the model was not called again');
  t.equal((await call(gate, generate('gemini-2.5-pro'), { body: BODY })).status, 200);

  clock.advance(10 * 60_000 + 2_000);
  t.equal((await call(gate, GENERATE, { body: BODY })).status, 200, 'a new day');
});

t.test('a 429 without detail backs off for 2, 4 and 8 s', async (t) => {
  const clock = new ManualClock();
  const gate = await startGate(t, { clock, scenario: faultAt('429-exhausted', 1, 2, 3) });
  const { value, tookMs } = await passUntil(clock, call(gate, GENERATE, { body: BODY }), 60_000);
  t.equal(value.status, 200);
  t.ok(tookMs >= 14_000 && tookMs < 16_000, `took ${tookMs} ms`);
  const gaps = gate.simulator.arrivals.map(({ atMs }, index, all) =>
    Math.floor((atMs - (all[index - 1]?.atMs ?? atMs)) / 2_000),
  );
  t.strictSame(gaps, [0, 1, 2, 4], 'each wait is twice the one before');
});

for (const [answer, kind] of [
  ['429-billing', 'billing'],
  ['429-zero', 'zero_limit'],
] as const) {
  t.test(`${answer} is never retried, and the next call is told why`, async (t) => {
    const gate = await startGate(t, { scenario: faultAt(answer) });
    const direct = await bare(gate.simulator.url);
    const first = await call(gate, GENERATE, { body: BODY });
    t.equal(first.status, 429);
    t.equal(first.text, direct.text);
    const second = await call(gate, GENERATE, { body: BODY });
    t.equal(second.status, 429);
    t.equal(second.headers['x-headgate-refused'], 'COOLDOWN');
    const { error } = JSON.parse(second.text);
    t.match(error.message, kind === 'billing' ? /prepayment credits are depleted/ : /limit 0/);
    t.equal(gate.simulator.arrivals.length, 2, 'it did not reach the upstream');
    t.equal((await partitionOf(gate)).cooldowns[0]?.kind, kind);
  });
}

t.test('a limit named by a 429 is learned, kept, shown, dropped and reset', async (t) => {
  const clock = new ManualClock();
  const config = { rate_limits: limits({ rpm: 10 }) };
  const scenario = {
    ...faultAt('429-minute', 1),
    models: { [MODEL]: { rpm: 4, tpm: null, rpd: null } },
  };
  const gate = await startGate(t, { clock, scenario, config });
  await passUntil(clock, call(gate, GENERATE, { body: BODY }), 10_000);
  const learned = { limit: 4, limit_source: 'learned', configured: 10, learned: 4 };
  t.match(await limitOf(gate, 'rpm'), learned);
  t.match(await windowOf(gate, 'rpm'), { limit: 4, limit_source: 'learned' });
  const { banners } = await statusOf(gate);
  t.match(banners.join(), `rpm of ${MODEL} was learned`);

  await gate.restart();
  t.match(await limitOf(gate, 'rpm'), learned, 'kept across a restart');

  gate.configure({ rate_limits: limits({ rpm: 9 }) });
  gate.daemon.reload();
  t.match(await limitOf(gate, 'rpm'), { limit: 9, limit_source: 'configured' });
  gate.configure({ rate_limits: limits({ rpm: 10 }) });
  gate.daemon.reload();

  const path = `/limits/${MODEL}`;
  const reset = await call(gate, path, { method: 'DELETE' });
  t.match(JSON.parse(reset.text).windows[0], { limit: 10, learned: null });
});

t.test('DELETE /limits/:model lifts a cooldown, and who waits for it goes', async (t) => {
  const clock = new ManualClock();
  const gate = await startGate(t, { clock, scenario: faultAt('429-exhausted', 1) });
  const held = call(gate, GENERATE, { body: BODY });
  await waiting(gate, 1);
  t.match((await queueOf(gate))[0]?.reason, /429/);
  await call(gate, `/limits/${MODEL}`, { method: 'DELETE' });
  t.equal((await held).status, 200);
  t.strictSame((await partitionOf(gate)).cooldowns, []);
});

t.test('a 429 is understood however it is wrapped, and passes as it came', async (t) => {
  const paths = [
    GENERATE,
    STREAM,
    STREAM.replace('?alt=sse', ''),
    '/v1beta/openai/chat/completions',
  ];
  const body = { ...BODY, model: MODEL, messages: [{ role: 'user', content: 'Hi' }] };
  for (const path of paths) {
    const clock = new ManualClock();
    const gate = await startGate(t, { clock, scenario: faultAt('429-day') });
    const headers = { 'accept-encoding': 'gzip' };
    const direct = await call(gate.simulator, path, { body, headers });
    const through = await call(gate, path, { body, headers });
    t.equal(through.status, 429);
    t.equal(through.headers['content-encoding'], 'gzip');
    t.equal(through.body.compare(direct.body), 0, path);
    const [cooldown] = (await partitionOf(gate)).cooldowns;
    t.equal(cooldown?.kind, 'day');
    // It asks for nine hours; the day is over in twenty.
    t.equal(cooldown?.until, '2026-01-16T08:00:01.000Z');
  }
});

t.test('a client that leaves while its 429 is waited out is not sent again', async (t) => {
  const clock = new ManualClock();
  const gate = await startGate(t, { clock, scenario: faultAt('429-minute', 1) });
  const { request } = send(gate, GENERATE, { body: BODY });
  await waiting(gate, 1);
  request.destroy();
  await waiting(gate, 0);
  clock.advance(10_000);
  await idle(gate);
  t.equal(gate.simulator.arrivals.length, 1);
  t.equal((await windowOf(gate, 'rpd')).used, 0);
  t.match(await statusOf(gate), { totals: { cancelled: 1 } });
});

t.test('names of one model are counted as one once the upstream has told', async (t) => {
  const clock = new ManualClock();
  const rows = { 'gemini-3-flash-preview': { rpm: 10 }, default: { rpm: 7 } };
  const config = { rate_limits: { gemini: rows, aliases: {} } };
  const scenario = {
    faults: [
      { match: { model: 'gemini-3-flash-preview', nth: [2] }, answer: '429-minute' as const },
    ],
    models: { 'gemini-3-flash-preview': { rpm: 5, tpm: null, rpd: null } },
  };
  const gate = await startGate(t, { clock, config, scenario });

  await call(gate, generate('gemini-flash-latest'), { body: BODY });
  await call(gate, generate('gemini-3.8-flash'), { body: BODY });
  t.equal((await windowOf(gate, 'rpm', 'gemini-3.8-flash')).used, 2, 'by modelVersion');

  const preview = generate('gemini-3-flash-preview');
  await call(gate, preview, { body: BODY });
  await passUntil(clock, call(gate, preview, { body: BODY }), 10_000);
  const names = (await statusOf(gate)).partitions.map(({ model }) => model);
  t.notMatch(names, ['gemini-3-flash-preview'], 'by the 429’s quotaDimensions');
  t.match(await windowOf(gate, 'rpm', 'gemini-3-flash'), {
    used: 3,
    limit: 5,
    limit_source: 'learned',
  });
  await gate.restart();
  await call(gate, preview, { body: BODY });
  t.equal((await windowOf(gate, 'rpm', 'gemini-3-flash')).used, 4, 'kept across a restart');
});

t.test('a 429 inside a stream reaches the client and parks the model', async (t) => {
  const clock = new ManualClock();
  const gate = await startGate(t, { clock, scenario: faultAt('stream-429', 1) });
  const answer = await call(gate, STREAM, { body: BODY });
  t.equal(answer.status, 200);
  await idle(gate);
  t.match(answer.text, /data: \{"error":|data: \{\s*"error"/);
  t.equal((await partitionOf(gate)).cooldowns[0]?.kind, 'exhausted');
  const { value, tookMs } = await passUntil(clock, call(gate, STREAM, { body: BODY }), 10_000);
  t.equal(value.status, 200);
  t.ok(tookMs >= 1_900, `the next call waited ${tookMs} ms`);
});

t.test('other errors pass byte for byte and cost their request', async (t) => {
  for (const answer of ['500', '503', '504', '400'] as const) {
    const gate = await startGate(t, { scenario: faultAt(answer) });
    const direct = await bare(gate.simulator.url);
    const through = await call(gate, GENERATE, { body: BODY });
    t.equal(through.status, Number(answer));
    t.equal(through.text, direct.text);
    t.equal(gate.simulator.arrivals.length, 2, 'it is not retried');
    await idle(gate);
    t.equal((await windowOf(gate, 'rpm')).used, 1);
    t.ok((await windowOf(gate, 'tpm')).used >= 6, 'tokens stay as estimated');
    t.equal((await partitionOf(gate)).running, 0);
  }
  const gate = await startGate(t, { scenario: { unknown_models: ['no-*'] } });
  for (const path of [
    generate('no-such'),
    '/v1beta/models/no-such:streamGenerateContent',
    '/v1beta/openai/chat/completions',
  ]) {
    const body = { ...BODY, model: 'no-such', messages: [{ role: 'user', content: 'Hi' }] };
    const direct = await call(gate.simulator, path, { body });
    const through = await call(gate, path, { body });
    t.equal(through.status, 404);
    t.equal(through.text, direct.text);
    if (path !== generate('no-such')) t.equal(through.text.trimStart()[0], '[', 'in an array');
  }
});

t.test('an answer cut short costs the larger of what was seen and estimated', async (t) => {
  const gate = await startGate(t, { scenario: faultAt('truncate', 1) });
  await t.rejects(call(gate, STREAM, { body: BODY }), 'the client sees that it is cut');
  await idle(gate);
  const { used, held } = await windowOf(gate, 'tpm');
  t.ok(used >= 6 && held === 0, `used ${used}`);
  t.equal((await windowOf(gate, 'rpm')).used, 1);
});

t.test('nobody waits on a minute 429 with the rate limit off', async (t) => {
  const gate = await startGate(t, {
    scenario: faultAt('429-minute', 1),
    flags: { rateLimit: false },
  });
  const direct = await startGate(t, { scenario: faultAt('429-minute', 1) });
  const expected = await bare(direct.simulator.url);
  const answer = await call(gate, GENERATE, { body: BODY });
  t.equal(answer.status, 429);
  t.equal(answer.text, expected.text);
  t.equal((await call(gate, GENERATE, { body: BODY })).status, 200, 'nor is anything parked');
});

t.test('a stuck model is asked again when its hour is over', async (t) => {
  const clock = new ManualClock();
  const gate = await startGate(t, { clock, scenario: faultAt('429-zero', 1) });
  await call(gate, GENERATE, { body: BODY });
  clock.advance(HOUR_MS + 1);
  t.equal((await call(gate, GENERATE, { body: BODY })).status, 200);
});
