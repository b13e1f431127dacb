import t from 'tap';
import type { Test } from 'tap';
import { makeScenario } from '../../src/simulator/scenario.ts';
import { type Simulator, startSimulator } from '../../src/simulator/simulator.ts';
import {
  type Answer,
  call,
  type Gate,
  idle,
  INSTANT,
  limits,
  passUntil,
  send,
  startGate,
  statusOf,
  waiting,
} from '../support/gate.ts';
import { ManualClock } from '../support/manual-clock.ts';
import {
  COUNTED_CALLS,
  type CountedCall,
  FAILING_CALLS,
  PASSED_CALLS,
} from '../support/surfaces.ts';

const FREE = { default: { rpm: null, tpm: null, rpd: null }, unknown_models: ['gone*'] };
const BEARER = { authorization: 'Bearer key' };

/** A daemon before one simulator, and another simulator that is asked the same without it. */
interface Pair {
  readonly gate: Gate;
  readonly direct: Simulator;
  readonly clock: ManualClock;
}

async function pair(t: Test): Promise<Pair> {
  const clock = new ManualClock();
  const scenario = { ...FREE, models: {} };
  const gate = await startGate(t, { clock, scenario });
  const direct = await startSimulator({
    clock,
    random: () => 0.5,
    scenario: makeScenario({ latency: INSTANT, ...scenario }),
  });
  t.teardown(() => direct.close());
  return { gate, direct, clock };
}

/** Asks both, and holds the answers against each other. */
async function both(t: Test, { gate, direct }: Pair, line: string, body?: object): Promise<Answer> {
  const [method = '', path = ''] = line.split(' ');
  const options = { method, headers: BEARER, ...(body === undefined ? {} : { body }) };
  const expected = await call(direct, path, options);
  const answer = await call(gate, path, options);
  const own = ({ text }: Answer, { url }: Simulator) => text.replaceAll(url, 'ORIGIN');
  t.equal(answer.status, expected.status, `${line}: status`);
  t.equal(own(answer, gate.simulator), own(expected, direct), `${line}: body`);
  for (const name of ['content-type', 'content-disposition', 'date', 'x-gemini-service-tier']) {
    t.equal(answer.headers[name], expected.headers[name], `${line}: ${name}`);
  }
  return answer;
}

/** What the windows of a model hold; null for a model that nothing is known of. */
async function usedOf(gate: Gate, model: string) {
  await idle(gate);
  const { partitions } = await statusOf(gate);
  const windows = partitions.find((partition) => partition.model === model)?.windows;
  if (windows === undefined) return null;
  const used = (policy: string) => windows.find((window) => window.policy === policy)?.used;
  const held = windows.reduce((sum, window) => sum + window.held, 0);
  return { rpm: used('rpm'), rpd: used('rpd'), tpm: used('tpm'), held };
}

interface Logged {
  readonly exchange?: { readonly model: string; readonly estimated_tokens: number };
}

function estimateOf(gate: Gate, model: string): number | undefined {
  const lines = gate.log.map((line): Logged => JSON.parse(line));
  return lines.find(({ exchange }) => exchange?.model === model)?.exchange?.estimated_tokens;
}

/** The upstream's own count, or ours where it tells none, is what the windows hold. */
async function taken(t: Test, { gate }: Pair, name: string, counted: CountedCall): Promise<void> {
  const { model, requests = 1, isTold = true } = counted;
  const used = await usedOf(gate, model);
  const told = gate.simulator.arrivals.at(-1)?.inputTokens;
  const tpm = isTold ? told : estimateOf(gate, model);
  t.type(tpm, 'number', name);
  t.ok((tpm ?? 0) > 0, name);
  t.strictSame(used, { rpm: requests, rpd: requests, tpm, held: 0 }, `${name}: quota`);
}

t.test('each counted surface answers as it does directly, and takes what it tells', async (t) => {
  const two = await pair(t);
  for (const [name, counted] of Object.entries(COUNTED_CALLS)) {
    const answer = await both(t, two, `POST ${counted.path}`, counted.body);
    t.equal(answer.status, 200, name);
    const arrival = two.gate.simulator.arrivals.at(-1);
    t.match(arrival, { model: counted.model, requests: counted.requests ?? 1 }, name);
    t.type(answer.headers['x-headgate-request-id'], 'string', name);
    await taken(t, two, name, counted);
  }
});

