import { connect } from 'node:net';
import { gunzipSync } from 'node:zlib';
import t, { type Test } from 'tap';
import { request } from 'undici';
import { makeScenario, type ScenarioInput } from '../../src/simulator/scenario.ts';
import { type Simulator, startSimulator } from '../../src/simulator/simulator.ts';
import { runFleet } from '../support/fleet.ts';
import { ManualClock } from '../support/manual-clock.ts';

const INSTANT = { first_byte: [0, 0], per_chunk: 0 } as const;
const HELLO = { contents: [{ parts: [{ text: 'Tell me about the sea. [[out:6]]' }] }] };
const GENERATE = '/v1beta/models/gemini-2.5-pro:generateContent';
const STREAM = '/v1beta/models/gemini-2.5-pro:streamGenerateContent';
const CHAT = '/v1beta/openai/chat/completions';
const CHAT_BODY = {
  model: 'gemini-2.5-pro',
  messages: [{ role: 'user', content: 'Hi. [[out:4]]' }],
};

interface Run {
  readonly simulator: Simulator;
  readonly clock: ManualClock;
  readonly post: (
    path: string,
    body: unknown,
    headers?: Record<string, string>,
  ) => Promise<{ status: number; headers: Record<string, unknown>; text: string; bytes: Buffer }>;
}

async function start(t: Test, input: ScenarioInput = {}): Promise<Run> {
  // 20 s into a UTC minute, noon in winter: 04:00 in Los Angeles.
  const clock = new ManualClock({ wallMs: Date.UTC(2026, 0, 15, 12, 0, 20) });
  const scenario = makeScenario({ latency: INSTANT, ...input });
  const simulator = await startSimulator({ clock, random: () => 0.5, scenario });
  t.teardown(() => simulator.close());
  const post: Run['post'] = async (path, body, headers = {}) => {
    const text = typeof body === 'string' ? body : JSON.stringify(body);
    const answer = await request(simulator.url + path, { method: 'POST', body: text, headers });
    const bytes = Buffer.from(await answer.body.arrayBuffer());
    return { status: answer.statusCode, headers: answer.headers, text: bytes.toString(), bytes };
  };
  return { simulator, clock, post };
}

/** The sockets are real, so what they bring is waited for; the clock stands still meanwhile. */
async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setImmediate(resolve));
}

t.test('an answer has the headers, the usage and the shape that were recorded', async (t) => {
  const { simulator, post } = await start(t, { clock_offset_ms: 3000 });
  const { status, headers, text } = await post(GENERATE, HELLO, { 'x-goog-api-key': 'k' });
  t.equal(status, 200);
  t.match(headers, {
    'content-type': 'application/json; charset=UTF-8',
    vary: 'Origin, X-Origin, Referer',
    server: 'scaffolding on HTTPServer2',
    'x-content-type-options': 'nosniff',
    'x-gemini-service-tier': 'standard',
    'server-timing': /^gfet4t7; dur=\d+$/,
    'transfer-encoding': 'chunked',
    date: 'Thu, 15 Jan 2026 12:00:23 GMT',
  });
  const answer = JSON.parse(text);
  const { promptTokenCount } = answer.usageMetadata;
  t.match(answer, {
    candidates: [{ content: { role: 'model' }, finishReason: 'STOP', index: 0 }],
    usageMetadata: { candidatesTokenCount: 6, totalTokenCount: promptTokenCount + 6 },
    modelVersion: 'gemini-2.5-pro',
    responseId: String,
  });
  t.equal(answer.candidates[0].content.parts[0].text.split(' ').length, 6);
  t.match(simulator.arrivals, [
    {
      model: 'gemini-2.5-pro',
      method: 'generateContent',
      requests: 1,
      status: 200,
      aborted: false,
    },
  ]);
  t.match(simulator.arrivals[0], { apiKeyHash: /^[0-9a-f]{12}$/, inputTokens: promptTokenCount });
  const counted = await post('/v1/models/gemini-2.5-pro:countTokens', HELLO);
  t.equal(JSON.parse(counted.text).totalTokens, promptTokenCount);
});

