import t from 'tap';
import { systemClock } from '../../src/clock.ts';
import type { SessionSummary } from '../../src/sessions/contracts.ts';
import type { Turn } from '../../src/sessions/session.ts';
import { runInside } from '../support/cli.ts';
import { memoryConversations } from '../support/memory-conversations.ts';

const HOUR_MS = 3_600_000;

/** A listing of one plain session and one with much to say, in control characters too. */
async function listed(options: { nextCursor?: string; empty?: boolean } = {}) {
  const memory = memoryConversations();
  const { sessions } = await memory.list({ limit: 2, cursor: null });
  const [plain] = sessions;
  if (plain === undefined) throw new Error('no session');
  const nowMs = systemClock.wallMs();
  const rich: SessionSummary = {
    ...plain,
    log: { ...plain.log, name: `project/${'long_'.repeat(8)}` },
    turns: 12,
    agents: ['a', 'b', 'c'],
    models: ['gemini-2.5-pro'],
    firstQuestion: `What\nis\u001b[31m ${'so '.repeat(60)}`,
    updatedAtMs: nowMs - 30 * HOUR_MS,
    warnings: 2,
  };
  const page = {
    sessions: options.empty === true ? [] : [{ ...plain, updatedAtMs: nowMs, warnings: 0 }, rich],
    nextCursor: options.nextCursor ?? null,
  };
  return { ...memory, list: async () => page };
}

t.test('sessions list prints one line for each session where there is no terminal.', async (t) => {
  const conversations = await listed({ nextCursor: 'c' });
  const { code, stdout, stderr } = await runInside(t, ['sessions', 'list'], { conversations });
  t.equal(code, 0);
  const [title, plain, rich, ...more] = stdout.split('\n');
  t.match(title, /^SESSION +TURNS +LAST TURN +FORMAT +AGENTS +FIRST QUESTION$/);
  t.match(plain, /^log_1 +1 +just now, \d\d:\d\d +massgen +agent_a gemini-2\.5-flash +Why is/);
  t.match(
    rich,
    /^project\/(long_){8} .* 12 +30 h ago, \d{4}-\d\d-\d\d \d\d:\d\d +massgen +a, b, c · gemini/,
  );
  t.match(rich, /What is\?\[31m so so [^]*\(2 warnings\)$/);
  t.strictSame(more, ['']);
  t.match(stderr, 'There are older ones: headgate sessions list --limit 100');
});

t.test(
  'On a terminal of 80 columns no line is longer; agents and questions stand below.',
  async (t) => {
    const conversations = await listed();
    const options = { conversations, isTTY: true, env: { NO_COLOR: '1' } };
    const { stdout } = await runInside(t, ['sessions', 'list'], options);
    const lines = stdout.trimEnd().split('\n');
    t.equal(lines.length, 5);
    t.match(lines[1], /^log_1 +1 {2}just now, \d\d:\d\d$/);
    t.equal(lines[2], '  massgen · agent_a gemini-2.5-flash · Why is the sky blue?');
    for (const line of lines) t.ok(line.length <= 80, line);
  },
);

t.test('sessions list --json is what the HTTP route answers.', async (t) => {
  const conversations = await listed({ nextCursor: 'c' });
  const argv = ['sessions', 'list', '--json'];
  const { stdout, stderr } = await runInside(t, argv, { conversations });
  t.equal(stderr, '');
  t.match(JSON.parse(stdout), {
    sessions: [{ log_dir: 'log_1', format: 'massgen', turns: 1 }, { warnings: 2 }],
    next_cursor: 'c',
  });
});

t.test('Where nothing is found, the directories that were looked at are named.', async (t) => {
  const conversations = await listed({ empty: true });
  const there = t.testdir({});
  const argv = ['sessions', 'list', '--sessions', there, '--sessions', '/nowhere/at/all'];
  const { code, stdout, stderr } = await runInside(t, argv, { conversations });
  t.match({ code, stdout }, { code: 0, stdout: '' });
  t.ok(stderr.includes(there));
  t.match(
    stderr,
    /holds no session\n {2}\/nowhere\/at\/all +is not there\nName another with --ses/,
  );
});

t.test('sessions show tells every turn, who answered, and why one has no answer.', async (t) => {
  const memory = memoryConversations();
  const shown = await memory.show('latest');
  const [turn] = shown.session.turns;
  if (turn === undefined) throw new Error('no turn');
  const long = `${'word '.repeat(200)}\n\nlast line`;
  const turns: Turn[] = [
    turn,
    { ...turn, number: 2, question: null, answer: null, answered: false, winner: null },
    { ...turn, number: 3, answer: long, degraded: true, answerSource: 'turn_3/draft.txt' },
    { ...turn, number: 4, answer: 'part', answered: false, encoding: 'windows-1252' },
  ];
  const warnings = [{ file: 'turn_2/x.json', message: 'is empty\u001b' }];
  const session = { ...shown.session, turns, warnings, toolVersion: '0.1.8' };
  const conversations = { ...memory, show: async () => ({ ...shown, session }) };
  const { code, stdout, stderr } = await runInside(t, ['sessions', 'show', 'x'], { conversations });
  t.equal(code, 0);
  t.match(
    stdout,
    /^log_1\n +found +by its name\n +log +\/logs\/log_1\n +format +massgen, written by/,
  );
  t.match(stdout, /agents +agent_a\n +turns +4; the next one is turn 2\n/);
  t.match(stdout, 'Turn 1  answered by agent_a\n  > Why is the sky blue?\n    Because of ?[31mRay');
  t.match(stdout, 'Turn 2  not answered\n  > (not recorded)\n');
  t.match(stdout, 'Turn 3  answered by agent_a (a draft from turn_3/draft.txt)\n');
  t.match(stdout, 'Turn 4  not answered to the end; agent_a was chosen (in windows-1252)\n');
  t.match(stdout, '1 warning\n  ! turn_2/x.json: is empty?\n');
  t.notMatch(stdout, 'last line', 'a long answer is cut');
  for (const line of stdout.split('\n')) t.ok(line.length <= 80, line);
  t.match(stderr, 'Go on with it: headgate continue log_1');
  const full = await runInside(t, ['sessions', 'show', 'x', '--full'], { conversations });
  t.match(full.stdout, '\n    \n    last line\n');
  const json = await runInside(t, ['sessions', 'show', 'x', '--json'], { conversations });
  t.match(JSON.parse(json.stdout), { log_dir: 'log_1', turns: [{ number: 1 }, {}, {}, {}] });
});

t.test('A session that is not there exits with 1 and lists the roots.', async (t) => {
  const conversations = memoryConversations();
  const { code, stdout, stderr } = await runInside(t, ['sessions', 'show', 'nope'], {
    conversations,
  });
  t.match({ code, stdout }, { code: 1, stdout: '' });
  t.match(stderr, 'headgate: There is no session nope.\n  1 session  /logs     newest: log_1\n');
});
