import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { openConfined } from '../../src/sessions/confined-directory.ts';
import { coordinationReader } from '../../src/sessions/readers/coordination.ts';
import { logFilesIn, readerFor } from '../../src/sessions/readers/readers.ts';
import type { Session } from '../../src/sessions/session.ts';

const LOGS = join(import.meta.dirname, '../../../shared/massgen-logs/real-pre-0.0.13');
const NO_LOGS = existsSync(LOGS) ? false : 'the recorded logs are not beside this checkout';
const FILE = 'mass_coordination_20250802_120000.json';

interface Parts {
  readonly status?: string;
  readonly question?: unknown;
  readonly answer?: unknown;
  readonly agents?: readonly string[];
  readonly outputs?: object;
  readonly aggregated?: object;
  readonly events?: readonly object[];
}

function record(parts: Parts): string {
  return JSON.stringify(
    {
      metadata: {
        start_time: '2025-08-02T12:00:00.100000',
        status: parts.status ?? 'completed',
        logger_version: '1.0',
        end_time: '2025-08-02T12:01:00.250000',
      },
      session: {
        question: parts.question ?? 'Why?',
        agent_ids: parts.agents ?? ['a', 'b'],
        final_answer: parts.answer ?? '',
      },
      agent_outputs: parts.outputs ?? {},
      orchestrator_events: parts.events ?? [],
      aggregated_responses: parts.aggregated ?? {},
      workflow_analysis: { total_chunks: 1 },
    },
    null,
    2,
  );
}

function read(t: Test, text: string, outputs: Record<string, string> = {}): Session {
  return coordinationReader.read(
    openConfined(t.testdir({ [FILE]: text, agent_outputs: outputs })),
    FILE,
  );
}

const SELECTED = [{ event: '🎯 FINAL: b selected (b: 2 votes) → [buffering...]' }];

t.test('the recorded answer counts, without the line that announces the presenter', async (t) => {
  const answer = '🎤  [b] presenting final answer**Because.**';
  const session = read(t, record({ answer, events: SELECTED }));
  t.strictSame(session, {
    format: 'massgen-coordination',
    sessionId: null,
    turns: [
      {
        number: 1,
        question: 'Why?',
        answer: '**Because.**',
        answered: true,
        winner: 'b',
        questionSource: FILE,
        answerSource: FILE,
        encoding: 'utf-8',
        degraded: false,
        directory: '.',
      },
    ],
    nextTurn: 2,
    agents: [],
    agentIds: ['a', 'b'],
    updatedAtMs: new Date(2025, 7, 2, 12, 1, 0, 250).getTime(),
    toolVersion: null,
    warnings: [],
  });
});

t.test("without it the winner's presentation counts, not that of another agent", async (t) => {
  const aggregated = {
    a: { presentation: 'Not I.', other_content: '' },
    b: { presentation: '', other_content: 'votes\n🎤  [b] presenting final answerBecause.' },
  };
  const [turn] = read(t, record({ aggregated, events: SELECTED })).turns;
  t.match(turn, { answer: 'Because.', answered: true, degraded: false, winner: 'b' });
  const [unknown] = read(t, record({ aggregated })).turns;
  t.match(unknown, { answer: null, answered: false, winner: null });
});

t.test('the coordinated answer counts when the line that closes it is there', async (t) => {
  const shown = '## 🎯 Final Coordinated Answer\n🏆 Selected Agent: b\nBecause.\n---\nTruly.';
  const whole = { orchestrator: { other_content: `${shown}\n\n---\n*Coordinated by 2 agents*` } };
  const session = read(t, record({ aggregated: whole }));
  t.match(session.turns, [
    { answer: 'Because.\n---\nTruly.', answered: true, degraded: true, winner: 'b' },
  ]);
  t.match(session.warnings, [{ file: FILE }]);
  const open = { orchestrator: { other_content: shown } };
  t.match(read(t, record({ aggregated: open })).turns, [
    { answer: null, answered: false, winner: 'b' },
  ]);
});

t.test('a failed run offers the whole draft of its winner, which answers nothing', async (t) => {
  const outputs = {
    b: [
      { type: 'thinking', content: '💡 Providing answer: "Because "so".\nTruly."' },
      { type: 'thinking', content: '💡 Providing answer: 1' },
    ],
  };
  const parts = { status: 'failed', agents: ['b'], question: 'Why? (with 1 previous exchanges)' };
  const session = read(t, record({ ...parts, outputs }));
  t.match(session.turns, [
    { question: 'Why?', answer: 'Because "so".\nTruly.', answered: false, degraded: true },
  ]);
  t.match(session.warnings, [{ message: /1 earlier/ }, { message: /failed/ }]);
  const cut = { b: [{ type: 'thinking', content: '💡 Providing answer: "Because..."' }] };
  t.match(read(t, record({ ...parts, outputs: cut })).turns, [{ answer: null, answered: false }]);
});

