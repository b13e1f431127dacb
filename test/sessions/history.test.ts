import fc from 'fast-check';
import t from 'tap';
import { historyOf, historyTurns } from '../../src/sessions/continuation/history.ts';
import type { GeminiContent, Turn } from '../../src/sessions/session.ts';
import { summaryOf } from '../../src/sessions/continuation/summary.ts';
import { PROPERTY_RUNS } from '../support/runs.ts';
import { sampleSession, sampleTurn } from '../support/session-samples.ts';

const user = (...parts: GeminiContent['parts']): GeminiContent => ({ role: 'user', parts });
const model = (...parts: GeminiContent['parts']): GeminiContent => ({ role: 'model', parts });
const call = (name: string) => ({ functionCall: { name, args: {} } });
const response = (name: string) => ({ functionResponse: { name, response: {} } });

function contentsOf(...turns: readonly Partial<Turn>[]) {
  return historyOf(sampleSession({ turns: turns.map((turn, i) => sampleTurn(i + 1, turn)) }));
}

t.test('a turn becomes its question and its answer', async (t) => {
  t.strictSame(contentsOf({ question: 'a?', answer: 'b.' }, { question: 'c?', answer: 'd.' }), {
    contents: [
      user({ text: 'a?' }),
      model({ text: 'b.' }),
      user({ text: 'c?' }),
      model({ text: 'd.' }),
    ],
    warnings: [],
  });
});

t.test('what is no exchange is left out, and the file is named', async (t) => {
  const cases: readonly (readonly [string, Partial<Turn>, string])[] = [
    ['no answer', { answered: false, answer: null }, 'turn_1/events.json'],
    ['no answer', { answered: false, questionSource: null }, 'turn_1'],
    ['no question', { question: null }, 'turn_1/answer.txt'],
    ['no question', { question: ' \n' }, 'turn_1/answer.txt'],
    ['no answer', { answer: ' ' }, 'turn_1/answer.txt'],
    [
      'MassGen',
      { answer: '🚀 Starting multi-agent coordination...\nError: 500' },
      'turn_1/answer.txt',
    ],
    ['MassGen', { answer: '\n⚠️ **Orchestrator Timeout**: none' }, 'turn_1/answer.txt'],
    [
      'cancelled',
      { answer: `[PARTIAL ANSWER - x]\n[y]\n${'='.repeat(60)}\n\n` },
      'turn_1/answer.txt',
    ],
  ];
  for (const [why, turn, file] of cases) {
    const { contents, warnings } = contentsOf(turn, {});
    t.equal(contents.length, 2, `${why}: only the other turn is left`);
    t.equal(warnings.length, 1);
    t.equal(warnings[0]?.file, file);
    t.match(warnings[0]?.message, new RegExp(`^turn 1 .*${why}.*left out`));
  }
});

t.test('an answer may begin with a rocket', async (t) => {
  t.equal(contentsOf({ answer: '🚀 Launch at noon.' }).contents.length, 2);
});

t.test('a cancelled answer goes without its header', async (t) => {
  const header = `[PARTIAL ANSWER - cancelled]\n[voting was not complete]\n${'='.repeat(60)}\n\n`;
  const { contents, warnings } = contentsOf({ answer: `${header}Half of\nit.` });
  t.strictSame(contents[1], model({ text: 'Half of\nit.' }));
  t.match(warnings[0]?.message, /cancelled/);
});

t.test('contents that the log keeps go as they are', async (t) => {
  const contents = [
    user({ text: 'a?' }, { inlineData: { mimeType: 'image/png', data: 'AA' } }),
    model({ text: '', thoughtSignature: 's' }, call('f'), call('g')),
    user(response('g'), response('f')),
    model({ text: 'b.' }),
  ];
  t.strictSame(contentsOf({ contents, question: 'not this' }), { contents, warnings: [] });
});

t.test('contents that the API would refuse are repaired', async (t) => {
  const cases: readonly (readonly [string, GeminiContent[], GeminiContent[] | null])[] = [
    [
      'neighbours of one role are joined, empty parts go',
      [user({ text: 'a' }), user({ text: '' }, {}), user({ text: 'b' }), model({ text: 'c' })],
      [user({ text: 'a' }, { text: 'b' }), model({ text: 'c' })],
    ],
    [
      'an answer that is not among them is put in',
      [user({ text: 'a' })],
      [user({ text: 'a' }), model({ text: 'the answer' })],
    ],
    [
      'a call without response goes, its text stays',
      [user({ text: 'a' }), model({ text: 'b' }, call('f'))],
      [user({ text: 'a' }), model({ text: 'b' })],
    ],
    [
      'a call with another response goes together with it',
      [user({ text: 'a' }), model(call('f')), user(response('g')), model({ text: 'b' })],
      [user({ text: 'a' }), model({ text: 'b' })],
    ],
    [
      'a response to nothing goes',
      [user(response('f'), { text: 'a' }), model({ text: 'b' })],
      [user({ text: 'a' }), model({ text: 'b' })],
    ],
    [
      'a call that is followed by talk goes',
      [user({ text: 'a' }), model(call('f')), user({ text: 'no' }), model({ text: 'b' })],
      [user({ text: 'a' }, { text: 'no' }), model({ text: 'b' })],
    ],
    ['without a question nothing is sent', [model({ text: 'b' })], null],
    ['nothing is made of nothing', [], null],
  ];
  for (const [title, contents, expected] of cases) {
    const history = contentsOf({ contents, answer: 'the answer' });
    t.strictSame(history.contents, expected ?? [], title);
    if (expected === null) t.match(history.warnings.at(-1)?.message, /left out/);
  }
  const { warnings } = contentsOf({
    contents: [user({ text: 'a' }), model(call('f'))],
    answer: 'x',
  });
  t.match(warnings[0]?.message, /function calls without a response/);
});

