import { createServer } from 'node:http';
import t, { type Test } from 'tap';
import { outboundHeaders } from '../../src/exchange/outbound.ts';
import { detectClient } from '../../src/gemini/client.ts';
import { clientsPage } from '../support/clients-page.ts';
import {
  type Answer,
  call,
  type Gate,
  GENERATE,
  limits,
  saying,
  startGate,
  until,
  waiting,
} from '../support/gate.ts';
import { bodyOf, listen } from '../support/loopback.ts';
import { ManualClock } from '../support/manual-clock.ts';

const BODY = saying('Tell me about the sea.');
const CHAT = '/v1beta/openai/chat/completions';
const CHAT_BODY = { model: 'gemini-2.5-flash', messages: [{ role: 'user', content: 'Hello' }] };
const MAX_WAIT_MS = 1_800_000;
/** LangChain stops at these words, and comes back at those of a time (core 1.4). */
const LANGCHAIN_STOPS =
  /insufficient[_ -]?quota|exceeded (?:your|the current|the available).+quota|usage quota|quota (?:has been )?exhausted|billing|credit balance|out of credits|will reset at/i;
const LANGCHAIN_TIME = /(?:try again in|retry after)\s+(\d+(?:\.\d+)?)\s*s\b/i;

const { rows } = clientsPage();

t.test('the page tells the hold that each client has', async (t) => {
  t.ok(rows.length >= 15);
  for (const { name, headers, holdMs } of rows) {
    t.equal(detectClient(Object.entries(headers).flat()).holdMsMax, holdMs, name);
  }
  const families = rows.map(({ headers }) => detectClient(Object.entries(headers).flat()).family);
  const unseen = ['gemini-cli', 'genai-js', 'genai-python', 'genai-go', 'genai-java', 'curl']
    .concat(['generative-ai-js', 'ai-sdk', 'langchain', 'openai-js', 'openai-python', 'litellm'])
    .concat(['node', 'other'])
    .filter((family) => !families.some((seen) => seen === family));
  t.strictSame(unseen, [], 'and leaves no family out');
});

/** A gate whose only place is taken for an hour, so that nobody's turn comes. */
async function occupied(t: Test, clock: ManualClock): Promise<Gate> {
  const gate = await startGate(t, {
    clock,
    config: { rate_limits: limits({ max_concurrent: 1 }) },
  });
  // Whoever holds the place is cut off when the test ends.
  void call(gate, GENERATE, { body: saying('Slowly. [[sleep:3600000]]') }).catch(() => undefined);
  await until(() => gate.simulator.arrivals.length === 1);
  return gate;
}

interface Waiter {
  readonly name: string;
  readonly holdMs: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly path?: string;
}

const TOLD: readonly Waiter[] = [
  { name: 'X-Server-Timeout of 20 s', holdMs: 18_000, headers: { 'x-server-timeout': '20' } },
  { name: 'X-Server-Timeout of 600 s', holdMs: 595_000, headers: { 'X-Server-Timeout': '600' } },
  {
    name: 'x-stainless-timeout of 40 s',
    holdMs: 36_000,
    headers: { 'user-agent': 'OpenAI/JS 6.49.0', 'x-stainless-timeout': '40' },
  },
  {
    name: 'x-stainless-timeout of 600 s, of a client that bears less',
    holdMs: 270_000,
    headers: { 'user-agent': 'OpenAI/JS 6.49.0', 'x-stainless-timeout': '600' },
  },
  {
    name: 'the shorter of both',
    holdMs: 27_000,
    headers: { 'x-server-timeout': '30', 'x-stainless-timeout': '600' },
  },
  { name: 'x-headgate-max-wait', holdMs: 5_000, headers: { 'x-headgate-max-wait': '5s' } },
];

t.test('each client waits as long as it bears, or says that it does, and no longer', async (t) => {
  const clock = new ManualClock();
  const gate = await occupied(t, clock);
  const ofPage = rows.map(({ name, headers, holdMs }): Waiter => {
    const path = name.includes('OpenAI') ? CHAT : GENERATE;
    return { name, headers, holdMs: holdMs ?? MAX_WAIT_MS, path };
  });
  const waiters = [...ofPage, ...TOLD];
  const answers = new Map<Waiter, Answer>();
  const calls = waiters.map(async (waiter, at) => {
    const { path = GENERATE } = waiter;
    const headers = { ...waiter.headers, 'x-headgate-agent': `agent-${at}` };
    const body = path === CHAT ? CHAT_BODY : BODY;
    answers.set(waiter, await call(gate, path, { headers, body }));
  });
  await waiting(gate, waiters.length);
  const holds = [...new Set(waiters.map(({ holdMs }) => holdMs))].sort((a, b) => a - b);
  const startedMs = clock.monotonicMs();
  for (const holdMs of holds) {
    const ending = waiters.filter((waiter) => waiter.holdMs === holdMs);
    const after = waiters.filter((waiter) => waiter.holdMs > holdMs);
    clock.advance(startedMs + holdMs - 1 - clock.monotonicMs());
    await waiting(gate, ending.length + after.length);
    clock.advance(1);
    await waiting(gate, after.length);
    await until(() => answers.size === waiters.length - after.length);
    for (const waiter of ending) {
      const answer = answers.get(waiter);
      if (answer === undefined) throw new Error(`${waiter.name} still waits`);
      saysComeBack(t, waiter.name, answer);
    }
  }
  await Promise.all(calls);
  t.equal(gate.simulator.arrivals.length, 1, 'none of them went on');
});