t.test('a stream beside the log counts when both ended in the same second', async (t) => {
  const stream = (end: string): Record<string, string> => ({
    'a.txt':
      `=== A OUTPUT LOG ===\n\n[12:00:10] [THINKING] 💡 Providing answer: "Because."\n\n` +
      `[12:00:11] [THINKING] [a] ✅ Answer provided\n\n=== SESSION ENDED at ${end} ===\n`,
  });
  const text = record({ agents: ['a'] });
  t.match(read(t, text, stream('2025-08-02 12:01:00')), {
    turns: [
      { answer: 'Because.', answered: false, degraded: true, answerSource: 'agent_outputs/a.txt' },
    ],
    warnings: [{ file: 'agent_outputs/a.txt' }, { file: FILE }],
  });
  t.match(read(t, text, stream('2025-08-02 12:03:00')).turns, [{ answer: null }]);
});

t.test('a file that was cut anywhere tells what is whole and never half a text', async (t) => {
  const text = record({ answer: 'Because.', question: 'Why "so" {?', events: SELECTED });
  let told = 0;
  for (let length = 0; length < text.length; length += 3) {
    const session = read(t, text.slice(0, length));
    told += session.turns.length;
    for (const turn of session.turns) {
      t.match(turn, { question: 'Why "so" {?', answer: 'Because.', answered: true });
    }
    t.match(session.warnings, [{ file: FILE }]);
  }
  t.ok(told > text.length / 9, 'what follows the answer may be missing');
});

t.test('fields of any type, other encodings and absent files are survived', async (t) => {
  for (const odd of [null, 1, 'x', true, [], [1], {}]) {
    const text = `{"metadata": ${JSON.stringify(odd)}, "session": ${JSON.stringify({ question: odd, agent_ids: odd, final_answer: odd })},
      "agent_outputs": ${JSON.stringify(odd)}, "orchestrator_events": ${JSON.stringify([odd])}, "aggregated_responses": {"orchestrator": ${JSON.stringify(odd)}}}`;
    t.doesNotThrow(() => read(t, text), JSON.stringify(odd));
  }
  const latin = Buffer.from(record({ question: 'Où?', answer: 'Là.' }), 'latin1');
  const directory = openConfined(t.testdir({ [FILE]: latin }));
  t.match(coordinationReader.read(directory, FILE).turns, [
    { question: 'Où?', answer: 'Là.', encoding: 'windows-1252' },
  ]);
  const absent = coordinationReader.read(directory, 'mass_coordination_1.json');
  t.match(absent, { turns: [], nextTurn: 1, warnings: [{ file: 'mass_coordination_1.json' }] });
  t.match(coordinationReader.read(directory, '../../etc/passwd').turns, []);
});

t.test('only files that look like it are claimed, and only as files', async (t) => {
  const directory = openConfined(
    t.testdir({ [FILE]: record({}), 'mass_coordination_9.json': '{}', 'other.json': record({}) }),
  );
  t.ok(coordinationReader.claims(directory, FILE));
  t.notOk(coordinationReader.claims(directory, 'mass_coordination_9.json'));
  t.notOk(coordinationReader.claims(directory, 'other.json'));
  t.notOk(coordinationReader.claims(directory));
  t.equal(readerFor(directory), null);
  t.strictSame(logFilesIn(directory), [FILE, 'mass_coordination_9.json']);
});

t.test('real logs are read: completed, failed and in progress', { skip: NO_LOGS }, async (t) => {
  const directory = openConfined(LOGS);
  const files = logFilesIn(directory);
  t.equal(files.length, 13);
  for (const file of files) {
    const recorded: { metadata: { status: string }; session: { question: string } } = JSON.parse(
      readFileSync(join(LOGS, file), 'utf8'),
    );
    const reader = readerFor(directory, file);
    t.equal(reader?.format, 'massgen-coordination');
    const session = coordinationReader.read(directory, file);
    const completed = recorded.metadata.status === 'completed';
    t.match(session.turns, [{ number: 1, answered: completed, questionSource: file }], file);
    const [turn] = session.turns;
    t.equal(turn?.question, recorded.session.question.replace(' (with 1 previous exchanges)', ''));
    t.equal(turn?.answer !== null, recorded.metadata.status !== 'in_progress');
    t.notMatch(turn?.answer ?? '', /🎤|Coordinated by|Vote recorded|Providing answer/u);
    if (completed) t.match(turn?.answer, /[.!]$/u);
  }
});
