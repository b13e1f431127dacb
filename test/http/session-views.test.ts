import t from 'tap';

import { textWithoutKeys, withoutSecrets } from '../../src/http/session-secrets.ts';
import {
  continueAnswer,
  dryRunAnswer,
  dryRunPieces,
  repeatedAnswer,
  sessionHeaders,
  sessionList,
  sessionView,
} from '../../src/http/session-views.ts';
import type { Conflict } from '../../src/sessions/contracts.ts';
import type { Session } from '../../src/sessions/session.ts';
import { SAMPLE_LOG, samplePlan } from '../support/session-control.ts';
import { sampleAgent, sampleSession, sampleTurn } from '../support/session-samples.ts';

/** The files of the warnings that each turn is shown with. */
function warnedFiles(session: Session): string[][] {
  const { turns } = sessionView(SAMPLE_LOG, session, false);
  return turns.map(({ warnings }) => warnings.map(({ file }) => file));
}

const warningsAt = (...files: string[]) => files.map((file) => ({ file, message: 'Left out.' }));

t.test('a warning is told with the turn whose files it is about', async (t) => {
  const files = ['turn_1/agent/x', 'turn_10/x', 'turn_2', 'status.json', '.', '', '/abs'];
  const inDirectories = sampleSession({ warnings: warningsAt(...files) });
  t.strictSame(warnedFiles(inDirectories), [['turn_1/agent/x'], ['turn_2']]);
  t.equal(sessionView(SAMPLE_LOG, inDirectories, false).warnings.length, files.length);

  const flat = sampleSession({
    turns: [sampleTurn(1, { directory: '.' }), sampleTurn(2, { directory: 'turn_2' })],
    warnings: warningsAt('massgen.log', 'turn_2/a/b', 'turn_1/x'),
  });
  t.strictSame(warnedFiles(flat), [['massgen.log', 'turn_1/x'], ['turn_2/a/b']]);

  const bySource = sampleSession({
    turns: [1, 2].map((number) =>
      sampleTurn(number, {
        directory: '.',
        questionSource: 'shared.json',
        answerSource: `answer_${number}.txt`,
      }),
    ),
    warnings: warningsAt('answer_2.txt', 'shared.json', 'other'),
  });
  t.strictSame(warnedFiles(bySource), [[], ['answer_2.txt']], 'what all share is of none');
});

t.test('agents are shown also where only their names are known', async (t) => {
  const session = sampleSession({ agents: [sampleAgent('b')], agentIds: ['a', 'b'] });
  const { agents, config } = sessionView(SAMPLE_LOG, session, false);
  t.strictSame(
    agents.map(({ id, type }) => [id, type]),
    [
      ['b', 'gemini'],
      ['a', null],
    ],
  );
  t.strictSame(Object.keys(config), ['b']);
});

t.test('texts of 2,000 characters are shown whole', async (t) => {
  const turns = [sampleTurn(1, { question: 'q'.repeat(2000), answer: null })];
  const [turn] = sessionView(SAMPLE_LOG, sampleSession({ turns }), false).turns;
  t.match(turn, { question: 'q'.repeat(2000), answer: null });
  t.notOk(turn?.question_cut ?? turn?.answer_cut);
});

t.test('settings are shown without their secrets', async (t) => {
  const google = `AIza${'x'.repeat(35)}`;
  const settings = {
    model: 'gemini-2.5-flash',
    api_key: 'hunter2',
    apiKey: ['a'],
    password: 12345,
    access_token: 5,
    max_tokens: 4096,
    maxOutputTokens: 10,
    token_limit: null,
    use_api_key: true,
    Authorization: 'x',
    mcp_servers: [
      { env: { MY_SECRET: 'x', PLAIN: 'y' }, headers: { a: 'b' }, args: ['--k', google] },
    ],
    [`sk-ant-${'y'.repeat(30)}`]: 1,
    base_url: `https://h/?key=${google}&x=1`,
    note: `Bearer ${'z'.repeat(20)}, sk-proj-${'a'.repeat(20)}`,
  };
  t.strictSame(withoutSecrets(settings), {
    model: 'gemini-2.5-flash',
    api_key: '[redacted]',
    apiKey: '[redacted]',
    password: '[redacted]',
    access_token: '[redacted]',
    max_tokens: 4096,
    maxOutputTokens: 10,
    token_limit: null,
    use_api_key: true,
    Authorization: '[redacted]',
    mcp_servers: [
      {
        env: { MY_SECRET: '[redacted]', PLAIN: 'y' },
        headers: '[redacted]',
        args: ['--k', '[redacted]'],
      },
    ],
    '[redacted]': 1,
    base_url: 'https://h/?key=[redacted]&x=1',
    note: '[redacted], [redacted]',
  });
  t.equal(textWithoutKeys('task-based-disk-sketching'), 'task-based-disk-sketching');
  let deep: unknown = 'x';
  for (let level = 0; level < 50_000; level++) deep = { deep };
  t.match(JSON.stringify(withoutSecrets(deep)), '[redacted]', 'no depth exhausts the stack');
});

