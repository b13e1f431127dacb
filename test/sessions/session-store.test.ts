import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import t, { type Test } from 'tap';
import { openConfined } from '../../src/sessions/confined-directory.ts';
import { massgenReader } from '../../src/sessions/readers/massgen.ts';
import { readerFor } from '../../src/sessions/readers/readers.ts';
import { sessionStoreReader } from '../../src/sessions/readers/session-store.ts';
import type { ConfinedDirectory, Session } from '../../src/sessions/session.ts';

type Contents = Readonly<Record<string, string | Buffer>>;

/** A session store from paths and contents. */
function store(t: Test, contents: Contents, name = 'session_20260501_100000'): ConfinedDirectory {
  const root = join(t.testdir(), name);
  for (const [path, content] of Object.entries(contents)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), content);
  }
  return openConfined(root);
}

function read(t: Test, contents: Contents): Session {
  return sessionStoreReader.read(store(t, contents));
}

function metadata(turn: number, more: object = {}): string {
  return JSON.stringify({
    turn,
    timestamp: `2026-05-01T10:0${turn}:00.500000`,
    winning_agent: 'a',
    task: `Question ${turn}?`,
    session_id: 'session_20260501_100000',
    ...more,
  });
}

function turn(number: number, more: object = {}): Contents {
  return {
    [`turn_${number}/metadata.json`]: metadata(number, more),
    [`turn_${number}/answer.txt`]: `Answer ${number}.`,
  };
}

t.test('the turns of a session store are read with their winners and the time', async (t) => {
  const session = read(t, {
    ...turn(1),
    ...turn(2, { winning_agent: 'b' }),
    'SESSION_SUMMARY.txt': '',
  });
  t.strictSame(session, {
    format: 'massgen-session-store',
    sessionId: 'session_20260501_100000',
    turns: [1, 2].map((number) => ({
      number,
      question: `Question ${number}?`,
      answer: `Answer ${number}.`,
      answered: true,
      winner: number === 1 ? 'a' : 'b',
      questionSource: `turn_${number}/metadata.json`,
      answerSource: `turn_${number}/answer.txt`,
      encoding: 'utf-8',
      degraded: false,
      directory: `turn_${number}`,
    })),
    nextTurn: 3,
    agents: [],
    agentIds: ['a', 'b'],
    updatedAtMs: new Date(2026, 4, 1, 10, 2, 0, 500).getTime(),
    toolVersion: null,
    warnings: [],
  });
});

t.test('recorded models are those of the agents', async (t) => {
  const session = read(
    t,
    turn(1, { models: { a: 'gemini-2.5-pro', b: null }, winning_model: 'x' }),
  );
  t.strictSame(session.agents, [
    {
      id: 'a',
      type: null,
      model: 'gemini-2.5-pro',
      systemMessage: null,
      backend: { model: 'gemini-2.5-pro' },
    },
    { id: 'b', type: null, model: null, systemMessage: null, backend: {} },
  ]);
  t.strictSame(session.agentIds, ['a', 'b']);
});

t.test(
  'a cancelled turn keeps what was written of its answer, and is no answered turn',
  async (t) => {
    const header = `[PARTIAL ANSWER - cancelled]\n[Phase: coordinating]\n${'='.repeat(60)}\n\n`;
    const session = read(t, {
      ...turn(1),
      'turn_2/metadata.json': metadata(2, { status: 'incomplete', winning_agent: undefined }),
      'turn_2/answer.txt': `${header}Half\n=====\nof it`,
      'turn_3/metadata.json': '{',
      'turn_3/answer.txt': `${header}Half`,
    });
    t.match(session.turns, [
      { answered: true, degraded: false },
      {
        question: 'Question 2?',
        answer: 'Half\n=====\nof it',
        answered: false,
        degraded: true,
        winner: null,
      },
      { question: null, answer: 'Half', answered: false, degraded: true },
    ]);
    t.match(session.warnings, [{ file: 'turn_2/metadata.json' }, { file: 'turn_3/metadata.json' }]);
  },
);

t.test('a cancelled turn is known by its status alone', async (t) => {
  const session = read(t, turn(1, { status: 'incomplete' }));
  t.match(session.turns, [{ answer: 'Answer 1.', answered: false, degraded: true }]);
});