t.test(
  'an error of the upstream has the shape of its surface, and its request stays',
  async (t) => {
    const two = await pair(t);
    for (const [name, failing] of Object.entries(FAILING_CALLS)) {
      const answer = await both(t, two, `POST ${failing.path}`, failing.body);
      t.equal(answer.status, failing.status, name);
      t.notOk(answer.headers['x-headgate-refused'], name);
      const used = await usedOf(two.gate, failing.model);
      t.match(used, { rpm: 1, rpd: 1, tpm: estimateOf(two.gate, failing.model), held: 0 }, name);
    }
  },
);

t.test('everything else passes as it is, and takes nothing', async (t) => {
  const two = await pair(t);
  for (const { line, body, status = 200 } of PASSED_CALLS) {
    const answer = await both(t, two, line, body);
    t.equal(answer.status, status, `${line}: ${answer.text.slice(0, 200)}`);
  }
  await idle(two.gate);
  t.strictSame((await statusOf(two.gate)).partitions, []);
});

t.test('a call without a model is refused in the words of its surface, unsent', async (t) => {
  const { gate } = await pair(t);
  const contents = [{ parts: [{ text: 'Hi' }] }];
  for (const [path, body] of [
    ['/v1beta/models/:generateContent', { contents }],
    ['/v1beta/models/:streamGenerateContent', { contents }],
    ['/v1beta/models/:predict', { instances: [] }],
    ['/v1beta/interactions', { input: 'Hi' }],
    ['/v1beta/interactions', { model: '', input: 'Hi' }],
    ['/v1beta/openai/chat/completions', { messages: [] }],
    ['/v1beta/openai/chat/completions', { model: 'models/', messages: [] }],
    ['/v1beta/openai/embeddings', { input: 'Hi' }],
    ['/v1beta/openai/images/generations', { prompt: 'A sea' }],
  ] as const) {
    const answer = await call(gate, path, { body });
    t.equal(answer.status, 400, path);
    t.equal(answer.headers['x-headgate-refused'], 'MODEL_MISSING', path);
    const code = path.endsWith('interactions') ? 'invalid_argument' : 400;
    const { error } = JSON.parse(answer.text);
    t.match(error, { code, message: /model/ }, path);
  }
  await idle(gate);
  t.strictSame(gate.simulator.arrivals, []);
  t.strictSame((await statusOf(gate)).partitions, []);
});

t.test('a refusal of ours has the shape that each surface’s clients read', async (t) => {
  const config = { rate_limits: limits({ rpm: 0 }) };
  const gate = await startGate(t, { clock: new ManualClock(), config });
  for (const [name, { path, body }] of Object.entries(COUNTED_CALLS)) {
    const answer = await call(gate, path, { body });
    t.equal(answer.status, 429, name);
    t.equal(answer.headers['x-headgate-refused'], 'QUOTA_ZERO', name);
    t.match(answer.headers['content-type'], /^application\/json/, name);
    const parsed: unknown = JSON.parse(answer.text);
    t.equal(Array.isArray(parsed), path.endsWith(':streamGenerateContent'), name);
    const [first] = Array.isArray(parsed) ? parsed : [parsed];
    const code = path.endsWith('interactions') ? 'resource_exhausted' : 429;
    t.match(first, { error: { code, message: /^headgate.*limit: 0/s } }, name);
  }
  t.strictSame(gate.simulator.arrivals, []);
});

t.test('a batch of embeddings waits until all of its items fit, and draws no 429', async (t) => {
  const clock = new ManualClock();
  const model = 'gemini-embedding-001';
  const gate = await startGate(t, {
    clock,
    config: { rate_limits: limits({ rpm: 5 }) },
    scenario: { models: { [model]: { rpm: 5 } } },
  });
  const requests = Array.from({ length: 3 }, () => ({ content: { parts: [{ text: 'Sea' }] } }));
  const path = `/v1beta/models/${model}:batchEmbedContents`;
  t.equal((await call(gate, path, { body: { requests } })).status, 200);
  const second = send(gate, path, { body: { requests } }).answer;
  await waiting(gate, 1);
  t.equal((await call(gate, path, { body: { requests: requests.slice(1) } })).status, 200);
  const { value } = await passUntil(clock, second, 70_000);
  t.equal(value.status, 200);
  t.match(gate.simulator.score(), { refusedByQuota: 0 });
  const [row] = gate.simulator.score().models;
  t.strictSame(row?.peaks.rpm, { peak: 5, limit: 5 });
  const large = { requests: [...requests, ...requests] };
  const never = await call(gate, path, { body: large });
  t.match(never.headers['x-headgate-refused'], /./, 'six items never fit into five');
  t.equal(gate.simulator.arrivals.length, 3);
});
