import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import t from 'tap';
import { openConfined } from '../../src/sessions/confined-directory.ts';
import { massgenReader } from '../../src/sessions/readers/massgen.ts';
import { parsePrompt } from '../../src/sessions/readers/massgen-snapshots.ts';
import type { Session, Turn } from '../../src/sessions/session.ts';
import { cleanText, decodeText } from '../../src/sessions/text.ts';

function readLog(path: string): Session {
  return massgenReader.read(openConfined(path));
}

/** A log directory from paths and contents. */
function writeLog(root: string, contents: Readonly<Record<string, string | Buffer>>): string {
  for (const [path, content] of Object.entries(contents)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), content);
  }
  return root;
}

function events(question: string | null, winner: string | null, endTime = 1_700_000_000): string {
  const metadata = {
    user_prompt: question,
    agent_ids: ['a', 'b'],
    start_time: 1,
    end_time: endTime,
    final_winner: winner,
  };
  return JSON.stringify({ session_metadata: metadata, events: [] });
}

function prompt(question: string): string {
  return JSON.stringify({
    user_message: `<ORIGINAL MESSAGE> ${question} <END OF ORIGINAL MESSAGE>\n\n<CURRENT ANSWERS from the agents>\n`,
  });
}

function onlyTurn(session: Session): Turn {
  const [turn] = session.turns;
  if (turn === undefined || session.turns.length !== 1) {
    throw new Error(`${session.turns.length} turns`);
  }
  return turn;
}

t.test(
  'the accepted attempt counts, not the rejected one and not the highest number',
  async (t) => {
    const log = writeLog(t.testdir(), {
      'attempt_1/coordination_events.json': events('Why?', 'a', 1000),
      'attempt_1/final/a/answer.txt': 'Rejected.',
      'attempt_2/coordination_events.json': events('Why?', 'a', 2000),
      'attempt_2/final/a/answer.txt': 'Accepted.',
      'attempt_3/execution_metadata.yaml': 'query: Something else\nworking_directory: /x\n',
    });
    const turn = onlyTurn(readLog(log));
    t.match(turn, { question: 'Why?', answer: 'Accepted.', answered: true, degraded: false });
  },
);

t.test('events cut behind their first object still tell the question', async (t) => {
  const text = events('Why "so" {?', 'a');
  const log = writeLog(t.testdir(), {
    'coordination_events.json': text.slice(0, text.indexOf('"events"') + 3),
    'final/a/answer.txt': 'Because.',
  });
  const session = readLog(log);
  t.match(onlyTurn(session), { question: 'Why "so" {?', answer: 'Because.', degraded: false });
  t.match(session.warnings, [{ file: 'coordination_events.json' }]);
});

t.test('a final answer that was given to another question is marked', async (t) => {
  const log = writeLog(t.testdir(), {
    'coordination_events.json': events('Why?', 'a'),
    'final/a/answer.txt': 'It was he.',
    'final/a/context.txt': JSON.stringify({
      messages: [
        {
          role: 'user',
          content: '<ORIGINAL MESSAGE> Who? <END OF ORIGINAL MESSAGE>\n\nVOTING RESULTS:',
        },
      ],
    }),
  });
  const session = readLog(log);
  t.match(onlyTurn(session), { question: 'Why?', answer: 'It was he.', degraded: true });
  t.match(session.warnings, [{ file: 'final/a/answer.txt' }]);
});

t.test('a metadata file written by a later run gives its question to nobody', async (t) => {
  const log = writeLog(t.testdir(), {
    'turn_1/execution_metadata.yaml':
      'query: Third?\ncli_args:\n  session_id: session_1\n  continue_session: true\nworking_directory: /x\n',
    'turn_1/final/a/answer.txt': 'First.',
  });
  t.match(onlyTurn(readLog(log)), { question: null, answer: 'First.' });
});

t.test('an empty final answer is replaced by the draft and says so', async (t) => {
  const log = writeLog(t.testdir(), {
    'status.json': JSON.stringify({ meta: { question: 'Why?' } }),
    'coordination_events.json': events('Why?', 'a'),
    'final/a/answer.txt': '',
    'a/20250101_000000_000001/answer.txt': 'Old draft of another question.',
    'a/20250101_000000_000001/context.txt': prompt('Who?'),
    'a/20250101_000000_000002/answer.txt': 'Draft.',
    'a/20250101_000000_000002/context.txt': prompt('Why?'),
  });
  t.match(onlyTurn(readLog(log)), {
    answer: 'Draft.',
    answered: true,
    degraded: true,
    winner: 'a',
  });
});

