import t from 'tap';
import { makeScenario } from '../../src/simulator/scenario.ts';
import { runFleet } from '../support/fleet.ts';
import { CHAT, CHAT_BODY, GENERATE, HELLO, INSTANT, start, STREAM, until } from './run.ts';

t.test(
  'a full minute answers 429 with the quota, the exact wait, and RetryInfo cut short',
  async (t) => {
    const { simulator, clock, post } = await start(t);
    await post(GENERATE, HELLO);
    clock.advance(10_100);
    await post(GENERATE, HELLO);
    const refused = await post(GENERATE, HELLO);
    t.equal(refused.status, 429);
    t.equal(refused.headers['retry-after'], undefined);
    const { error } = JSON.parse(refused.text);
    t.match(error, {
      code: 429,
      status: 'RESOURCE_EXHAUSTED',
      message:
        /^You exceeded your current quota.*\n\* Quota exceeded for metric: generativelanguage\.googleapis\.com\/generate_content_free_tier_requests, limit: 2, model: gemini-2\.5-pro\nPlease retry in 49\.900000000s\.$/s,
      details: [
        { '@type': 'type.googleapis.com/google.rpc.Help' },
        {
          '@type': 'type.googleapis.com/google.rpc.QuotaFailure',
          violations: [
            {
              quotaMetric: 'generativelanguage.googleapis.com/generate_content_free_tier_requests',
              quotaId: 'GenerateRequestsPerMinutePerProjectPerModel-FreeTier',
              quotaDimensions: { location: 'global', model: 'gemini-2.5-pro' },
              quotaValue: '2',
            },
          ],
        },
        { '@type': 'type.googleapis.com/google.rpc.RetryInfo', retryDelay: '49s' },
      ],
    });
    t.equal(error.details[1].violations.length, 1);
    const array = await post(STREAM, HELLO);
    t.equal(JSON.parse(array.text)[0].error.code, 429, 'an array for a JSON array stream');
    const openai = await post(CHAT, CHAT_BODY);
    t.equal(JSON.parse(openai.text)[0].error.code, 429, 'and on the OpenAI path');
    const sse = await post(`${STREAM}?alt=sse`, HELLO);
    t.equal(JSON.parse(sse.text).error.code, 429, 'an object for SSE');
    clock.advance(49_899);
    t.equal((await post(GENERATE, HELLO)).status, 429, 'a millisecond early');
    clock.advance(1);
    t.equal((await post(GENERATE, HELLO)).status, 200);
    const score = simulator.score();
    t.match(score, { calls: 8, answered: 3, refusedByQuota: 5, failed: 0 });
    t.match(score.models[0]?.peaks.rpm, { peak: 2, limit: 2 });
  },
);

t.test('tokens, days and the UTC minute refuse in their own words', async (t) => {
  const models = { tokens: { tpm: 3 }, day: { rpd: 1 }, none: { rpm: 0, tpm: 0, rpd: 0 } };
  const { post } = await start(t, { minute: 'utc', models: { ...models, minute: { rpm: 1 } } });
  const ask = async (model: string) => {
    const { status, text } = await post(`/v1beta/models/${model}:generateContent`, HELLO);
    return { status, violations: JSON.parse(text).error?.details[1].violations, text };
  };
  const tokens = await ask('tokens');
  t.match(tokens.violations, [
    { quotaId: 'GenerateContentInputTokensPerModelPerMinute-FreeTier', quotaValue: '3' },
  ]);
  t.equal((await ask('day')).status, 200);
  const day = await ask('day');
  t.match(day.violations, [{ quotaId: 'GenerateRequestsPerDayPerProjectPerModel-FreeTier' }]);
  t.match(day.text, /retry in 19h59m40\.000000000s/, 'until midnight in Los Angeles');
  await ask('minute');
  t.match((await ask('minute')).text, /"retryDelay": "40s"/, 'the rest of the minute');
  const none = await ask('none');
  t.equal(none.violations.length, 3);
  t.equal(none.violations[0].quotaValue, undefined);
});

t.test(
  'a call counts when it arrives or when its answer leaves, as the scenario says',
  async (t) => {
    for (const count_at of ['arrival', 'answer'] as const) {
      const latency = { ...INSTANT, first_byte: [500, 500] as [number, number] };
      const { simulator, clock, post } = await start(t, { count_at, latency });
      const atMs = clock.monotonicMs();
      const pending = post(GENERATE, HELLO);
      await until(() => clock.pendingTimers > 0);
      t.equal(simulator.arrivals[0]?.countedAtMs, count_at === 'arrival' ? atMs : null);
      clock.advance(500);
      t.equal((await pending).status, 200);
      const counted = count_at === 'arrival' ? atMs : atMs + 500;
      t.match(simulator.arrivals[0], { atMs, countedAtMs: counted, answeredAtMs: atMs + 500 });
    }
  },
);

