import t from 'tap';
import {
  call,
  type Gate,
  GENERATE,
  idle,
  limits,
  MODEL,
  passUntil,
  queueOf,
  saying,
  send,
  startGate,
  until,
  waiting,
  windowOf,
} from '../support/gate.ts';
import { ManualClock } from '../support/manual-clock.ts';

const BODY = saying('Tell me about the sea.');
const INTERACTIONS = '/v1beta/interactions';

function as(agent: string, more: Readonly<Record<string, string>> = {}) {
  return { 'x-headgate-agent': agent, ...more };
}

/** Takes the only request of the minute. */
async function fill(gate: Gate): Promise<void> {
  const { status } = await call(gate, GENERATE, { body: saying('First.'), headers: as('first') });
  t.equal(status, 200);
  await idle(gate);
}

t.test('a call that its client sends again is the same call, and is shown so', async (t) => {
  const clock = new ManualClock();
  const gate = await startGate(t, { clock, config: { rate_limits: limits({ rpm: 1 }) } });
  await fill(gate);
  const first = send(gate, GENERATE, { body: BODY, headers: as('amy') });
  await waiting(gate, 1);
  clock.advance(1_000);
  const other = call(gate, GENERATE, { body: saying('Later.'), headers: as('amy') });
  await waiting(gate, 2);
  t.match(await queueOf(gate), [{ attempt: 1 }, { attempt: 1 }]);
  clock.advance(9_000);
  first.request.destroy();
  await waiting(gate, 1);
  clock.advance(5_000);
  const again = call(gate, GENERATE, { body: BODY, headers: as('amy') });
  await waiting(gate, 2);
  const [next, last] = await queueOf(gate);
  t.match(next, { agent: 'amy', attempt: 2, position: 1, waited_ms: 15_000 });
  t.match(last, { attempt: 1, waited_ms: 14_000 });
  const { value } = await passUntil(clock, again, 61_000);
  t.equal(value.status, 200);
  t.equal((await passUntil(clock, other, 61_000)).value.status, 200);
  await idle(gate);
  t.equal(gate.simulator.arrivals.length, 3, 'its first try was never sent');
  const told = (pattern: RegExp) => gate.log.some((line) => pattern.test(line));
  t.ok(told(/waiting .* amy: .*; try 2 of its client/), 'the long wait says so');
  t.ok(told(/ok .* amy 200 .*try 2/), 'and the line of the exchange');
});

t.test('a retry that its SDK tells of is shown, and its twin is not touched', async (t) => {
  const clock = new ManualClock();
  const gate = await startGate(t, { clock, config: { rate_limits: limits({ rpm: 1 }) } });
  await fill(gate);
  const one = call(gate, GENERATE, { body: BODY, headers: as('amy') });
  await waiting(gate, 1);
  const headers = as('amy', { 'x-stainless-retry-count': '2' });
  const two = call(gate, GENERATE, { body: BODY, headers });
  await waiting(gate, 2);
  t.match(await queueOf(gate), [{ attempt: 1 }, { attempt: 3 }]);
  for (const answer of [one, two]) {
    t.equal((await passUntil(clock, answer, 130_000)).value.status, 200);
  }
});

t.test('tokens are counted once for a call that comes back', async (t) => {
  const clock = new ManualClock();
  const gate = await startGate(t, { clock, config: { rate_limits: limits({ tpm: 60 }) } });
  const counts = () => gate.simulator.arrivals.filter(({ method }) => method === 'countTokens');
  const long = saying('one two three four five six seven eight nine ten '.repeat(4));
  t.equal((await call(gate, GENERATE, { body: long, headers: as('first') })).status, 200);
  await idle(gate);
  const before = counts().length;
  const first = send(gate, GENERATE, { body: long, headers: as('amy') });
  await waiting(gate, 1);
  await until(() => counts().length === before + 1);
  const { tokens } = (await queueOf(gate))[0]!;
  first.request.destroy();
  await waiting(gate, 0);
  const again = call(gate, GENERATE, { body: long, headers: as('amy') });
  await waiting(gate, 1);
  t.match(await queueOf(gate), [{ attempt: 2, tokens }]);
  t.equal((await passUntil(clock, again, 70_000)).value.status, 200);
  t.equal(counts().length, before + 1);
});

t.test('the next hop of an interaction goes ahead of strangers, and is counted', async (t) => {
  const clock = new ManualClock();
  const gate = await startGate(t, { clock, config: { rate_limits: limits({ rpm: 1 }) } });
  await fill(gate);
  const order: string[] = [];
  const sent = async (name: string, path: string, body: object, agent: string) => {
    const answer = await call(gate, path, { body, headers: as(agent) });
    order.push(name);
    return answer.status;
  };
  const strangers = ['bob', 'cid', 'dan', 'eve'].map(async (name, index) => {
    await waiting(gate, index);
    return sent(name, GENERATE, BODY, name);
  });
  await waiting(gate, 4);
  const begins = sent('new', INTERACTIONS, { model: MODEL, input: 'Hello.' }, 'fay');
  await waiting(gate, 5);
  const hop = sent(
    'hop',
    INTERACTIONS,
    { model: MODEL, input: 'Go on.', continuation_token: 'hop-1-x' },
    'amy',
  );
  await waiting(gate, 6);
  t.match(await queueOf(gate), [
    { agent: 'amy', position: 1 },
    { agent: 'bob', position: 2 },
  ]);
  await passUntil(clock, Promise.all([...strangers, begins, hop]), 400_000);
  t.same(order, ['hop', 'bob', 'cid', 'dan', 'eve', 'new']);
  t.equal((await windowOf(gate, 'rpm')).used, 1);
});
