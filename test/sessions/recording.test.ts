import { mkdirSync, readFileSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { openConfined } from '../../src/sessions/confined-directory.ts';
import type { NewTurn } from '../../src/sessions/contracts.ts';
import { headgateReader } from '../../src/sessions/readers/headgate.ts';
import {
  appendTurn,
  RECORD_BYTES_MAX,
  takenTurnIn,
} from '../../src/sessions/recording/recording.ts';
import type { Session } from '../../src/sessions/session.ts';

function turn(question: string, answer: string, more: Partial<NewTurn> = {}): NewTurn {
  return {
    question,
    contents: [
      { role: 'user', parts: [{ text: question }] },
      { role: 'model', parts: [{ text: answer }] },
    ],
    answer,
    model: 'gemini-2.5-pro',
    agentConfig: {
      id: 'amy',
      systemMessage: 'Be brief.',
      backend: { type: 'gemini', model: 'gemini-2.5-pro', temperature: 0.2 },
    },
    startedAtMs: 1_000,
    endedAtMs: 2_000,
    requestId: 'r-1',
    idempotencyKey: null,
    response: {
      candidates: [
        { content: { parts: [{ text: answer }], role: 'model' }, finishReason: 'STOP', index: 0 },
      ],
      usageMetadata: { totalTokenCount: 7 },
    },
    ...more,
  };
}

function recordIn(t: Test): string {
  return join(t.testdir({}), 'records', '.beside', 'abc');
}

function read(directory: string): Session {
  return headgateReader.read(openConfined(directory));
}

t.test('continued turns are appended under their numbers', async (t) => {
  const directory = recordIn(t);
  const continues = { path: '/logs/log_1', format: 'massgen' };
  appendTurn(directory, turn('q3', 'a3'), 3, { session: 'log_1', continues });
  appendTurn(directory, turn('q4', 'a4', { endedAtMs: 9_000 }), 4);
  t.ok(headgateReader.claims(openConfined(directory)));
  const session = read(directory);
  t.match(session, { format: 'headgate', sessionId: 'log_1', nextTurn: 5, updatedAtMs: 9_000 });
  t.match(session.turns, [
    { number: 3, question: 'q3', answer: 'a3', answered: true, winner: 'amy', directory: '.' },
    { number: 4, question: 'q4', answer: 'a4' },
  ]);
  t.strictSame(session.agents, [
    {
      id: 'amy',
      type: 'gemini',
      model: 'gemini-2.5-pro',
      systemMessage: 'Be brief.',
      backend: { type: 'gemini', model: 'gemini-2.5-pro', temperature: 0.2 },
    },
  ]);
  const [header, first, second] = readFileSync(join(directory, 'session.jsonl'), 'utf8').split(
    '\n',
  );
  t.match(JSON.parse(header ?? ''), { headgate: 1, session: 'log_1', continues });
  t.equal(first?.match(/a3/g)?.length, 1, 'the answer is said once');
  t.notMatch(second, /Be brief|temperature/, 'what has not changed is not said again');
});

t.test('a turn is found again by its idempotency key', async (t) => {
  const directory = recordIn(t);
  t.equal(takenTurnIn(directory, 'k'), null, 'no record');
  const parts = { question: '[inlineData]\nWhat is it?', idempotencyKey: 'k"1\n' };
  const taken = turn('What is it?', 'A cat.', parts);
  appendTurn(directory, turn('q', 'a', { idempotencyKey: 'k' }), 1);
  appendTurn(directory, taken, 2);
  t.strictSame(takenTurnIn(directory, 'k"1\n'), {
    number: 2,
    question: taken.question,
    contents: taken.contents,
    answer: 'A cat.',
    agent: 'amy',
    model: 'gemini-2.5-pro',
    response: taken.response,
  });
  t.match(takenTurnIn(directory, 'k'), { number: 1, question: 'q' });
  t.equal(takenTurnIn(directory, 'q'), null);
  t.equal(read(directory).turns[1]?.question, taken.question);
});

t.test('a record that is full takes no more', async (t) => {
  const directory = recordIn(t);
  appendTurn(directory, turn('q1', 'a1'), 1);
  const file = join(directory, 'session.jsonl');
  const length = readFileSync(file).length;
  truncateSync(file, RECORD_BYTES_MAX - 10);
  t.throws(() => appendTurn(directory, turn('q2', 'a2'), 2), {
    reason: 'TURN_NOT_WRITTEN',
    message: /abc is full/,
  });
  truncateSync(file, length);
  t.equal(read(directory).turns.length, 1);
});

t.test('nothing is written through a link', async (t) => {
  const root = t.testdir({ outside: { 'session.jsonl': '' }, records: {} });
  symlinkSync(join(root, 'outside'), join(root, 'records/a'));
  t.throws(() => appendTurn(join(root, 'records/a'), turn('q', 'a'), 1), {
    message: /cannot be written/,
  });
  mkdirSync(join(root, 'records/b'));
  symlinkSync(join(root, 'outside/session.jsonl'), join(root, 'records/b/session.jsonl'));
  t.throws(() => appendTurn(join(root, 'records/b'), turn('q', 'a'), 1), {
    reason: 'TURN_NOT_WRITTEN',
    message: /ELOOP/,
  });
  mkdirSync(join(root, 'records/c/session.jsonl'), { recursive: true });
  t.throws(() => appendTurn(join(root, 'records/c'), turn('q', 'a'), 1), {
    message: /cannot be written/,
  });
  t.equal(readFileSync(join(root, 'outside/session.jsonl'), 'utf8'), '');
});

t.test('a line that was cut by a crash hides no later turn', async (t) => {
  const directory = recordIn(t);
  appendTurn(directory, turn('q1', 'a1'), 1);
  const file = join(directory, 'session.jsonl');
  const before = readFileSync(file);
  appendTurn(directory, turn('q2', 'a2'), 2);
  const after = readFileSync(file);
  for (let length = before.length; length < after.length; length += 7) {
    writeFileSync(file, after.subarray(0, length));
    appendTurn(directory, turn('q3', 'a3'), 2);
    const { turns } = read(directory);
    t.strictSame(
      turns.map(({ question, answer }) => [question, answer]),
      [
        ['q1', 'a1'],
        ['q3', 'a3'],
      ],
      `cut at ${length}`,
    );
  }
});