t.test('a response in the words of the model is no response', async (t) => {
  const contents: GeminiContent[] = [
    { role: 'user', parts: [{ text: 'x' }] },
    { role: 'model', parts: [call('g'), response('g')] },
    { role: 'user', parts: [response('g')] },
  ];
  const session = sampleSession({ turns: [{ ...sampleTurn(1, { answer: 'a' }), contents }] });
  t.strictSame(historyOf(session).contents, [
    { role: 'user', parts: [{ text: 'x' }] },
    { role: 'model', parts: [call('g')] },
    { role: 'user', parts: [response('g')] },
    { role: 'model', parts: [{ text: 'a' }] },
  ]);
});

t.test(
  'whatever a log keeps, a turn runs from user to model and its calls are answered',
  async () => {
    const part = fc.constantFrom<GeminiContent['parts'][number]>(
      { text: 'x' },
      { text: '' },
      call('f'),
      call('g'),
      response('f'),
      response('g'),
    );
    const content = fc.record({
      role: fc.constantFrom('user' as const, 'model' as const),
      parts: fc.array(part, { maxLength: 3 }),
    });
    const turn = fc.record({
      contents: fc.option(fc.array(content, { maxLength: 6 }), { nil: undefined }),
      question: fc.constantFrom(null, '', 'q'),
      answer: fc.constantFrom(null, ' ', 'a'),
      answered: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(turn, { maxLength: 5 }), (turns) => {
        const session = sampleSession({
          turns: turns.map(({ contents, ...more }, index) => ({
            ...sampleTurn(index + 1, more),
            ...(contents === undefined ? {} : { contents }),
          })),
        });
        const { contents } = historyOf(session);
        const isOrdered = contents.every(
          ({ role, parts }, index) =>
            role === (index % 2 === 0 ? 'user' : 'model') && parts.length > 0,
        );
        if (!isOrdered || contents.length % 2 !== 0) return false;
        const names = (index: number, key: string): string =>
          (contents[index]?.parts ?? [])
            .flatMap((part) => (key in part ? [(part[key] as { name: string }).name] : []))
            .toSorted()
            .join(',');
        return contents.every(
          ({ role }, index) =>
            role === 'user' ||
            (names(index, 'functionCall') === names(index + 1, 'functionResponse') &&
              names(index, 'functionResponse') === ''),
        );
      }),
      { numRuns: PROPERTY_RUNS },
    );
  },
);

t.test('no question meets the answer to another', async () => {
  const kind = fc.constantFrom('whole', 'unanswered', 'unasked', 'noise', 'kept');
  fc.assert(
    fc.property(fc.array(kind, { maxLength: 8 }), (kinds) => {
      const turns = kinds.map((kind, index) => {
        const number = index + 1;
        const question = kind === 'unasked' ? null : `q${number}`;
        const answer = kind === 'noise' ? '⚠️ Orchestrator Timeout' : `a${number}`;
        const turn = sampleTurn(number, { question, answer, answered: kind !== 'unanswered' });
        const contents = [user({ text: `q${number}` }), model({ text: `a${number}` })];
        return kind === 'kept' ? { ...turn, contents } : turn;
      });
      const sent = historyTurns(sampleSession({ turns })).turns;
      const expected = kinds.flatMap((kind, i) =>
        kind === 'whole' || kind === 'kept' ? [i + 1] : [],
      );
      if (sent.map(({ number }) => number).join() !== expected.join()) return false;
      return sent.every(
        ({ number, contents }) =>
          JSON.stringify(contents) ===
          JSON.stringify([user({ text: `q${number}` }), model({ text: `a${number}` })]),
      );
    }),
    { numRuns: PROPERTY_RUNS },
  );
});

t.test(
  'a summary has the last questions and the last answer, cut between characters',
  async (t) => {
    const turns = [1, 2, 3, 4, 5, 6].map((n) =>
      sampleTurn(n, { question: ` q${n}\n`, answer: `a${n}` }),
    );
    t.strictSame(summaryOf(sampleSession({ turns })), {
      turns: 6,
      questions: ['q2', 'q3', 'q4', 'q5', 'q6'],
      last_answer: 'a6',
    });
    const long = sampleTurn(1, { question: '😀'.repeat(81), answer: '😀'.repeat(301) });
    const { questions, last_answer } = summaryOf(sampleSession({ turns: [long] }));
    t.equal(questions[0], `${'😀'.repeat(79)}…`);
    t.equal(last_answer, `${'😀'.repeat(299)}…`);
    const whole = sampleTurn(1, { question: '😀'.repeat(80), answer: null, answered: false });
    t.strictSame(summaryOf(sampleSession({ turns: [whole] })), {
      turns: 1,
      questions: ['😀'.repeat(80)],
      last_answer: null,
    });
    t.strictSame(summaryOf(sampleSession({ turns: [] })), {
      turns: 0,
      questions: [],
      last_answer: null,
    });
  },
);
