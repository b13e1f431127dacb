import { join } from 'node:path';
import t, { type Test } from 'tap';
import { openConfined } from '../../src/sessions/confined-directory.ts';
import { geminiCliChatFiles, geminiCliReader } from '../../src/sessions/readers/gemini-cli.ts';
import type { Session } from '../../src/sessions/session.ts';

const FILE = 'chats/session-2026-05-01T10-00-abcdef01.jsonl';
const METADATA = {
  sessionId: 'abcdef01-0000',
  projectHash: 'f00d',
  startTime: '2026-05-01T10:00:00.000Z',
  lastUpdated: '2026-05-01T10:00:00.000Z',
};

function user(id: string, content: unknown, timestamp = '2026-05-01T10:01:00.000Z'): object {
  return { id, timestamp, type: 'user', content };
}

function gemini(id: string, content: unknown, more: object = {}): object {
  return {
    id,
    timestamp: '2026-05-01T10:02:00.000Z',
    type: 'gemini',
    content,
    model: 'g-1',
    ...more,
  };
}

function lines(...records: readonly (object | string)[]): string {
  return records
    .map(
      (r) => `${typeof r === 'string' ? r : JSON.stringify(r)}
`,
    )
    .join('');
}

function read(t: Test, text: string, file = FILE): Session {
  const name = file.replace('chats/', '');
  return geminiCliReader.read(openConfined(t.testdir({ chats: { [name]: text } })), file);
}

function said(session: Session): readonly (readonly [string | null, string | null])[] {
  return session.turns.map((turn) => [turn.question, turn.answer] as const);
}

t.test('a chat of lines is read with tools named and thoughts left out', async (t) => {
  const session = read(
    t,
    lines(
      METADATA,
      user('u0', [{ text: '<session_context>\nThis machine' }]),
      user('u1', [{ text: 'How many ' }, { text: 'files?' }]),
      { $set: { lastUpdated: '2026-05-01T10:05:00.000Z' } },
      gemini('m1', 'I look.'),
      gemini('m1', 'I look.', {
        thoughts: [{ subject: 'x' }],
        toolCalls: [{ id: 'c', name: 'list' }],
      }),
      user('u2', [{ functionResponse: { id: 'c', name: 'list', response: {} } }]),
      { id: 'i1', type: 'info', content: 'Update available' },
      gemini('m2', [{ text: 'secret plan', thought: true }, { text: 'Three.' }], { model: 'g-2' }),
      user('u3', 'And now?'),
    ),
  );
  t.strictSame(said(session), [
    ['How many files?', 'I look.\n\n[tool: list]\n\nThree.'],
    ['And now?', null],
  ]);
  t.match(session, {
    format: 'gemini-cli',
    sessionId: METADATA.sessionId,
    nextTurn: 3,
    agents: [{ id: 'gemini-cli', type: 'gemini', model: 'g-2' }],
    updatedAtMs: Date.parse('2026-05-01T10:05:00.000Z'),
    turns: [
      { number: 1, answered: true, degraded: false, winner: 'gemini-cli', answerSource: FILE },
      { number: 2, answered: false, degraded: false, winner: null, answerSource: null },
    ],
  });
  t.strictSame(session.warnings, []);
});

t.test('a chat of one JSON object reads like its lines', async (t) => {
  const messages = [user('1', 'Why?'), gemini('2', 'Because.')];
  const file = FILE.replace('.jsonl', '.json');
  const whole = read(t, JSON.stringify({ ...METADATA, messages }, null, 2), file);
  t.strictSame(said(whole), [['Why?', 'Because.']]);
  t.equal(whole.sessionId, METADATA.sessionId);
});