t.test('SSE is framed by CRLF CRLF, and only its last usage is right', async (t) => {
  const { post } = await start(t);
  const { headers, text } = await post(`${STREAM}?alt=sse`, HELLO);
  t.match(headers, { 'content-type': 'text/event-stream', 'content-disposition': 'attachment' });
  const frames = text.split('\r\n\r\n');
  t.equal(frames.pop(), '', 'the stream ends with a blank line');
  t.equal(frames.length, 4);
  t.notOk(frames.some((frame) => frame.includes('\n')));
  const chunks = frames.map((frame) => JSON.parse(frame.replace(/^data: /, '')));
  const usages = chunks.map((chunk) => chunk.usageMetadata);
  t.same(
    usages.map((usage) => usage.candidatesTokenCount),
    [1, 3, 4, 6],
  );
  t.ok(usages[0].promptTokenCount < usages[3].promptTokenCount);
  t.same(
    chunks.map((chunk) => chunk.candidates[0].finishReason),
    [undefined, undefined, undefined, 'STOP'],
  );
  const whole = await post(GENERATE, HELLO);
  const texts = chunks.map((chunk) => chunk.candidates[0].content.parts[0].text);
  t.equal(JSON.parse(whole.text).candidates[0].content.parts[0].text, texts.join(''));
});

t.test('a stream without alt=sse is one JSON array in pieces', async (t) => {
  const { post } = await start(t);
  const { text } = await post(`/${STREAM.replace(':', '%3A')}`, HELLO);
  t.match(text, /^\[\{.*\}\r\n,\{.*\}\]$/s);
  t.equal(JSON.parse(text).length, 4);
});

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

t.test('what is wrong with a request is said as Google says it', async (t) => {
  const { simulator, post } = await start(t, {
    unknown_models: ['gone*'],
    keys: ['good'],
    models: { small: { max_input_tokens: 3 } },
  });
  const key = { 'x-goog-api-key': 'good' };
  const small = '/v1/models/small:generateContent';
  t.match((await post(GENERATE, HELLO)).text, /PERMISSION_DENIED/);
  const invalid = await post(GENERATE, HELLO, { 'x-goog-api-key': 'bad' });
  t.match(JSON.parse(invalid.text).error.details[0], { reason: 'API_KEY_INVALID' });
  t.equal((await post(`${GENERATE}?key=good`, HELLO)).status, 200);
  t.equal((await post(CHAT, CHAT_BODY, key)).status, 403, 'the OpenAI path wants a bearer token');
  t.equal((await post(CHAT, CHAT_BODY, { authorization: 'Bearer good' })).status, 200);
  t.match((await post(small, HELLO, key)).text, /input token count exceeds .* \(3\)/);
  t.match((await post(GENERATE, '{"a":', key)).text, /Invalid JSON payload/);
  t.match((await post(GENERATE, {}, key)).text, /contents is not specified/);
  t.match(
    (await post('/v1beta/models/gone-1:generateContent', HELLO, key)).text,
    /models\/gone-1 is not found for API version v1beta/,
  );
  t.equal((await post('/v1beta/nothing', {}, key)).status, 404);
  t.match(
    simulator.score(),
    { answered: 2, failed: 1 },
    'only a call that reached the model counts',
  );
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

t.test('the OpenAI and interactions surfaces answer whole and in streams', async (t) => {
  const { post } = await start(t, { models: { '*': {} } });
  const whole = JSON.parse((await post(CHAT, CHAT_BODY)).text);
  t.match(whole, { object: 'chat.completion', usage: { completion_tokens: 4 } });
  const options = { stream: true, stream_options: { include_usage: true } };
  const stream = await post(CHAT, { ...CHAT_BODY, ...options });
  t.match(stream.text, /"total_tokens":\d+\}\}\n\ndata: \[DONE\]\n\n$/);
  t.notMatch((await post(CHAT, { ...CHAT_BODY, stream: true })).text, /total_tokens/);
  const input = { model: 'm', input: 'Say five. [[out:5]]' };
  const interaction = JSON.parse((await post('/v1beta/interactions', input)).text);
  t.match(interaction, { status: 'completed', usage: { total_output_tokens: 5 } });
  const events = (await post('/v1beta/interactions', { ...input, stream: true })).text;
  t.match(events, /event: interaction\.completed\ndata: .*"total_output_tokens":5/);
  const background = JSON.parse(
    (await post('/v1beta/interactions', { ...input, background: true })).text,
  );
  t.equal(background.status, 'in_progress');
});

