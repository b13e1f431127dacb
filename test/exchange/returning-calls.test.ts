import t from 'tap';
import type { ClassifiedCall } from '../../src/exchange/classified-call.ts';
import { ReturningCalls } from '../../src/exchange/returning-calls.ts';
import { units } from '../support/quota-samples.ts';

const PATH = '/v1beta/models/m:generateContent';
const EDGE = 65_536;

interface Sent {
  readonly atMs: number;
  readonly agent?: string;
  readonly path?: string;
  readonly body?: readonly Buffer[];
  readonly attempt?: number;
  readonly countTokens?: () => Promise<number | null>;
  readonly isGone?: () => boolean;
  readonly leave?: () => void;
}

function send(calls: ReturningCalls, sent: Sent) {
  const { atMs, agent = 'amy', path = PATH, body = [Buffer.from('{}')], attempt = 1 } = sent;
  const { countTokens = null, isGone = () => false, leave = () => undefined } = sent;
  const found: Partial<ClassifiedCall> = {
    project: 'p',
    agent,
    attempt,
    sinceMs: atMs,
    units: units(1, 100),
    ceiling: units(1, 200),
    exact: false,
    countTokens,
  };
  const bodyBytes = body.reduce((sum, { length }) => sum + length, 0);
  // Nothing else of a call is looked at.
  return calls.recognise({ path, body, bodyBytes }, found as ClassifiedCall, { isGone, leave });
}

t.test('a call that comes back in time has the time of its first try', async (t) => {
  const calls = new ReturningCalls();
  send(calls, { atMs: 0 }).remember(100);
  const second = send(calls, { atMs: 100 });
  t.match(second.known, { attempt: 2, sinceMs: 0 });
  second.remember(200);
  t.match(send(calls, { atMs: 150 }).known, { attempt: 3, sinceMs: 0 });
  t.equal(calls.size, 0);
  send(calls, { atMs: 0 }).remember(100);
  t.match(send(calls, { atMs: 101 }).known, { attempt: 1, sinceMs: 101 }, 'but not later');
  t.equal(calls.size, 0, 'and is forgotten then');
});

t.test('only the same call of the same agent is one that comes back', async (t) => {
  const calls = new ReturningCalls();
  const bytes = (text: string) => [Buffer.from(text)];
  const cases: readonly [string, Omit<Sent, 'atMs'>][] = [
    ['another agent', { agent: 'bob', body: bytes('{"a":1}') }],
    ['another body as long', { body: bytes('{"a":2}') }],
    ['another path', { path: PATH.replace('m:', 'n:'), body: bytes('{"a":1}') }],
  ];
  send(calls, { atMs: 0, body: bytes('{"a":1}') }).remember(100);
  for (const [name, other] of cases) {
    t.match(send(calls, { atMs: 5, ...other }).known, { attempt: 1, sinceMs: 5 }, name);
  }
  const inPieces = [Buffer.from('{"a"'), Buffer.from(':1}')];
  t.equal(send(calls, { atMs: 9, body: inPieces }).known.attempt, 2, 'however it is cut');
});

t.test('long bodies are told apart by start, end and length', async (t) => {
  const long = (at: number | null, chunkBytes: number): Buffer[] => {
    const whole = Buffer.alloc(EDGE * 4, 'a');
    if (at !== null) whole[at] = 0;
    const chunks: Buffer[] = [];
    for (let from = 0; from < whole.length; from += chunkBytes) {
      chunks.push(whole.subarray(from, from + chunkBytes));
    }
    return chunks;
  };
  const isSame = (at: number | null): boolean => {
    const calls = new ReturningCalls();
    send(calls, { atMs: 0, body: long(null, 1_000) }).remember(100);
    return send(calls, { atMs: 1, body: long(at, 70_001) }).known.attempt === 2;
  };
  t.equal(isSame(null), true);
  for (const at of [0, EDGE - 1, EDGE * 3, EDGE * 4 - 1]) t.equal(isSame(at), false, `byte ${at}`);
  t.equal(isSame(EDGE), true, 'what lies between is not read');
});

t.test('the same call sent twice on purpose is served twice', async (t) => {
  const calls = new ReturningCalls();
  const left: string[] = [];
  const one = send(calls, { atMs: 0, leave: () => left.push('one') });
  t.match(send(calls, { atMs: 3, attempt: 2 }).known, { attempt: 2, sinceMs: 3 });
  t.same(left, []);
  const other = send(calls, { atMs: 1 });
  one.remember(100);
  other.remember(100);
  t.equal(send(calls, { atMs: 4 }).known.sinceMs, 0, 'the earliest is taken up first');
  t.equal(send(calls, { atMs: 5 }).known.sinceMs, 1);
  t.equal(send(calls, { atMs: 6 }).known.sinceMs, 6, 'and each of them once');
});

t.test('a waiting copy whose client has gone makes way for the new one', async (t) => {
  const calls = new ReturningCalls();
  const left: string[] = [];
  const gone = new Set<string>();
  const waiter = (name: string, body: string) => {
    const call = send(calls, {
      atMs: 0,
      body: [Buffer.from(body)],
      isGone: () => gone.has(name),
      leave() {
        left.push(name);
        call.remember(100);
      },
    });
    return call;
  };
  waiter('other', '{"b":1}');
  waiter('there', '{"a":1}');
  waiter('gone', '{"a":1}');
  waiter('over', '{"a":1}').over();
  for (const name of ['other', 'gone', 'over']) gone.add(name);
  const again = send(calls, { atMs: 7, body: [Buffer.from('{"a":1}')] });
  t.same(left, ['gone']);
  t.match(again.known, { attempt: 2, sinceMs: 0 });
});

t.test('tokens that were counted for the first try are not counted again', async (t) => {
  const calls = new ReturningCalls();
  let asked = 0;
  let answer: (tokens: number | null) => void = () => undefined;
  const countTokens = () => {
    asked += 1;
    return new Promise<number | null>((resolve) => {
      answer = resolve;
    });
  };
  const first = send(calls, { atMs: 0, countTokens });
  const count = first.known.countTokens!();
  first.remember(100);
  const second = send(calls, { atMs: 1, countTokens });
  t.equal(second.known.exact, false);
  const countAgain = second.known.countTokens!();
  t.equal(asked, 1, 'the question is still under way');
  answer(42);
  t.same(await Promise.all([count, countAgain]), [42, 42]);
  second.remember(100);
  const third = send(calls, { atMs: 2, countTokens });
  t.match(third.known, {
    exact: true,
    units: { inputTokens: 42 },
    ceiling: { inputTokens: 42 },
  });
  const failed = send(calls, { atMs: 0, agent: 'bob', countTokens });
  const none = failed.known.countTokens!();
  answer(null);
  t.equal(await none, null);
  failed.remember(100);
  void send(calls, { atMs: 0, agent: 'bob', countTokens }).known.countTokens!();
  t.equal(asked, 3, 'what failed is asked again');
});

t.test('the number of tries remembered is bounded', async (t) => {
  const calls = new ReturningCalls();
  for (let index = 0; index < 10_050; index += 1) {
    send(calls, { atMs: 0, agent: `agent-${index}` }).remember(100);
  }
  t.equal(calls.size, 10_000);
  t.equal(send(calls, { atMs: 1, agent: 'agent-49' }).known.attempt, 1, 'the oldest are forgotten');
  t.equal(send(calls, { atMs: 1, agent: 'agent-50' }).known.attempt, 2);
});