interface Refusal {
  readonly error: {
    readonly message: string;
    readonly details: readonly { readonly retryDelay?: string }[];
  };
}

/** In each way that a client reads: soon enough to come back by itself, and nothing says stop. */
function saysComeBack(t: Test, name: string, { status, headers, text }: Answer): void {
  const { error }: Refusal = JSON.parse(text);
  const delay = error.details.find(({ retryDelay }) => retryDelay !== undefined)?.retryDelay;
  const seconds = Number(headers['retry-after']);
  t.equal(status, 429, name);
  t.ok(seconds > 0 && seconds <= 61, `${name}: retry-after ${seconds}`);
  t.ok(Math.ceil(Number(headers['retry-after-ms']) / 1000) === seconds, 'in milliseconds too');
  t.equal(headers['x-should-retry'], undefined, 'OpenAI');
  t.equal(delay, `${seconds}s`, 'Gemini CLI');
  t.match(error.message, /Please retry in [\d.]+s\./);
  t.notMatch(text, /PerDay|Daily|limit: 0/, 'Gemini CLI would stop');
  t.notMatch(text, LANGCHAIN_STOPS);
  t.ok(Number(LANGCHAIN_TIME.exec(text)?.[1]) <= 60, 'LangChain');
}

for (const [whose, path, body] of [
  ['a Gemini client', GENERATE, BODY],
  ['a client of the OpenAI paths', CHAT, CHAT_BODY],
] as const) {
  t.test(`a full minute asks ${whose} to come back, a spent day to stop`, async (t) => {
    const clock = new ManualClock();
    const gate = await startGate(t, { clock, config: { rate_limits: limits({ rpm: 1, rpd: 2 }) } });
    const headers = { 'user-agent': 'GeminiCLI/0.61.0/gemini-2.5-flash (linux; x64)' };
    t.equal((await call(gate, path, { body, headers })).status, 200);
    const minute = await call(gate, path, { body, headers });
    t.equal(minute.headers['x-headgate-refused'], 'QUOTA_MINUTE');
    t.equal(minute.headers['retry-after'], '61');
    t.match(minute.text, /"quotaId":"\w+PerMinute\w+"/);
    saysComeBack(t, 'a full minute', minute);
    clock.advance(61_000);
    t.equal((await call(gate, path, { body, headers })).status, 200, 'and is right');

    const day = await call(gate, path, { body, headers });
    t.equal(day.status, 429);
    t.equal(day.headers['x-headgate-refused'], 'QUOTA_DAY');
    t.equal(day.headers['x-should-retry'], 'false', 'OpenAI stops');
    t.match(day.text, /"quotaId":"\w+PerDay\w+"/, 'Gemini CLI stops');
    const seconds = Number(day.headers['retry-after']);
    t.ok(seconds > 80_000, `retry-after ${seconds}: the AI SDK does not wait for it`);
    t.match(day.text, `"retryDelay":"${seconds}s"`);
    t.equal(Number(LANGCHAIN_TIME.exec(day.text)?.[1]), seconds, 'LangChain stops');
  });
}

t.test('a timeout that a client tells the Gemini API is lowered by its whole wait', async (t) => {
  const received: (string | undefined)[] = [];
  const server = createServer((request, response) => {
    received.push(request.headersDistinct['x-server-timeout']?.join());
    void bodyOf(request).then(() => response.end('{}'));
  });
  const port = await listen(server);
  t.teardown(() => {
    server.close();
    server.closeAllConnections();
  });
  const clock = new ManualClock();
  const config = { rate_limits: limits({ rpm: 1 }) };
  const gate = await startGate(t, { clock, config, upstreamUrl: `http://127.0.0.1:${port}` });
  await call(gate, GENERATE, { body: BODY });
  const first = call(gate, GENERATE, { body: BODY, headers: { 'X-Server-Timeout': '90.5' } });
  await waiting(gate, 1);
  const second = call(gate, GENERATE, { body: BODY, headers: { 'x-server-timeout': '300' } });
  await waiting(gate, 2);
  clock.advance(61_000);
  t.equal((await first).status, 200);
  clock.advance(61_000);
  t.equal((await second).status, 200);
  t.strictSame(received, [undefined, '29', '178'], 'after 61 s, and after 122 s');
  const lowered = (queuedMs: number) => outboundHeaders(['X-Server-Timeout', '5'], queuedMs)[1];
  t.strictSame([0, 999, 3_000, 5_000, 90_000].map(lowered), ['5', '5', '2', '1', '1']);
});
