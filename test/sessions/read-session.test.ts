import { existsSync, mkdirSync, readFileSync, realpathSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import t, { type Test } from 'tap';
import { ProxyError } from '../../src/errors.ts';
import { openConfined } from '../../src/sessions/confined-directory.ts';
import { readRegistry, readSession, sessionIdOf } from '../../src/sessions/read-session.ts';
import { appendRecord } from '../../src/sessions/recording/record-append.ts';
import type { Session, SessionLog } from '../../src/sessions/session.ts';
import { sampleAgent, sampleSession, sampleTurn } from '../support/session-samples.ts';
import { expectedLogs, LOGS, NO_LOGS } from '../support/recorded-logs.ts';

type Contents = Readonly<Record<string, string | Buffer>>;

function logAt(directory: string, more: Partial<SessionLog> = {}): SessionLog {
  return {
    name: basename(directory),
    root: dirname(directory),
    directory,
    file: null,
    format: 'massgen',
    store: null,
    beside: join(directory, '../beside'),
    ...more,
  };
}

t.test(
  'every recorded log with its session store is read as it was',
  { skip: NO_LOGS },
  async (t) => {
    const all = expectedLogs();
    const stores = all.filter(([, log]) => log.session_dir !== null);
    t.ok(stores.length >= 10, `${stores.length} have a session store`);
    const pairs = new Set(
      all.flatMap(([, { turns }]) => turns.map((turn) => `${turn.question}\n${turn.answer}`)),
    );
    for (const [path, expected] of all) {
      t.test(`${expected.entry} is read whole`, async (t) => {
        const store =
          expected.session_dir === null ? null : join(LOGS, expected.entry, expected.session_dir);
        const session = readSession(logAt(realpathSync(join(LOGS, path)), { store }));
        const { turns } = session;
        t.strictSame(
          turns.map((turn) => [
            turn.number,
            turn.question,
            turn.answer,
            turn.answered,
            turn.winner,
            turn.answerSource,
            turn.directory,
          ]),
          expected.turns.map((turn) => [
            turn.number,
            turn.question,
            turn.answer,
            turn.answered,
            turn.winner,
            turn.answer_source,
            turn.directory,
          ]),
          'the turns',
        );
        for (const turn of turns) {
          t.ok(pairs.has(`${turn.question}\n${turn.answer}`), 'no answer has another question');
        }
        t.strictSame(
          session.agents.map(({ id, model }) => [id, model]),
          (expected.agents ?? []).map(({ id, model }) => [id, model]),
          'the agents',
        );
        for (const id of session.agentIds) t.ok(expected.agent_ids.includes(id), id);
        t.ok(expected.next_turn_number_acceptable.includes(session.nextTurn), 'the next turn');
        t.equal(session.sessionId, expected.session_id, 'the session id');
        const inLog = expected.session_id_source?.startsWith('execution_metadata.yaml') === true;
        t.equal(
          sessionIdOf(openConfined(join(LOGS, path))),
          inLog ? expected.session_id : null,
          'the id without the store',
        );
        for (const { file } of session.warnings) t.ok(file, 'each warning names its file');
      });
    }
  },
);

t.test('the registries of recorded logs name their sessions', { skip: NO_LOGS }, async (t) => {
  let found = 0;
  for (const [path, { entry, session_id: id }] of expectedLogs()) {
    const file = join(LOGS, entry, 'home/.massgen/sessions.json');
    if (!existsSync(file)) continue;
    t.equal(readRegistry(readFileSync(file, 'utf8')).get(basename(path)), id);
    found++;
  }
  t.ok(found >= 3);
});

/** A log and its session store from paths and contents. */
function write(t: Test, log: Contents, store: Contents | null): SessionLog {
  const root = t.testdir({ log_1: {}, sessions: { session_1: {} } });
  const places: [string, Contents][] = [
    ['log_1', log],
    ['sessions/session_1', store ?? {}],
  ];
  for (const [place, contents] of places) {
    for (const [path, content] of Object.entries(contents)) {
      mkdirSync(dirname(join(root, place, path)), { recursive: true });
      writeFileSync(join(root, place, path), content);
    }
  }
  return logAt(join(root, 'log_1'), {
    store: store === null ? null : join(root, 'sessions/session_1'),
  });
}

function inLog(number: number, question: string | null, answer: string | Buffer | null): Contents {
  const metadata = { user_prompt: question, agent_ids: ['a'], final_winner: 'a', end_time: 1000 };
  return {
    [`turn_${number}/coordination_events.json`]: JSON.stringify({ session_metadata: metadata }),
    ...(answer === null ? {} : { [`turn_${number}/final/a/answer.txt`]: answer }),
  };
}

function inStore(
  number: number,
  question: string | null,
  answer: string | null,
  more = {},
): Contents {
  const metadata = { turn: number, winning_agent: 'a', task: question, session_id: 'session_1' };
  return {
    [`turn_${number}/metadata.json`]: JSON.stringify({ ...metadata, ...more }),
    ...(answer === null ? {} : { [`turn_${number}/answer.txt`]: answer }),
  };
}

function said(session: Session): unknown {
  return session.turns.map(({ number, question, answer }) => [number, question, answer]);
}

const PLACE = '../sessions/session_1';

t.test('an answer that the log lost comes from the store under the same question', async (t) => {
  const stored = inStore(1, 'Why?\n', 'Bécause.');
  for (const lost of [null, '', Buffer.from([0x42, 0xa8, 0xa6, 0x63]), 'Béc']) {
    const session = readSession(write(t, inLog(1, 'Why?', lost), stored));
    t.match(session.turns, [
      {
        question: 'Why?',
        answer: 'Bécause.',
        answered: true,
        winner: 'a',
        encoding: 'utf-8',
        answerSource: `${PLACE}/turn_1/answer.txt`,
        questionSource: 'turn_1/coordination_events.json',
        degraded: false,
        directory: 'turn_1',
      },
    ]);
    t.ok(session.warnings.some((one) => one.file === `${PLACE}/turn_1/answer.txt`));
    t.equal(session.sessionId, 'session_1');
  }
});

t.test('the store gives no answer to another question', async (t) => {
  const stored = { ...inStore(1, 'Who?', 'He.'), ...inStore(2, 'Why?', 'Because.') };
  const log = { ...inLog(1, 'Why?', null), ...inLog(2, 'Who?', '') };
  const session = readSession(write(t, log, stored));
  t.strictSame(said(session), [
    [1, 'Why?', null],
    [2, 'Who?', null],
  ]);
  t.match(
    session.warnings.filter((one) => one.message.includes('another question')),
    [{ file: `${PLACE}/turn_1/metadata.json` }, { file: `${PLACE}/turn_2/metadata.json` }],
  );
  t.notOk(session.turns.some((turn) => turn.answered));
});

t.test('a store that nobody can pair gives its answer to no question', async (t) => {
  const session = readSession(write(t, inLog(1, 'Why?', null), inStore(1, null, 'Because.')));
  t.strictSame(said(session), [[1, 'Why?', null]]);
});

t.test('the log wins where both are whole, and a difference is named', async (t) => {
  const differs = readSession(write(t, inLog(1, 'Why?', 'Yes.'), inStore(1, 'Why?', 'No.')));
  t.match(differs.turns, [{ answer: 'Yes.', degraded: true, answered: true }]);
  t.ok(differs.warnings.some((one) => one.file === `${PLACE}/turn_1/answer.txt`));

  const place = inStore(1, 'Why?', 'See /srv/sessions/session_1/turn_1/workspace/a.md');
  const moved = readSession(write(t, inLog(1, 'Why?', 'See /tmp/w1/a.md'), place));
  t.match(moved.turns, [{ answer: 'See /tmp/w1/a.md', degraded: false }]);

  const shorter = readSession(write(t, inLog(1, 'Why?', 'Because.'), inStore(1, 'Why?', 'Bec')));
  t.match(shorter.turns, [{ answer: 'Because.', degraded: false }]);

  const partial = inStore(1, 'Why?', '[PARTIAL ANSWER - x]\nPerhaps', { status: 'incomplete' });
  t.match(readSession(write(t, inLog(1, 'Why?', 'Because.'), partial)).turns, [
    { answer: 'Because.', answered: true, degraded: false },
  ]);
  t.match(readSession(write(t, inLog(1, 'Why?', null), partial)).turns, [
    { answer: 'Perhaps', answered: false, degraded: true },
  ]);
});

t.test('turns that only the store has are added in their places', async (t) => {
  const stored = {
    ...inStore(1, 'One?', '1.'),
    ...inStore(2, 'Two?', '2.', { models: { a: 'm' } }),
    ...inStore(5, 'Five?', '5.', { timestamp: '2026-05-01T10:00:00' }),
  };
  const session = readSession(
    write(t, { ...inLog(1, 'One?', '1.'), ...inLog(3, 'Three?', '3.') }, stored),
  );
  t.strictSame(said(session), [
    [1, 'One?', '1.'],
    [2, 'Two?', '2.'],
    [3, 'Three?', '3.'],
    [5, 'Five?', '5.'],
  ]);
  t.match(session.turns[1], {
    directory: '.',
    answerSource: `${PLACE}/turn_2/answer.txt`,
    questionSource: `${PLACE}/turn_2/metadata.json`,
  });
  t.match(
    session.warnings.filter((one) => one.message.includes('only here')).map((one) => one.file),
    [`${PLACE}/turn_2/answer.txt`, `${PLACE}/turn_5/answer.txt`],
  );
  t.equal(session.nextTurn, 6);
  t.equal(session.updatedAtMs, new Date(2026, 4, 1, 10).getTime());
  t.match(session.agents, [{ id: 'a', model: 'm' }], 'the log has none');
});

t.test('a question that the log lost comes from the store with its own answer', async (t) => {
  const session = readSession(write(t, inLog(1, null, 'Draft'), inStore(1, 'Why?', 'Because.')));
  t.strictSame(said(session), [[1, 'Why?', 'Because.']]);
  t.match(session.turns, [
    { directory: 'turn_1', questionSource: `${PLACE}/turn_1/metadata.json` },
  ]);
});

t.test('recorded turns come after the log and keep what was exchanged', async (t) => {
  const contents = [{ role: 'user' as const, parts: [{ text: 'Three?' }] }];
  const record = sampleSession({
    turns: [sampleTurn(1, { contents, answerSource: 'session.jsonl' }), sampleTurn(7)],
    sessionId: 'beside',
    agents: [sampleAgent('other')],
    updatedAtMs: 2000,
    warnings: [{ file: 'session.jsonl', message: 'is cut' }],
  });
  const log = sampleSession({ updatedAtMs: 1000, nextTurn: 4, warnings: [] });
  const session = appendRecord(log, record, '../beside');
  t.strictSame(said(session), [
    [1, 'Question 1?', 'Answer 1.'],
    [2, 'Question 2?', 'Answer 2.'],
    [4, 'Question 1?', 'Answer 1.'],
    [7, 'Question 7?', 'Answer 7.'],
  ]);
  t.strictSame(session.turns[2]?.contents, contents);
  t.match(session.turns[2], { answerSource: '../beside/session.jsonl', directory: '.' });
  t.match(session, { sessionId: null, nextTurn: 8, updatedAtMs: 2000, agents: [{ id: 'a' }] });
  t.strictSame(session.warnings, [{ file: '../beside/session.jsonl', message: 'is cut' }]);
});

t.test('what is wrong with the store is said, and the log is read all the same', async (t) => {
  const log = write(t, inLog(1, 'Why?', 'Because.'), { 'turn_1/metadata.json': '{' });
  const damaged = readSession(log);
  t.strictSame(said(damaged), [[1, 'Why?', 'Because.']]);
  t.ok(damaged.warnings.some((one) => one.file === `${PLACE}/turn_1/metadata.json`));
  const gone = readSession({ ...log, store: `${log.store}_gone` });
  t.strictSame(said(gone), [[1, 'Why?', 'Because.']]);
  t.ok(gone.warnings.some((one) => one.file === `${PLACE}_gone`));
});

t.test('a session store can be a log of its own, and one file a log among others', async (t) => {
  const root = t.testdir({
    session_1: { turn_1: { 'metadata.json': '{"task": "Why?"}', 'answer.txt': 'Because.' } },
    'mass_coordination_1.json':
      '{"metadata": {"status": "completed"}, "session": {"question": "Who?", "final_answer": "He."}}',
  });
  const store = join(root, 'session_1');
  const format = 'massgen-session-store';
  t.strictSame(said(readSession(logAt(store, { format, store }))), [[1, 'Why?', 'Because.']]);
  const file = logAt(root, { format: 'massgen-coordination', file: 'mass_coordination_1.json' });
  t.strictSame(said(readSession(file)), [[1, 'Who?', 'He.']]);
});

t.test(
  'a log that lost what it is known by is read by its format; no log at all is an error',
  async (t) => {
    const root = t.testdir({ log_1: {} });
    const empty = readSession(logAt(join(root, 'log_1')));
    t.notOk(empty.turns.some((turn) => turn.question !== null || turn.answer !== null));
    const unreadable = new ProxyError(
      'SESSION_UNREADABLE',
      'This is no session log of a known format. GET /sessions lists what can be read.',
      { where: 'log_1' },
    );
    t.throws(() => readSession(logAt(join(root, 'log_1'), { format: 'other' })), unreadable);
    const gone = new ProxyError('NOT_FOUND', 'There is no such session log directory.');
    t.throws(() => readSession(logAt(join(root, 'gone'))), gone);
  },
);

t.test('the session id of a first single question is in a line of its log file', async (t) => {
  const line = (id: string): string =>
    `10:00:00 | INFO     | 🚀 Starting\n10:00:00 | INFO     | 📝 Created session for single-question mode: ${id}\nmore\n`;
  const idOf = (contents: Contents): string | null => {
    const log = write(t, { ...inLog(1, 'Why?', 'Because.'), ...contents }, null);
    const id = sessionIdOf(openConfined(log.directory));
    t.equal(readSession(log).sessionId, id, 'the reader says the same');
    return id;
  };
  t.equal(idOf({ 'turn_1/massgen.log': line('session_1') }), 'session_1');
  t.equal(idOf({ 'turn_1/attempt_1/massgen.log': line('session_2') }), 'session_2');
  t.equal(idOf({ 'massgen.log': line('temp_20260501') }), null, 'one in memory only');
  t.equal(idOf({ 'massgen.log': `x ${line('session_1').slice(40)}` }), null);
  const metadata = 'cli_args: {session_id: session_9}\nworking_directory: /x\n';
  t.equal(
    idOf({ 'massgen.log': line('session_1'), 'turn_1/execution_metadata.yaml': metadata }),
    'session_9',
    'the metadata wins',
  );
});

t.test('of several entries in the registry the newest counts; damage makes it empty', async (t) => {
  const entry = (log: unknown, id: unknown, start: unknown): object => ({
    log_directory: log,
    session_id: id,
    start_time: start,
  });
  const sessions = [
    entry('log_1', 'session_new', '2026-05-02T10:00:00'),
    entry('log_1', 'session_old', '2026-05-01T10:00:00'),
    entry('log_2', 'session_2', null),
    entry('log_3', 3, null),
    entry(null, 'session_4', 1),
    null,
  ];
  t.strictSame(
    readRegistry(JSON.stringify({ sessions })),
    new Map([
      ['log_1', 'session_new'],
      ['log_2', 'session_2'],
    ]),
  );
  for (const text of ['', '{', '[]', 'null', '{"sessions": {}}', '{"sessions": 1}']) {
    t.strictSame(readRegistry(text), new Map());
  }
});