t.test('faults answer as Google does when it fails', async (t) => {
  const { simulator, post } = await start(t, { models: { '*': {} } });
  const fail = async (answer: string, path = GENERATE, body: unknown = HELLO) => {
    simulator.setScenario(
      makeScenario({
        latency: INSTANT,
        models: { '*': {} },
        faults: [{ answer: answer as '503' }],
      }),
    );
    return post(path, body);
  };
  const statuses = {
    '503': 'UNAVAILABLE',
    '500': 'INTERNAL',
    '504': 'DEADLINE_EXCEEDED',
    '400': 'FAILED_PRECONDITION',
  };
  for (const [code, status] of Object.entries(statuses)) {
    const { status: http, text } = await fail(code);
    t.match(JSON.parse(text), { error: { code: Number(code), status, message: String } });
    t.equal(http, Number(code));
    t.equal(JSON.parse(text).error.details, undefined, 'no RetryInfo');
  }
  const exhausted = JSON.parse((await fail('429-exhausted')).text).error;
  t.same(exhausted, {
    code: 429,
    message: 'Resource has been exhausted (e.g. check quota).',
    status: 'RESOURCE_EXHAUSTED',
  });
  t.match((await fail('429-day')).text, /PerDay.*retry in 9h23m44\.781424344s|9h23m44.*PerDay/s);
  t.match((await fail('429-zero')).text, /limit: 0/);
  t.match((await fail('429-billing')).text, /prepayment credits are depleted/);
  const interaction = await fail('504', '/v1beta/interactions', { model: 'm', input: 'Hi' });
  t.match(JSON.parse(interaction.text), { error: { code: 'deadline_exceeded' } });

  await t.rejects(fail('reset'), { code: 'ECONNRESET' });
  await t.rejects(fail('truncate'), { code: 'UND_ERR_SOCKET' });
  const broken = await fail('stream-error', `${STREAM}?alt=sse`);
  t.equal(broken.status, 200);
  t.match(broken.text, /\r\n\r\ndata: \{"error":\{"code":503,.*\}\r\n\r\n$/);
  t.match((await fail('stream-raw', `${STREAM}?alt=sse`)).text, /\r\n\r\n\{\n {2}"error": \{/);
  t.match((await fail('stream-429', STREAM)).text, /\r\n,\{"error":\{"code":429,.*\]$/);
  const dribbled = await fail('dribble', `${STREAM}?alt=sse`);
  t.equal(dribbled.text.split('\r\n\r\n').length, 5, 'the same bytes, a few at a time');
  t.match(simulator.arrivals.at(-2), { status: 200, refusedBy: 'fault:stream-429' });
});

t.test('embeddings count as many requests as they have items', async (t) => {
  const { simulator, post } = await start(t, { models: { e: { rpm: 3 } } });
  const item = { model: 'models/e', content: { parts: [{ text: 'Hi' }] }, outputDimensionality: 8 };
  const path = '/v1beta/models/e:batchEmbedContents';
  const { text } = await post(path, { requests: [item, item] });
  t.match(JSON.parse(text).embeddings, [{ values: { length: 8 } }, { values: { length: 8 } }]);
  const refused = await post(path, { requests: [item, item] });
  t.match(refused.text, /EmbedContentRequestsPerMinutePerUserPerProjectPerModel-FreeTier/);
  t.equal(simulator.score().models[0]?.peaks.rpm.peak, 2);
  const single = await post('/v1beta/models/e:embedContent', item);
  t.equal(JSON.parse(single.text).embedding.values.length, 8);
});

t.test('a fleet that keeps to no quota is refused exactly what is too much', async (t) => {
  const { simulator } = await start(t);
  const model = 'gemini-2.5-flash';
  const calls = await runFleet({
    baseUrl: simulator.url,
    agents: 20,
    callsPerAgent: 2,
    model,
    key: 'k',
  });
  t.equal(calls.length, 40);
  t.equal(calls.filter(({ status }) => status === 200).length, 10);
  t.equal(calls.filter(({ refusedReason }) => refusedReason === 'RESOURCE_EXHAUSTED').length, 30);
  t.match(simulator.score(), { answered: 10, refusedByQuota: 30 });
});

t.test('with total tokens, output fills the window once the answer has ended', async (t) => {
  const { simulator, post } = await start(t, { tpm_counts: 'total', models: { m: { tpm: 60 } } });
  const path = '/v1beta/models/m:generateContent';
  const ask = (text: string) => post(path, { contents: [{ parts: [{ text }] }] });
  t.equal((await ask('Think. [[out:20]] [[think:25]]')).status, 200);
  t.match(simulator.arrivals[0], { outputTokens: 45 });
  t.match((await ask('Think once more. [[out:1]]')).text, /InputTokensPerModelPerMinute/);
});

t.test('countTokens has a quota of its own and takes none of the model', async (t) => {
  const { simulator, post } = await start(t, { count_tokens_rpm: 2 });
  const path = '/v1beta/models/gemini-2.5-pro:countTokens';
  const statuses = [];
  for (let at = 0; at < 3; at += 1) statuses.push((await post(path, HELLO)).status);
  t.same(statuses, [200, 200, 429]);
  t.match(simulator.score(), { calls: 0, uncounted: 3 });
});

t.test('a silent or slow model makes its callers wait', async (t) => {
  const faults = [
    { match: { nth: [1] }, answer: 'slow', delay_ms: 700 },
    { match: { nth: [2] }, answer: 'hang' },
  ] as const;
  const { simulator, clock, post } = await start(t, { faults });
  const slow = post(GENERATE, HELLO);
  await until(() => clock.pendingTimers > 0);
  clock.advance(700);
  t.equal((await slow).status, 200);
  const hung = post(GENERATE, HELLO);
  hung.catch(() => {});
  await until(() => simulator.arrivals[1]?.refusedBy === 'fault:hang');
  t.match(simulator.arrivals[1], { status: null, answeredAtMs: null });
  await simulator.close();
  await t.rejects(hung);
});