t.test('a conflict about a secret is told without it', async (t) => {
  const conflict: Conflict = {
    key: 'api_key',
    used: null,
    ignored: { from: 'config', value: 'hunter2' },
    message: 'api_key: "hunter2" (config) is not taken',
  };
  const plain: Conflict = {
    key: 'temperature',
    used: { from: 'config', value: 0.2 },
    ignored: { from: 'session', value: 0.7 },
    message: 'temperature: 0.2 (config) instead of 0.7 (session)',
  };
  const answer = dryRunAnswer(samplePlan({ conflicts: [conflict, plain] }));
  t.strictSame(answer.conflicts, [
    {
      key: 'api_key',
      used: null,
      ignored: { from: 'config', value: '[redacted]' },
      message: 'api_key: "[redacted]" (config) is not taken',
    },
    plain,
  ]);
});

t.test('the pieces of a dry run are its whole answer', async (t) => {
  for (const [model, stream, path] of [
    ['gemini-2.5-flash', false, '/v1beta/models/gemini-2.5-flash:generateContent'],
    ['tunedModels/my?x', true, '/v1beta/tunedModels/my%3Fx:streamGenerateContent?alt=sse'],
  ] as const) {
    const plan = samplePlan({ model });
    const text = Buffer.concat(dryRunPieces(plan, stream)).toString();
    t.same(JSON.parse(text), dryRunAnswer(plan, stream));
    t.equal(dryRunAnswer(plan, stream).request.path, path);
  }
});

t.test('a turn taken before is answered like one taken now', async (t) => {
  const plan = samplePlan({ conflicts: [], warnings: [] });
  const response = { usageMetadata: { totalTokenCount: 1 } };
  const same = { turn: 3, text: 'Trois.', response };
  const now = continueAnswer(plan, { ...same, where: 'beside', directory: '/x', warnings: [] });
  const { log, summary } = plan;
  const { agent, model } = plan.continuation;
  const before = repeatedAnswer({ kind: 'repeated', log, summary, agent, model, ...same });
  t.strictSame(before, now);
  t.strictSame(now.usage, response.usageMetadata);
  t.equal(
    continueAnswer(plan, { ...same, response: {}, where: 'beside', directory: '', warnings: [] })
      .usage,
    null,
  );
});

t.test('a session in a header can be put into a path as it is', async (t) => {
  const name = 'a/ü 😀\n';
  const [, value = '', , turn] = sessionHeaders({ ...SAMPLE_LOG, name }, 12);
  t.match(value, /^[\x21-\x7e]+$/);
  t.strictSame([decodeURIComponent(value), turn], [name, '12']);
  t.doesNotThrow(() => sessionHeaders({ ...SAMPLE_LOG, name: '\ud800' }, 1));
});

t.test('an instant that no calendar has is none', async (t) => {
  const summary = {
    log: SAMPLE_LOG,
    sessionId: null,
    turns: 0,
    agents: [],
    models: [],
    firstQuestion: null,
    warnings: 0,
  };
  for (const updatedAtMs of [Number.NaN, Number.POSITIVE_INFINITY, 9e15]) {
    const { sessions } = sessionList({ sessions: [{ ...summary, updatedAtMs }], nextCursor: null });
    t.equal(sessions[0]?.updated_at, null);
  }
});
