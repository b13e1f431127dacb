import { execFile, spawnSync } from 'node:child_process';
import { promisify } from 'node:util';
import { ApiError, GoogleGenAI } from '@google/genai';
import t from 'tap';
import {
  call,
  type Gate,
  GENERATE,
  idle,
  limits,
  MODEL,
  saying,
  startGate,
  STREAM,
  windowOf,
} from '../support/gate.ts';

const run = promisify(execFile);
const contents = 'Tell me about the sea.';

/** Nothing but the base URL is told. */
function sdkOf({ url }: Gate): GoogleGenAI {
  return new GoogleGenAI({ apiKey: 'AIza-client', httpOptions: { baseUrl: url } });
}

async function failureOf(answer: Promise<unknown>): Promise<ApiError> {
  const error: unknown = await answer.then(
    () => null,
    (thrown: unknown) => thrown,
  );
  if (error instanceof ApiError) return error;
  throw new Error('the SDK did not throw an error of its own', { cause: error });
}

t.test('@google/genai gets answers, streams, embeddings and lists', async (t) => {
  const gate = await startGate(t, { scenario: { keys: ['AIza-client'] } });
  const { models } = sdkOf(gate);
  const whole = await models.generateContent({ model: MODEL, contents });
  t.ok((whole.text ?? '').length > 0);
  t.ok((whole.usageMetadata?.promptTokenCount ?? 0) > 0);
  const texts: string[] = [];
  for await (const chunk of await models.generateContentStream({ model: MODEL, contents })) {
    texts.push(chunk.text ?? '');
  }
  t.ok(texts.length > 1 && texts.join('').length > 0);
  const embedding = await models.embedContent({ model: 'gemini-embedding-001', contents });
  t.equal(embedding.embeddings?.length, 1);
  const counted = await models.countTokens({ model: MODEL, contents });
  t.ok((counted.totalTokens ?? 0) > 0);
  const listed = await models.list();
  t.ok(listed.page.length > 0);
  await idle(gate);
  t.equal((await windowOf(gate, 'rpm')).used, 2, 'counting tokens takes no quota');
  t.match(gate.log.join(''), /"agent":"google-genai-sdk\/[\d.]+@[0-9a-f]{8}"/);
});

t.test('@google/genai sees the first chunk before the last was sent', async (t) => {
  const latency = { first_byte: [0, 0], per_chunk: 40, chunks: 5 } as const;
  const gate = await startGate(t, { scenario: { latency } });
  const stream = await sdkOf(gate).models.generateContentStream({ model: MODEL, contents });
  const sentAt: number[] = [];
  for await (const chunk of stream) {
    t.ok(chunk.candidates !== undefined || chunk.usageMetadata !== undefined);
    sentAt.push(gate.simulator.arrivals[0]?.outputTokens ?? 0);
  }
  t.ok((sentAt[0] ?? 0) < (sentAt.at(-1) ?? 0), `output tokens sent so far: ${sentAt.join()}`);
});

t.test('@google/genai throws the upstream’s error as its own class', async (t) => {
  const gate = await startGate(t, { scenario: { keys: ['another'], unknown_models: [] } });
  const invalid = await failureOf(sdkOf(gate).models.generateContent({ model: MODEL, contents }));
  t.equal(invalid.status, 400);
  t.match(invalid.message, /API key not valid/);
  const broken = await startGate(t, { scenario: { faults: [{ match: {}, answer: '503' }] } });
  const overloaded = await failureOf(
    sdkOf(broken).models.generateContentStream({ model: MODEL, contents }),
  );
  t.equal(overloaded.status, 503);
  t.match(overloaded.message, /high demand/);
});

t.test('@google/genai can read a refusal of headgate', async (t) => {
  const gate = await startGate(t, { config: { rate_limits: limits({ rpm: 1 }) } });
  const { models } = sdkOf(gate);
  await models.generateContent({ model: MODEL, contents });
  const config = { httpOptions: { headers: { 'x-headgate-max-wait': '1s' } } };
  const refused = await failureOf(models.generateContent({ model: MODEL, contents, config }));
  t.equal(refused.status, 429);
  t.match(refused.message, /headgate held back this call/);
  t.match(refused.message, /RetryInfo/);
});

t.test('@google/genai tells its timeout, and is refused before it gives up', async (t) => {
  const gate = await startGate(t, { config: { rate_limits: limits({ rpm: 1 }) } });
  const { models } = sdkOf(gate);
  await models.generateContent({ model: MODEL, contents });
  const config = { httpOptions: { timeout: 20_000 } };
  const refused = await failureOf(models.generateContent({ model: MODEL, contents, config }));
  t.equal(refused.status, 429);
});

const skipCurl =
  spawnSync('curl', ['--version']).error === undefined ? false : 'curl is not on PATH';

t.test('curl gets an answer, a stream and a refusal', { skip: skipCurl }, async (t) => {
  const gate = await startGate(t, { config: { rate_limits: limits({ rpm: 2 }) } });
  const body = JSON.stringify(saying(contents));
  const silent = ['--silent', '--show-error', '--max-time', '20', '--noproxy', '*'];
  const posting = ['-H', 'content-type: application/json', '-d', body];
  const curl = (path: string, ...flags: string[]) =>
    run('curl', [...silent, ...posting, ...flags, gate.url + path]);
  const whole = await curl(`${GENERATE}?key=AIza-client`);
  t.ok(JSON.parse(whole.stdout).candidates.length > 0);
  const stream = await curl(STREAM, '--no-buffer');
  t.ok(stream.stdout.split('\r\n\r\n').length > 2);
  const shortly = ['-H', 'x-headgate-max-wait: 1s'];
  const refused = await curl(GENERATE, ...shortly, '--write-out', '\n%{http_code}');
  const lines = refused.stdout.split('\n');
  t.match(JSON.parse(lines[0] ?? '').error.message, /headgate/);
  t.equal(lines[1], '429');
  await t.rejects(curl(GENERATE, ...shortly, '--fail'), { code: 22 });
});

t.test('a large body that asks first is called for and forwarded', async (t) => {
  const gate = await startGate(t);
  const headers = { expect: '100-continue' };
  const answer = await call(gate, GENERATE, {
    headers,
    body: saying('the sea '.repeat(300_000)),
  });
  t.equal(answer.status, 200);
  t.ok((gate.simulator.arrivals[0]?.bytes ?? 0) > 2_000_000);
});
