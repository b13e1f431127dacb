import { mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { openConfined } from '../../src/sessions/confined-directory.ts';
import {
  normaliseContents,
  prefixHashes,
  readContents,
} from '../../src/sessions/recording/contents.ts';
import { historyOf } from '../../src/sessions/continuation/history.ts';
import { headgateReader } from '../../src/sessions/readers/headgate.ts';
import { readerFor } from '../../src/sessions/readers/readers.ts';
import type { GeminiContent, Session } from '../../src/sessions/session.ts';

const HEADER = JSON.stringify({ headgate: 1, session: 'chat', created_at_ms: 1 });

const user = (text: string): GeminiContent => ({ role: 'user', parts: [{ text }] });
const model = (text: string): GeminiContent => ({ role: 'model', parts: [{ text }] });

/** A line as the recorder writes it, after `before`. */
function line(
  before: readonly GeminiContent[],
  contents: readonly object[],
  answer: readonly object[],
  more: object = {},
): string {
  const prefix = prefixHashes(normaliseContents(before)).at(-1);
  const added = normaliseContents(readContents([...contents, ...answer]));
  return JSON.stringify({
    at_ms: 10,
    ended_at_ms: 20,
    request_id: 'r',
    agent: 'amy',
    model: 'm',
    keep: normaliseContents(before).length,
    ...(prefix === undefined ? {} : { prefix }),
    hash: prefixHashes(added, prefix ?? '').at(-1),
    contents,
    answer,
    response: {},
    ...more,
  });
}

/** Five turns, each line after the one before. */
const CHAT = [1, 2, 3, 4, 5].flatMap((turn) => [user(`q${turn}`), model(`a${turn}`)]);
const LINES = [0, 2, 4, 6, 8].map((at) =>
  line(CHAT.slice(0, at), CHAT.slice(at, at + 1), CHAT.slice(at + 1, at + 2)),
);
const TEXT = `${[HEADER, ...LINES].join('\n')}\n`;

function read(t: Test, text: string | Buffer): Session {
  const directory = t.testdir({});
  writeFileSync(join(directory, 'session.jsonl'), text);
  return headgateReader.read(openConfined(directory));
}

function said(session: Session): readonly (readonly (string | number | null)[])[] {
  return session.turns.map(({ number, question, answer }) => [number, question, answer]);
}

t.test('a record is claimed by its first line, also where that is damaged', async (t) => {
  const directory = t.testdir({});
  const confined = openConfined(directory);
  const claims = (text: string): boolean => {
    writeFileSync(join(directory, 'session.jsonl'), text);
    return readerFor(confined) === headgateReader;
  };
  t.ok(claims(TEXT));
  t.ok(claims(`${HEADER.slice(0, 14)}\n${LINES[0]}\n`), 'a cut header');
  t.ok(claims(`${LINES[0]}\n`), 'no header');
  t.notOk(claims(''));
  t.notOk(claims('{"sessionId":"x","projectHash":"y"}\n'));
  t.notOk(claims('text'));
  t.notOk(headgateReader.claims(confined, 'session.jsonl'), 'a log that is one file');
  rmSync(join(directory, 'session.jsonl'));
  t.notOk(headgateReader.claims(confined));
});

t.test('a whole record is read without a warning', async (t) => {
  const session = read(t, TEXT);
  t.strictSame(
    said(session),
    [1, 2, 3, 4, 5].map((turn) => [turn, `q${turn}`, `a${turn}`]),
  );
  t.match(session, {
    format: 'headgate',
    sessionId: 'chat',
    nextTurn: 6,
    agentIds: ['amy'],
    updatedAtMs: 20,
    warnings: [],
  });
  t.match(session.turns[1], {
    winner: 'amy',
    answered: true,
    questionSource: 'session.jsonl',
    answerSource: 'session.jsonl',
    encoding: 'utf-8',
    contents: [user('q2'), model('a2')],
  });
  t.strictSame(historyOf(session).contents, CHAT);
});

t.test('a broken line in the middle takes its own turn with it and no other', async (t) => {
  const broken = TEXT.replace(LINES[2] ?? '', (LINES[2] ?? '').slice(0, -9));
  const session = read(t, broken);
  t.strictSame(said(session), [
    [1, 'q1', 'a1'],
    [2, 'q2', 'a2'],
    [4, 'q4', 'a4'],
    [5, 'q5', 'a5'],
  ]);
  t.strictSame(
    session.warnings.map(({ file, message }) => `${file} ${message}`),
    [
      'session.jsonl session.jsonl:4 is cut short or damaged; it is left out',
      'session.jsonl session.jsonl:5 builds on contents that are lost',
    ],
  );
});

t.test('after a broken rewind nothing is taken for what it replaced', async (t) => {
  const rewound = [user('s'), model('ok'), user('x'), model('y')];
  const text = [
    HEADER,
    ...LINES.slice(0, 2),
    line([], rewound.slice(0, 3), rewound.slice(3)).slice(5),
    line(rewound, [user('q')], [model('a')]),
    '',
  ].join('\n');
  const session = read(t, text);
  t.strictSame(said(session), [[2, 'q', 'a']]);
  t.match(session.warnings, [
    { message: /:4 is cut/ },
    { message: /:5 builds on contents that are lost/ },
  ]);
});

t.test('results of a function whose question is lost are not given to another', async (t) => {
  const call = { role: 'model', parts: [{ functionCall: { name: 'f', args: {} } }] };
  const result = { role: 'user', parts: [{ functionResponse: { name: 'f', response: {} } }] };
  const before = [...CHAT.slice(0, 2), user('lost?'), ...readContents([call])];
  const text = [HEADER, LINES[0], '{"keep', line(before, [result], [model('42')]), ''].join('\n');
  const session = read(t, text);
  t.strictSame(said(session), [
    [1, 'q1', 'a1'],
    [3, null, '42'],
  ]);
  t.strictSame(historyOf(session).contents, CHAT.slice(0, 2));
});

t.test('cut or flipped anywhere, no answer gets another question', async (t) => {
  const bytes = Buffer.from(TEXT);
  const pairs = new Set(
    CHAT.filter(({ role }) => role === 'user').map(({ parts }) => parts[0]?.['text']),
  );
  const check = (damaged: Buffer, name: string): void => {
    for (const { question, answer } of read(t, damaged).turns) {
      if (question === null || answer === null || !pairs.has(question)) continue;
      if (/^a\d$/.test(answer) && answer.slice(1) !== question.slice(1)) {
        t.fail(`${name}: ${question} has ${answer}`);
      }
    }
  };
  for (let at = 0; at < bytes.length; at += 3) {
    check(bytes.subarray(0, at), `cut at ${at}`);
    const flipped = Buffer.from(bytes);
    flipped[at] = (flipped[at] ?? 0) ^ (1 << (at % 8));
    check(flipped, `flipped at ${at}`);
  }
  t.pass('none did');
});

t.test('what is on the disk never makes it fail', async (t) => {
  const deep = `${'['.repeat(50_000)}${']'.repeat(50_000)}`;
  for (const text of [
    '',
    '\n\n',
    'null',
    '[]',
    '{"headgate":2}',
    '{"headgate":1,"session":7}',
    '{"keep":1e9,"contents":[],"answer":[]}',
    '{"keep":-1,"contents":[],"answer":[]}',
    '{"keep":3,"contents":[],"answer":[]}',
    '{"keep":0,"contents":[null,{"parts":7}],"answer":[]}',
    '{"keep":0,"contents":[{"parts":[{"text":7}]}],"answer":[{"role":"model","parts":[{"x":1}]}]}',
    `{"keep":0,"contents":[{"parts":[{"x":${deep}}]}],"answer":[]}`,
    `{"keep":0,"contents":[],"answer":[],"tools":${deep}}`,
    Buffer.from([0xff, 0xfe, 0, 0x0a, 0x80]),
  ]) {
    t.type(read(t, text).turns, Array, String(text).slice(0, 60));
  }
  t.match(read(t, '{"headgate":2}').warnings, [{ message: /:1 was written by a newer headgate/ }]);
  const directory = t.testdir({ outside: TEXT, empty: {}, linked: {}, folder: {} });
  symlinkSync('../outside', join(directory, 'linked/session.jsonl'));
  mkdirSync(join(directory, 'folder/session.jsonl'));
  for (const name of ['empty', 'linked', 'folder']) {
    const confined = openConfined(join(directory, name));
    t.notOk(headgateReader.claims(confined), name);
    t.match(headgateReader.read(confined), { turns: [], warnings: [{ file: 'session.jsonl' }] });
  }
});

t.test('a question without text is named by what it is', async (t) => {
  const image = { role: 'user', parts: [{ inlineData: { mimeType: 'image/png', data: 'AA==' } }] };
  const session = read(t, `${HEADER}\n${line([], [image], [model('A cat.')])}\n`);
  t.match(session.turns, [{ question: '[inlineData]', answer: 'A cat.', answered: true }]);
});
