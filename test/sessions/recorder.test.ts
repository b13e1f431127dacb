import { appendFileSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { openConfined } from '../../src/sessions/confined-directory.ts';
import { headgateReader } from '../../src/sessions/readers/headgate.ts';
import { type RecordedExchange, Recorder } from '../../src/sessions/recording/recorder.ts';
import { appendTurn } from '../../src/sessions/recording/recording.ts';
import type { GeminiContent, Session } from '../../src/sessions/session.ts';

const AT_MS = Date.UTC(2026, 4, 1, 10);
const CONFIG = { generationConfig: { temperature: 0.3 } };

const user = (text: string): GeminiContent => ({ role: 'user', parts: [{ text }] });
const model = (text: string): GeminiContent => ({ role: 'model', parts: [{ text }] });

function answerOf(...parts: readonly object[]): string {
  return JSON.stringify({
    candidates: [{ content: { role: 'model', parts }, finishReason: 'STOP' }],
    usageMetadata: { totalTokenCount: 9 },
  });
}

function exchange(
  contents: readonly object[],
  answer: string,
  more: Partial<RecordedExchange> & { body?: object } = {},
): RecordedExchange {
  const { body = {}, ...rest } = more;
  return {
    name: 'chat',
    agent: 'amy',
    requestId: 'r-1',
    model: 'gemini-2.5-flash',
    startedAtMs: AT_MS,
    endedAtMs: AT_MS + 500,
    request: Buffer.from(JSON.stringify({ contents, ...body })),
    answer: Buffer.from(answer.startsWith('{') ? answer : answerOf({ text: answer })),
    contentType: 'application/json',
    contentEncoding: null,
    ...rest,
  };
}

function recorderIn(t: Test): { recorder: Recorder; directory: string } {
  const directory = join(t.testdir({}), 'records');
  return { recorder: new Recorder({ directory: () => directory }), directory };
}

function read(directory: string, name = 'chat'): Session {
  return headgateReader.read(openConfined(join(directory, name)));
}

function said(directory: string, name = 'chat'): readonly (readonly (string | null)[])[] {
  return read(directory, name).turns.map(({ question, answer }) => [question, answer]);
}

function fileOf(directory: string, name = 'chat'): string {
  return join(directory, name, 'session.jsonl');
}

t.test('a chat that sends its history each time is recorded once', async (t) => {
  const { recorder, directory } = recorderIn(t);
  const history: GeminiContent[] = [];
  for (let turn = 1; turn <= 5; turn += 1) {
    const [question, answer] = [`question ${turn} `.repeat(50), `answer ${turn} `.repeat(50)];
    history.push(user(question));
    recorder.record(exchange(history, answer, { body: CONFIG }));
    // As @google/genai keeps a streamed answer: a content for each chunk, the last one empty.
    history.push(model(answer.slice(0, 20)), model(answer.slice(20)), model(''));
  }
  const text = readFileSync(fileOf(directory), 'utf8');
  t.equal(text.trimEnd().split('\n').length, 6, 'a header and five lines');
  t.equal(text.match(/question 1 question 1/g)?.length, 25, 'nothing is said twice');
  t.equal(text.match(/"generation_config"/g)?.length, 1, 'settings only where they change');
  t.ok(text.length < 5 * 1_600, `${text.length} bytes`);
  const { turns, warnings } = read(directory);
  t.equal(turns.length, 5);
  t.equal(turns[4]?.question, 'question 5 '.repeat(50));
  t.equal(turns[4]?.answer, 'answer 5 '.repeat(50));
  t.strictSame(warnings, []);
});

t.test('records are for their owner only', async (t) => {
  const { recorder, directory } = recorderIn(t);
  recorder.record(exchange([user('q')], 'a'));
  t.equal(statSync(directory).mode & 0o777, 0o700);
  t.equal(statSync(join(directory, 'chat')).mode & 0o777, 0o700);
  t.equal(statSync(fileOf(directory)).mode & 0o777, 0o600);
});

t.test('another recorder goes on where the file ends', async (t) => {
  const { recorder, directory } = recorderIn(t);
  const other = new Recorder({ directory: () => directory });
  recorder.record(exchange([user('q1')], 'a1'));
  other.record(exchange([user('q1'), model('a1'), user('q2')], 'a2'));
  recorder.record(exchange([user('q1'), model('a1'), user('q2'), model('a2'), user('q3')], 'a3'));
  t.strictSame(said(directory), [
    ['q1', 'a1'],
    ['q2', 'a2'],
    ['q3', 'a3'],
  ]);
  t.notMatch(readFileSync(fileOf(directory), 'utf8').split('\n')[3], /q1|q2|a2/);
});

t.test('a rewind, a retry and a compaction replace what they leave out', async (t) => {
  const { recorder, directory } = recorderIn(t);
  const start = [user('q1'), model('a1'), user('q2')];
  recorder.record(exchange([user('q1')], 'a1'));
  recorder.record(exchange(start, 'a2'));
  recorder.record(exchange(start, 'a2 again'));
  t.strictSame(said(directory)[1], ['q2', 'a2 again']);
  recorder.record(exchange([user('q1'), model('a1'), user('edited')], 'a2 edited'));
  t.strictSame(said(directory), [
    ['q1', 'a1'],
    ['edited', 'a2 edited'],
  ]);
  recorder.record(exchange([user('so far'), model('I see'), user('q3')], 'a3'));
  t.strictSame(said(directory), [
    ['so far', 'I see'],
    ['q3', 'a3'],
  ]);
});

t.test('a client that sends no history has its turns in a row', async (t) => {
  const { recorder, directory } = recorderIn(t);
  for (const turn of ['1', '2', '3']) recorder.record(exchange([user(`q${turn}`)], `a${turn}`));
  const other = new Recorder({ directory: () => directory });
  other.record(exchange([user('q1')], 'a4'));
  other.record(exchange([user('q1')], 'a4 again'));
  t.strictSame(said(directory), [
    ['q1', 'a1'],
    ['q2', 'a2'],
    ['q3', 'a3'],
    ['q1', 'a4 again'],
  ]);
});

t.test('function calls and their results belong to the question before them', async (t) => {
  const { recorder, directory } = recorderIn(t);
  const call = { functionCall: { name: 'weather', args: { city: 'Rome' } }, thoughtSignature: 's' };
  const result = {
    role: 'user',
    parts: [{ functionResponse: { name: 'weather', response: { c: 31 } } }],
  };
  const tools = { tools: [{ functionDeclarations: [{ name: 'weather' }] }] };
  recorder.record(exchange([user('How warm?')], answerOf(call), { body: tools }));
  t.match(read(directory).turns, [{ question: 'How warm?', answer: null, answered: false }]);
  const asked = [user('How warm?'), { role: 'model', parts: [call] }];
  recorder.record(exchange([...asked, result], '31 degrees', { body: tools }));
  recorder.record(
    exchange([...asked, result, model('31 degrees'), user('Thanks')], 'Bye', { body: tools }),
  );
  const { turns, agents } = read(directory);
  t.match(turns, [
    { number: 1, question: 'How warm?', answer: '31 degrees', answered: true, winner: 'amy' },
    { number: 2, question: 'Thanks', answer: 'Bye' },
  ]);
  t.strictSame(turns[0]?.contents, [...asked, result, model('31 degrees')]);
  t.strictSame(agents[0]?.backend['tools'], tools.tools);
});

t.test('conversations without a name are told apart by their history', async (t) => {
  const { recorder, directory } = recorderIn(t);
  const nameless = { name: null, agent: 'genai/1.0@ab/..' };
  recorder.record(exchange([user('hi')], 'Hello.', nameless));
  recorder.record(exchange([user('hi')], 'Good day.', nameless));
  recorder.record(exchange([user('hi'), model('Hello.'), user('x')], 'X', nameless));
  recorder.record(exchange([user('hi'), model('Good day.'), user('y')], 'Y', nameless));
  recorder.record(
    exchange([user('hi'), model('Hello.'), user('x')], 'bob', { name: null, agent: 'bob' }),
  );
  const names = readdirSync(directory);
  t.strictSame(names, [
    'bob-20260501T100000-1',
    'genai_1.0@ab_..-20260501T100000-1',
    'genai_1.0@ab_..-20260501T100000-2',
  ]);
  t.strictSame(said(directory, names[1]), [
    ['hi', 'Hello.'],
    ['x', 'X'],
  ]);
  t.strictSame(said(directory, names[2]), [
    ['hi', 'Good day.'],
    ['y', 'Y'],
  ]);
});

t.test('a conversation without a name replaces nothing', async (t) => {
  const { recorder, directory } = recorderIn(t);
  const nameless = { name: null };
  const first = 'amy-20260501T100000-1';
  recorder.record(exchange([user('q1')], 'a1', nameless));
  appendTurn(
    join(directory, first),
    {
      question: 'q2',
      contents: [user('q2'), model('a2')],
      answer: 'a2',
      model: 'm',
      agentConfig: { id: 'amy', systemMessage: null, backend: {} },
      startedAtMs: AT_MS,
      endedAtMs: AT_MS,
      requestId: 'r',
      idempotencyKey: null,
      response: {},
    },
    2,
  );
  recorder.record(exchange([user('q1'), model('a1'), user('other')], 'b', nameless));
  t.strictSame(said(directory, first), [
    ['q1', 'a1'],
    ['q2', 'a2'],
  ]);
  t.strictSame(said(directory, 'amy-20260501T100000-2'), [
    ['q1', 'a1'],
    ['other', 'b'],
  ]);
});

t.test('after a cut line the next one begins afresh', async (t) => {
  const { recorder, directory } = recorderIn(t);
  recorder.record(exchange([user('q1')], 'a1'));
  const file = fileOf(directory);
  const whole = readFileSync(file);
  recorder.record(exchange([user('q1'), model('a1'), user('q2')], 'a2'));
  writeFileSync(file, readFileSync(file).subarray(0, -40));
  t.match(read(directory).warnings, [
    { file: 'session.jsonl', message: /^session\.jsonl:3 is cut short/ },
  ]);
  t.strictSame(said(directory), [['q1', 'a1']]);
  recorder.record(exchange([user('q1'), model('a1'), user('q3')], 'a3'));
  t.strictSame(said(directory), [
    ['q1', 'a1'],
    ['q3', 'a3'],
  ]);
  // A file that somebody has cut back or replaced is read anew.
  writeFileSync(file, whole);
  recorder.record(exchange([user('q1'), model('a1'), user('q4')], 'a4'));
  t.strictSame(said(directory), [
    ['q1', 'a1'],
    ['q4', 'a4'],
  ]);
});

t.test('what another process writes in between is not lost', async (t) => {
  const { recorder, directory } = recorderIn(t);
  recorder.record(exchange([user('q1')], 'a1'));
  appendFileSync(fileOf(directory), '{"half');
  recorder.record(exchange([user('q1'), model('a1'), user('q2')], 'a2'));
  t.equal(said(directory).length, 2);
});

t.test('errors, cut and empty answers are not recorded', async (t) => {
  const { recorder, directory } = recorderIn(t);
  const error = { error: { code: 500, message: 'x', status: 'INTERNAL' } };
  for (const answer of [
    JSON.stringify(error),
    answerOf({ text: 'whole' }).slice(0, -4),
    JSON.stringify({ candidates: [{ content: { parts: [{ text: 'no end' }] } }] }),
    JSON.stringify({ candidates: [{ finishReason: 'SAFETY' }] }),
    answerOf({ text: 'only thoughts', thought: true }),
  ]) {
    recorder.record(exchange([user('q')], answer));
  }
  t.throws(() => readdirSync(directory), { code: 'ENOENT' });
});

t.test('what cannot be recorded is told', async (t) => {
  const { recorder, directory } = recorderIn(t);
  const fails = (
    more: Partial<RecordedExchange>,
    wanted: { readonly message: RegExp; readonly reason: string },
  ): void => {
    t.throws(() => recorder.record(exchange([user('q')], 'a', more)), wanted);
  };
  for (const name of ['..', '.beside', 'a/b', '', 'x'.repeat(65)]) {
    fails({ name }, { reason: 'BAD_REQUEST', message: /cannot be recorded/ });
  }
  fails({ contentEncoding: 'zstd' }, { reason: 'TURN_NOT_WRITTEN', message: /zstd/ });
  fails({ request: Buffer.from('[') }, { reason: 'TURN_NOT_WRITTEN', message: /no JSON/ });
  fails({ request: Buffer.from('{}') }, { reason: 'TURN_NOT_WRITTEN', message: /no contents/ });
  writeFileSync(join(directory, 'file'), '');
  fails({ name: 'file' }, { reason: 'TURN_NOT_WRITTEN', message: /file cannot be written/ });
  recorder.record(exchange([user('q')], 'a'));
  t.strictSame(said(directory), [['q', 'a']], 'and the record goes on');
});

t.test('a system instruction and other settings follow the agent', async (t) => {
  const { recorder, directory } = recorderIn(t);
  const body = {
    system_instruction: { parts: [{ text: 'Be brief.' }] },
    generation_config: { maxOutputTokens: 9 },
    safetySettings: [{ category: 'c', threshold: 'OFF' }],
    toolConfig: { x: 1 },
  };
  recorder.record(exchange([user('q1')], 'a1', { body }));
  const next = [user('q1'), model('a1'), user('q2')];
  recorder.record(exchange(next, 'a2', { agent: 'bob', model: 'other' }));
  t.strictSame(read(directory).agents, [
    {
      id: 'amy',
      type: 'gemini',
      model: 'gemini-2.5-flash',
      systemMessage: 'Be brief.',
      backend: {
        type: 'gemini',
        model: 'gemini-2.5-flash',
        maxOutputTokens: 9,
        tool_config: { x: 1 },
        safety_settings: [{ category: 'c', threshold: 'OFF' }],
      },
    },
    {
      id: 'bob',
      type: 'gemini',
      model: 'other',
      systemMessage: null,
      backend: { type: 'gemini', model: 'other' },
    },
  ]);
});