t.test('a gap, an empty question and missing files are named, and numbers are kept', async (t) => {
  const session = read(t, {
    ...turn(2, { task: '  ' }),
    ...turn(10),
    'turn_4/metadata.json': metadata(4),
    'turn_5/answer.txt': 'Orphan.',
    'turn_0/metadata.json': metadata(0),
    'turn_x/metadata.json': metadata(0),
  });
  t.strictSame(
    session.turns.map(({ number, question, answer, answered }) => [
      number,
      question,
      answer,
      answered,
    ]),
    [
      [2, null, 'Answer 2.', true],
      [4, 'Question 4?', null, false],
      [5, null, 'Orphan.', true],
      [10, 'Question 10?', 'Answer 10.', true],
    ],
  );
  t.equal(session.nextTurn, 11);
  t.strictSame(
    session.warnings.map(({ file, message }) => `${file}: ${message}`),
    [
      'turn_2/metadata.json: its question is empty',
      'turn_4/answer.txt: is missing',
      'turn_5/metadata.json: is missing, and the question with it',
      '.: turn 1 is missing',
      '.: turn 3 is missing',
      '.: turns 6 to 9 are missing',
    ],
  );
});

t.test('what is not UTF-8 or not of its type is survived', async (t) => {
  const session = read(t, {
    'turn_1/metadata.json': Buffer.from(metadata(1, { task: 'Où?' }), 'latin1'),
    'turn_1/answer.txt': Buffer.from('Là.', 'latin1'),
  });
  t.match(session.turns, [{ question: 'Où?', answer: 'Là.', encoding: 'windows-1252' }]);
  for (const odd of [null, 1, 'x', true, [], {}]) {
    const fields = {
      turn: odd,
      timestamp: odd,
      winning_agent: odd,
      task: odd,
      session_id: odd,
      models: odd,
    };
    const found = read(t, turn(1, { ...fields, status: odd }));
    t.match(found.turns, [{ number: 1, answer: 'Answer 1.' }]);
  }
  for (const text of ['', '[]', 'null', '{"task": "cut']) {
    const found = read(t, { 'turn_1/metadata.json': text, 'turn_1/answer.txt': '' });
    t.match(found.turns, [{ number: 1, question: null, answer: null, answered: false }]);
    t.match(found.warnings, [{ file: 'turn_1/metadata.json' }, { file: 'turn_1/answer.txt' }]);
    t.equal(found.sessionId, 'session_20260501_100000', 'the directory has the id too');
  }
});

t.test('a session store and a log directory are told apart by what is in them', async (t) => {
  const stores = [
    turn(1),
    { ...turn(1), 'turn_1/workspace/massgen.log': '', 'turn_1/workspace/status.json': '{}' },
    { 'turn_1/answer.txt': 'x', 'SESSION_SUMMARY.txt': '' },
    { ...turn(1), 'turn_1/workspaces/a/coordination_events.json': '{}' },
  ];
  for (const contents of stores) {
    const directory = store(t, contents);
    t.equal(readerFor(directory)?.format, 'massgen-session-store');
    t.notOk(massgenReader.claims(directory));
    t.notOk(sessionStoreReader.claims(directory, 'turn_1/metadata.json'), 'a file is no directory');
    t.equal(readerFor(directory, 'turn_1/metadata.json'), null);
  }
  const logs = [
    { 'turn_1/coordination_events.json': '{}', 'turn_1/final/a/answer.txt': 'x' },
    { 'turn_1/status.json': '{}', 'turn_1/metadata.json': '{}', 'turn_1/answer.txt': 'x' },
    { 'massgen.log': '' },
  ];
  for (const contents of logs) {
    const directory = store(t, contents, 'log_20260501_100000');
    t.equal(readerFor(directory)?.format, 'massgen');
    t.notOk(sessionStoreReader.claims(directory));
    t.notOk(massgenReader.claims(directory, 'massgen.log'), 'a file is no directory');
  }
  t.equal(readerFor(store(t, { 'turn_1/answer.txt': 'x' }, 'other')), null);
});