t.test('files are uploaded in the resumable way', async (t) => {
  const { simulator, post } = await start(t);
  const started = await post(
    '/upload/v1beta/files',
    { file: { display_name: 'A sea' } },
    {
      'x-goog-upload-command': 'start',
      'x-goog-upload-header-content-type': 'text/plain',
    },
  );
  t.match(started.headers, {
    'x-goog-upload-status': 'active',
    'content-type': 'text/plain; charset=utf-8',
  });
  const uploadUrl = new URL(String(started.headers['x-goog-upload-url']));
  t.equal(uploadUrl.origin, simulator.url);
  const path = uploadUrl.pathname + uploadUrl.search;
  await post(path, 'deep ', { 'x-goog-upload-command': 'upload' });
  const done = await post(path, 'blue', { 'x-goog-upload-command': 'upload, finalize' });
  t.match(done.headers, { 'x-goog-upload-status': 'final' });
  const { file } = JSON.parse(done.text);
  t.match(file, { displayName: 'A sea', mimeType: 'text/plain', sizeBytes: '9', state: 'ACTIVE' });
  const got = await request(file.uri);
  t.match(await got.body.json(), { name: file.name });
  const models = await request(`${simulator.url}/v1beta/models?pageSize=1`);
  t.match(await models.body.json(), { models: [{ name: /^models\// }], nextPageToken: '1' });
});

t.test('answers are compressed when asked, and only then', async (t) => {
  const { post } = await start(t);
  const headers = { 'accept-encoding': 'gzip, deflate' };
  const whole = await post(GENERATE, HELLO, headers);
  t.equal(whole.headers['content-encoding'], 'gzip');
  t.match(JSON.parse(gunzipSync(whole.bytes).toString()), { modelVersion: 'gemini-2.5-pro' });
  const stream = await post(`${STREAM}?alt=sse`, HELLO, headers);
  t.match(gunzipSync(stream.bytes).toString(), /"finishReason":"STOP".*\r\n\r\n$/s);
});

t.test(
  'a client that leaves is noted, and a score is there for people and for programs',
  async (t) => {
    const { simulator, clock, post } = await start(t, { count_at: 'answer' });
    const body = JSON.stringify({ contents: [{ parts: [{ text: '[[sleep:900]] [[tag:ann]]' }] }] });
    const { port } = new URL(simulator.url);
    const socket = connect(Number(port), '127.0.0.1');
    socket.write(
      `POST ${GENERATE} HTTP/1.1\r\nhost: x\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
    );
    await until(() => clock.pendingTimers > 0);
    socket.destroy();
    await until(() => simulator.arrivals[0]?.aborted === true);
    await clock.advanceAsync(900);
    const left = { agentTag: 'ann', aborted: true, status: null, answeredAtMs: null };
    t.match(simulator.arrivals[0], left);
    t.type(simulator.arrivals[0]?.countedAtMs, 'number', 'work that was begun still counts');
    t.match(simulator.score(), { calls: 1, aborted: 1 });
    const page = await request(`${simulator.url}/__sim`);
    t.match(await page.body.text(), /1 calls, 0 answered/);
    const score = await request(`${simulator.url}/__sim/score`);
    t.same(await score.body.json(), JSON.parse(JSON.stringify(simulator.score())));
    const bad = await post('/__sim/scenario', 'minute: sideways');
    t.match(bad, { status: 400, text: /minute must be one of/ });
    simulator.reset();
    t.same(simulator.arrivals, []);
  },
);

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
