import { connect } from 'node:net';
import { gunzipSync } from 'node:zlib';
import t from 'tap';
import { request } from 'undici';
import { CHAT, CHAT_BODY, GENERATE, HELLO, start, STREAM, until } from './run.ts';

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
  const { simulator, post } = await start(t, { upload_granularity: 5 });
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
  const last = { 'x-goog-upload-command': 'upload, finalize', 'x-goog-upload-offset': '5' };
  const done = await post(path, 'blue', last);
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