t.test('$set, $patch and $rewindTo change what came before', async (t) => {
  const start = [METADATA, user('a', 'one'), gemini('b', 'eins'), user('c', 'two')];
  const after = (...more: readonly object[]): unknown => said(read(t, lines(...start, ...more)));
  t.strictSame(after({ $rewindTo: 'c' }), [['one', 'eins']]);
  t.strictSame(after({ $rewindTo: 'unknown' }, user('d', 'anew')), [['anew', null]]);
  t.strictSame(
    after({ $set: { messages: [user('s', 'short')] } }, gemini('e', 'kurz')),
    [['short', 'kurz']],
    'later messages add to a new start',
  );
  t.strictSame(after({ $patch: { id: 'a', content: 'ONE' } }), [
    ['ONE', 'eins'],
    ['two', null],
  ]);
  t.strictSame(after({ $patch: { removeIds: ['a', 'b'] } }), [['two', null]]);
  t.strictSame(after({ $patch: { updates: [], orderIds: ['c', 'a', 'b'] } }), [
    ['two', null],
    ['one', 'eins'],
  ]);
});

t.test('an answer that ends in a tool call is degraded', async (t) => {
  const call = { toolCalls: [{ id: 'c', name: 'run' }] };
  const session = read(t, lines(METADATA, user('a', 'go'), gemini('b', 'Running.', call)));
  t.match(session.turns, [{ answer: 'Running.\n\n[tool: run]', answered: false, degraded: true }]);
  const parts = [{ functionCall: { name: 'run', args: {} } }];
  t.strictSame(said(read(t, lines(METADATA, user('a', 'go'), gemini('b', parts)))), [
    ['go', '[tool: run]'],
  ]);
});

t.test('what is broken is left out with a warning and the rest is read', async (t) => {
  const session = read(
    t,
    lines(
      METADATA,
      '{"id": broken',
      'null',
      '[]',
      { strange: true },
      { id: 'x' },
      { id: 'y', type: 'oracle', content: 'hm' },
      { $set: { messages: 'none' } },
      { $patch: { updates: [null, 7, { id: 'gone' }], removeIds: 3 } },
      user('a', { text: 'still here' }),
      gemini('b', [null, 5, 'yes', { text: 6 }], { toolCalls: [null, { name: 1 }] }),
      '{"id":"c","type":"us',
    ).trimEnd(),
  );
  t.strictSame(said(session), [['still here', 'yes']]);
  t.strictSame(session.warnings.map((warning) => warning.message).sort(), [
    '1 line(s) are no JSON',
    'a line is no JSON object',
    'a line is of an unknown kind',
    'a message has no type',
    'messages of unknown type "oracle" are left out',
    'the last line is half-written',
  ]);
  for (const text of ['', '\0', '{', '[]', '7', 'null', '{"messages":[1,{}]}', '"'.repeat(99)]) {
    t.strictSame(read(t, text).turns, [], JSON.stringify(text));
  }
});

t.test('a file that cannot be read gives an empty session with the reason', async (t) => {
  const directory = openConfined(t.testdir({ chats: {} }));
  for (const file of ['chats/none.jsonl', '../x.jsonl', undefined]) {
    const session = geminiCliReader.read(directory, file);
    t.strictSame(session.turns, []);
    t.equal(session.warnings.length, 1);
    t.equal(geminiCliReader.claims(directory, file), false);
  }
});

t.test('chats are claimed by content and listed once', async (t) => {
  const directory = openConfined(
    t.testdir({
      chats: {
        'session-1.json': JSON.stringify({ ...METADATA, messages: [] }),
        'session-2.json': '{}',
        'session-2.jsonl': lines(METADATA),
        'session-3.jsonl': '{"type":"other"}\n',
        'session-4.txt': lines(METADATA),
        'notes.jsonl': '',
        parent: { 'child.jsonl': lines(METADATA) },
      },
    }),
  );
  const files = geminiCliChatFiles(directory);
  t.strictSame(
    files,
    ['1.json', '2.jsonl', '3.jsonl'].map((name) => join('chats', `session-${name}`)),
  );
  const claimed = files.map((file) => geminiCliReader.claims(directory, file));
  t.strictSame(claimed, [true, true, false]);
  t.equal(geminiCliReader.claims(directory, 'chats/session-4.txt'), false);
  t.equal(geminiCliReader.claims(directory, 'chats/parent/child.jsonl'), true);
  t.equal(geminiCliReader.claims(directory), false);
});
