import t from 'tap';
import { request } from 'undici';
import { CHAT, GENERATE, HELLO, start } from './run.ts';

const content = HELLO.contents[0];
const EMBEDDINGS = '/v1beta/openai/embeddings';

t.test(
  'embeddings of the second generation tell what they read, earlier ones do not',
  async (t) => {
    const { simulator, post } = await start(t);
    const usageOf = async (path: string, body: object) =>
      JSON.parse((await post(path, body)).text).usageMetadata;
    for (const model of ['gemini-embedding-001', 'text-embedding-004']) {
      t.equal(await usageOf(`/v1/models/${model}:embedContent`, { content }), undefined, model);
      const batch = { requests: [{ content }] };
      t.equal(await usageOf(`/v1/models/${model}:batchEmbedContents`, batch), undefined, model);
    }
    const usage = await usageOf('/v1/models/gemini-embedding-2:embedContent', { content });
    t.match(usage, { promptTokenCount: simulator.arrivals.at(-1)?.inputTokens });
  },
);

t.test('each item of a batch takes its place in the minute', async (t) => {
  const { simulator, post } = await start(t, { models: { '*': { rpm: 5 } } });
  const requests = [{ content }, { content }, { content }];
  const batch = '/v1beta/models/a:batchEmbedContents';
  t.equal((await post(batch, { requests })).status, 200);
  t.equal((await post(batch, { requests })).status, 429, 'six are more than five');
  t.equal((await post(batch, { requests: requests.slice(1) })).status, 200);
  for (const [input, items] of [
    ['one', 1],
    [['one', 'two', 'three'], 3],
    [[[1, 2], [3]], 2],
    [[1, 2, 3], 1],
  ] as const) {
    await post(EMBEDDINGS, { model: `b${items}`, input });
    t.equal(simulator.arrivals.at(-1)?.requests, items, JSON.stringify(input));
  }
});

t.test('both forms of countTokens count the same', async (t) => {
  const { post } = await start(t);
  const path = GENERATE.replace(':generateContent', ':countTokens');
  const bare = JSON.parse((await post(path, HELLO)).text);
  const generateContentRequest = { model: 'models/gemini-2.5-pro', ...HELLO };
  const wrapped = JSON.parse((await post(path, { generateContentRequest })).text);
  t.strictSame(wrapped, bare);
  const systemInstruction = { parts: [{ text: 'Be short and kind.' }] };
  const more = { generateContentRequest: { ...generateContentRequest, systemInstruction } };
  t.ok(JSON.parse((await post(path, more)).text).totalTokens > bare.totalTokens);
});

t.test('thoughts of a chat show only in its total', async (t) => {
  const { post } = await start(t);
  const messages = [{ role: 'user', content: 'Hi. [[out:4]] [[think:9]]' }];
  const { usage } = JSON.parse((await post(CHAT, { model: 'm', messages })).text);
  t.strictSame(Object.keys(usage), ['prompt_tokens', 'completion_tokens', 'total_tokens']);
  t.equal(usage.total_tokens - usage.prompt_tokens - usage.completion_tokens, 9);
});

t.test('the OpenAI paths take a bearer token only, and fail in arrays', async (t) => {
  const { simulator } = await start(t, { keys: ['good'], unknown_models: ['gone'] });
  const get = async (path: string, headers: Record<string, string>) => {
    const answer = await request(simulator.url + path, { headers });
    return { status: answer.statusCode, json: await answer.body.json() };
  };
  const bearer = { authorization: 'Bearer good' };
  const native = { 'x-goog-api-key': 'good' };
  t.match(await get('/v1beta/openai/models', bearer), { status: 200, json: { object: 'list' } });
  t.match(await get('/v1beta/openai/models', native), {
    status: 403,
    json: [{ error: { code: 403 } }],
  });
  t.match(await get('/v1beta/openai/models/gone', bearer), {
    status: 404,
    json: [{ error: { code: 404, status: 'NOT_FOUND' } }],
  });
  t.match(await get('/v1beta/interactions/nobody', native), {
    status: 404,
    json: { error: { code: 'not_found' } },
  });
  t.match(await get('/v1beta/batches/nobody', native), {
    status: 404,
    json: { error: { code: 404 } },
  });
});

t.test('a tuned model has a quota of its own', async (t) => {
  const { post } = await start(t, { models: { '*': { rpm: 1 } } });
  const tuned = GENERATE.replace('models/', 'tunedModels/');
  t.equal((await post(GENERATE, HELLO)).status, 200);
  t.equal((await post(tuned, HELLO)).status, 200);
  t.equal((await post(tuned, HELLO)).status, 429);
});

t.test('a batch that is too long or empty is refused', async (t) => {
  const { post } = await start(t);
  const path = GENERATE.replace(':generateContent', ':batchGenerateContent');
  const holding = (requests: readonly object[]) => ({
    batch: { inputConfig: { requests: { requests } } },
  });
  t.match((await post(path, holding([]))).text, /input is not specified/);
  const long = Array.from({ length: 1001 }, () => ({ request: HELLO }));
  t.match((await post(path, holding(long))).text, /exceeds the limit: 1000/);
  const file = { batch: { inputConfig: { fileName: 'files/questions' } } };
  t.equal((await post(path, file)).status, 200);
});