t.test('gaps keep their numbers and names that only look like turns are left alone', async (t) => {
  const turn = (n: number): Record<string, string> => ({
    [`turn_${n}/coordination_events.json`]: events(`Question ${n}?`, 'a'),
    [`turn_${n}/final/a/answer.txt`]: `Answer ${n}.`,
  });
  const log = writeLog(t.testdir(), {
    ...turn(1),
    ...turn(3),
    ...turn(10),
    'turn_x/final/a/answer.txt': 'no',
    'turn_2_backup/final/a/answer.txt': 'no',
  });
  const session = readLog(log);
  t.strictSame(
    session.turns.map(({ number, answer }) => [number, answer]),
    [
      [1, 'Answer 1.'],
      [3, 'Answer 3.'],
      [10, 'Answer 10.'],
    ],
  );
  t.equal(session.nextTurn, 11);
  t.match(
    session.warnings.map((one) => one.message),
    ['turn 2 is missing', 'turns 4 to 9 are missing'],
  );
});

t.test('fields of any type are survived', async (t) => {
  const odd = [null, 1, 'x', true, [], [1], {}, { a: null }];
  for (const value of odd) {
    const yaml = `query: 1\nconfig:\n  agents: ${JSON.stringify(value)}\ncli_args: ${JSON.stringify(value)}\nworking_directory: 1\n`;
    const log = writeLog(t.testdir(), {
      'coordination_events.json': JSON.stringify({
        session_metadata: {
          user_prompt: value,
          agent_ids: value,
          end_time: value,
          final_winner: value,
        },
        events: value,
      }),
      'status.json': JSON.stringify({ meta: value, agents: value, results: value }),
      'execution_metadata.yaml': yaml,
      'a/20250101_000000_000001/vote.json': JSON.stringify({
        vote_context: value,
        voted_for: value,
      }),
      'a/20250101_000000_000001/context.txt': JSON.stringify({
        user_message: value,
        messages: value,
      }),
    });
    t.doesNotThrow(() => readLog(log), JSON.stringify(value));
  }
});

t.test(
  'YAML with anchors, foreign tags and numbers as ids is plain values; a bomb is refused',
  async (t) => {
    const config = [
      'query: Why?',
      'config:',
      '  agents:',
      '  - id: 1',
      '    backend: &id001 {type: gemini, model: m, extra: !!python/tuple [1, 2]}',
      '  - backend: *id001',
      'cli_args: {mode: interactive, turn: 1, session_id: session_1}',
      'massgen_version: 0.1.8',
      'working_directory: /x',
    ].join('\n');
    const session = readLog(writeLog(t.testdir(), { 'execution_metadata.yaml': config }));
    t.match(session.agents, [
      { id: '1', type: 'gemini', model: 'm', backend: { extra: [1, 2] } },
      { id: 'agent2', type: 'gemini', model: 'm' },
    ]);
    t.match(session, {
      sessionId: 'session_1',
      toolVersion: '0.1.8',
      turns: [{ question: 'Why?', answered: false }],
    });

    const levels = Array.from(
      { length: 12 },
      (_, n) => `a${n + 1}: &a${n + 1} [${`*a${n},`.repeat(9)}]`,
    );
    const bomb = ['a0: &a0 [1]', ...levels, 'working_directory: /x'].join('\n');
    const refused = readLog(writeLog(t.testdir(), { 'execution_metadata.yaml': bomb }));
    t.strictSame(refused.agents, []);
    t.match(refused.warnings, [{ file: 'execution_metadata.yaml' }]);
  },
);

t.test('a prompt is split at its own delimiters, not at quoted ones', async (t) => {
  const text =
    '<CONVERSATION_HISTORY>\nUser: <ORIGINAL MESSAGE> old <END OF ORIGINAL MESSAGE>\n<END OF CONVERSATION_HISTORY>\n\n' +
    '<ORIGINAL MESSAGE> new\n\nline <END OF ORIGINAL MESSAGE>\n\n<CURRENT ANSWERS from the agents>\n' +
    '<agent1> <ORIGINAL MESSAGE> x <END OF ORIGINAL MESSAGE> <end of agent1>';
  t.equal(parsePrompt(text)?.question, 'new\n\nline');
  t.equal(parsePrompt('nothing of the kind'), null);
});

t.test('directories of other kinds are not claimed', async (t) => {
  const store = writeLog(t.testdir(), {
    'turn_1/metadata.json': '{}',
    'turn_1/answer.txt': 'x',
    'notes/a.txt': '',
  });
  t.notOk(massgenReader.claims(openConfined(store)));
});

t.test('text is UTF-8 where it can be and windows-1252 where it cannot', async (t) => {
  t.strictSame(decodeText(Buffer.from('\ufeffa\r\né')), { text: 'a\né', encoding: 'utf-8' });
  t.strictSame(decodeText(Buffer.from([0x52, 0xe9, 0x92])), {
    text: 'Ré’',
    encoding: 'windows-1252',
  });
  t.strictSame(decodeText(Buffer.from('é中').subarray(0, 4)), {
    text: 'é\ufffd',
    encoding: 'utf-8',
  });
  t.strictSame(decodeText(Buffer.from([0x61, 0xe9])), { text: 'aé', encoding: 'windows-1252' });
  t.equal(cleanText('a\ud83db😀'), 'a\ufffdb😀');
});
