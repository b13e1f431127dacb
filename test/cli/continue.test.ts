import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { PassThrough, Readable } from 'node:stream';
import t, { type Test } from 'tap';
import { settingsOf } from '../../src/cli/setting.ts';
import { type CliOptions, runInside } from '../support/cli.ts';
import { memoryConversations } from '../support/memory-conversations.ts';
import { answerEvents, scriptedDaemon, textEvent } from '../support/scripted-daemon.ts';

const END = { finishReason: 'STOP' };
const USAGE = { promptTokenCount: 1200, candidatesTokenCount: 30, thoughtsTokenCount: 5 };

function answerWell(reply: ServerResponse): void {
  const thought = { candidates: [{ content: { parts: [{ text: 'hm', thought: true }] } }] };
  const last = { ...textEvent('world.', END), usageMetadata: USAGE };
  answerEvents(reply, [thought, textEvent('Hello, '), last]).end();
}

/** `headgate continue` on a conversation in memory, through a daemon that the test writes. */
async function runContinue(
  t: Test,
  argv: readonly string[],
  options: CliOptions & {
    readonly answer?: (reply: ServerResponse) => void;
    readonly token?: string;
  } = {},
) {
  const { answer = answerWell, token = null, ...rest } = options;
  const daemon = await scriptedDaemon(t, answer, token);
  const conversations = memoryConversations();
  const ended = await runInside(t, argv, {
    conversations,
    stdin: Readable.from([]),
    ...rest,
    env: { HEADGATE_URL: daemon.url, ...rest.env },
  });
  return { ...ended, daemon, conversations };
}

t.test('The answer alone is on stdout; stderr says which session, who, and where.', async (t) => {
  for (const argv of [
    ['continue', '-m', 'Hi'],
    ['--continue', '-m', 'Hi'],
    ['--continue', 'log_1', '-m', 'Hi'],
    ['--continue', '-m', 'Hi', 'log_1'],
    ['continue', 'log_1', '--message', 'Hi'],
  ]) {
    const { code, stdout, stderr, conversations, daemon } = await runContinue(t, argv);
    t.strictSame({ code, stdout }, { code: 0, stdout: 'Hello, world.\n' }, argv.join(' '));
    t.match(stderr, /Continuing log_1\n +found +the newest of 1 session\n +format +massgen/);
    t.match(stderr, /agent +agent_a with gemini-2\.5-flash\n +turns +1; this will be turn 2/);
    t.match(stderr, /asked +Why is the sky blue\?\n +answered +Because of \?\[31mRayleigh/);
    t.match(stderr, /! turn_1\/x\.json: is empty/);
    t.match(
      stderr,
      'turn 2 written to /logs/log_1/turn_2 · 1,200 tokens in, 35 out (5 thoughts) · waited 3.2 s',
    );
    t.strictSame(conversations.done, ['begin', 'finish', 'close']);
    t.strictSame(conversations.turns.at(-1)?.question, 'Hi');
    t.equal(daemon.calls.length, 1);
  }
});

t.test(
  'The call names its session as its agent, brings no key, and records nothing.',
  async (t) => {
    const argv = ['continue', '-m', 'Hi', '--model', 'tunedModels/x y', '--token', 'secret'];
    const { code, daemon } = await runContinue(t, argv, { token: 'secret' });
    t.equal(code, 0);
    const [call] = daemon.calls;
    t.equal(call?.path, '/v1beta/tunedModels/x%20y:streamGenerateContent?alt=sse');
    t.match(call?.headers, {
      'x-headgate-agent': 'session:session_1__',
      'x-goog-api-key': 'headgate',
      'x-headgate-token': 'secret',
      'x-headgate-session': undefined,
    });
    t.match(JSON.parse(call?.body ?? ''), { contents: [{ role: 'user' }, {}, { role: 'user' }] });
  },
);

t.test('The message comes from stdin where there is no terminal, whole.', async (t) => {
  for (const argv of [['continue'], ['continue', '-m', '-']]) {
    const stdin = Readable.from([Buffer.from('two\nli'), Buffer.from('nes ä\n')]);
    const { code, conversations } = await runContinue(t, argv, { stdin });
    t.equal(code, 0);
    t.equal(conversations.turns.at(-1)?.question, 'two\nlines ä');
  }
  const rejected: [Buffer[], number, RegExp][] = [
    [[], 2, /there is no message; give one with -m TEXT/],
    [[Buffer.from(' \n')], 2, /there is no message/],
    [[Buffer.from([0xff, 0xfe])], 1, /not UTF-8/],
    [[Buffer.alloc(8_388_608, 'a'), Buffer.from('b')], 1, /longer than 8 MiB/],
  ];
  for (const [chunks, expected, message] of rejected) {
    const { code, stderr, conversations } = await runContinue(t, ['continue'], {
      stdin: Readable.from(chunks),
    });
    t.equal(code, expected);
    t.match(stderr, message);
    t.strictSame(conversations.done, [], 'nothing is claimed for it');
  }
});

t.test('--json prints one object in the shape of the HTTP answer.', async (t) => {
  const argv = ['continue', '-m', 'Hi', '--json', '--set', 'temperature=0.2'];
  const { code, stdout } = await runContinue(t, argv);
  t.equal(code, 0);
  t.match(JSON.parse(stdout), {
    session: { log_dir: 'log_1', format: 'massgen', turn: 2, summary: { turns: 1 } },
    agent: 'agent_a',
    model: 'gemini-2.5-flash',
    text: 'Hello, world.',
    conflicts: [{ key: 'temperature', used: { from: 'config', value: 0.2 } }],
    warnings: [{ file: 'turn_1/x.json' }],
    usage: USAGE,
  });
});

t.test('--dry-run sends nothing, claims nothing, and prints what it would send.', async (t) => {
  const argv = ['continue', '-m', 'Hi', '--dry-run', '--set', 'temperature=0.2'];
  const plain = await runContinue(t, argv);
  t.equal(plain.code, 0);
  t.match(JSON.parse(plain.stdout), { generationConfig: { temperature: 0.2 } });
  t.match(plain.stderr, 'not sent · about 42 tokens · POST /v1beta/models/gemini-2.5-flash:stream');
  t.match(plain.stderr, '! temperature: 0.2 (config) instead of 0.7 (session)');
  t.strictSame(plain.conversations.done, ['plan', 'close']);
  t.equal(plain.daemon.calls.length, 0);
  const { stdout } = await runContinue(t, [...argv, '--json']);
  t.match(JSON.parse(stdout), {
    session: { turn: 2 },
    request: { path: /:streamGenerateContent/, body: { contents: [{}, {}, {}] } },
    tokens_estimated: 42,
  });
});

t.test('A call that fails is one clear sentence, exit 1, and writes nothing.', async (t) => {
  const refused = { code: 429, status: 'RESOURCE_EXHAUSTED', message: 'headgate: day is full' };
  const failures: [string, (reply: ServerResponse) => void, RegExp][] = [
    [
      'a refusal of headgate',
      (reply) => {
        const headers = { 'x-headgate-refused': 'QUOTA_DAY', 'retry-after': '7200' };
        reply.writeHead(429, headers).end(JSON.stringify({ error: refused }));
      },
      /headgate refused the call \(QUOTA_DAY\): day is full\. Come back in 2 h\.\n/,
    ],
    [
      "an upstream's error",
      (reply) => {
        const details = [{ retryDelay: '13s' }];
        const error = { code: 503, status: 'UNAVAILABLE', message: 'over\u001bloaded', details };
        reply.writeHead(503).end(JSON.stringify([{ error }]));
      },
      /the upstream refused the call \(503 UNAVAILABLE\): over\?loaded\. Come back in 13\.0 s\./,
    ],
    ['no JSON', (reply) => reply.writeHead(502).end('<html>'), /call \(502\): <html>\./],
    [
      'no key',
      (reply) => reply.writeHead(401).end('{"error":{"message":"no key"}}'),
      /no key\.\nThe daemon needs a key: set GEMINI_API_KEY/,
    ],
    [
      'an error inside the answer',
      (reply) => answerEvents(reply, [textEvent('Hel'), { error: { message: 'broke' } }]).end(),
      /the answer broke off with an error: broke\n/,
    ],
    [
      'a bare error behind the events',
      (reply) => answerEvents(reply, [textEvent('Hel')]).end('{"error":\n{"message":"late"}}'),
      /the answer broke off with an error: late\n/,
    ],
    [
      'an answer without its end',
      (reply) => answerEvents(reply, [textEvent('Hel')]).end(),
      /the answer was cut short before the model had ended\n/,
    ],
    [
      'a connection that breaks',
      (reply) => answerEvents(reply, [textEvent('Hel')]).destroy(),
      /the call did not end well: /,
    ],
  ];
  for (const [name, answer, message] of failures) {
    const { code, stderr, conversations } = await runContinue(t, ['continue', '-m', 'Hi'], {
      answer,
    });
    t.equal(code, 1, name);
    t.match(stderr, message, name);
    t.strictSame(conversations.done, ['begin', 'abandon', 'close'], name);
  }
});

t.test('What the conversations refuse is told with what there is to choose from.', async (t) => {
  const unclear = await runContinue(t, ['continue', '-m', 'Hi', '--agent', 'unclear']);
  t.equal(unclear.code, 1);
  t.match(
    unclear.stderr,
    /Say which agent\.\n {2}agent_a {2}gemini {2}gemini-2\.5-pro\n {2}agent_b\n/,
  );
  const absent = await runContinue(t, ['continue', 'nowhere', '-m', 'Hi']);
  t.equal(absent.code, 1);
  t.match(
    absent.stderr,
    /no session nowhere\.\n {2}1 session +\/logs +newest: log_1\n {2}not there +\/nowhere\n/,
  );
});

t.test('A daemon that was named must be there, and know the token.', async (t) => {
  const env = { HEADGATE_URL: 'http://127.0.0.1:1' };
  const absent = await runContinue(t, ['continue', '-m', 'Hi'], { env });
  t.equal(absent.code, 69);
  t.match(absent.stderr, /no daemon answers at http:\/\/127\.0\.0\.1:1 /);
  t.strictSame(absent.conversations.done, ['begin', 'abandon', 'close']);
  const closed = await runContinue(t, ['continue', '-m', 'Hi'], { token: 'secret' });
  t.equal(closed.code, 1);
  t.match(closed.stderr, /asks for a token\.\nUse --token/);
});

t.test('Without a daemon the command runs one of its own.', async (t) => {
  const conversations = memoryConversations();
  const argv = ['continue', '-m', 'Why is the sky blue?', '--simulate'];
  const { code, stdout, stderr } = await runInside(t, argv, { conversations });
  t.equal(code, 0);
  t.match(stdout, /\w+/);
  t.match(stderr, /a simulated Gemini answers; its counts stay apart\n/);
  t.strictSame(conversations.done, ['begin', 'finish', 'close']);
});

t.test('Mistakes in the command line exit with 2 before anything is opened.', async (t) => {
  const mistakes: [string[], RegExp][] = [
    [['continue', '-m', ''], /the message is empty/],
    [['continue', '-m', 'x', '--set', 'temperature'], /say KEY=VALUE, such as temperature=0\.2/],
    [['continue', '-m', 'x', '--set', 'a=[1'], /neither JSON nor YAML/],
    [['continue', '-m', 'x', '--max-turns', 'few'], /--max-turns is 'few'/],
    [['continue', 'a', 'b'], /too many arguments/],
    [['--continue', 'a', 'b'], /two sessions are named, 'a' and 'b'/],
    [['-m', 'x'], /--message belongs to --continue/],
    [['--url', 'http://x'], /--url belongs to --continue/],
    [['--json', 'status'], /--json stands before status; put it behind/],
    [['--continue', 'log_1', 'status'], /--continue stands before status/],
    [['sessions', 'list', '--limit', '0'], /--limit is '0'/],
    [['sessions', 'show'], /missing required argument 'log-dir'/],
  ];
  for (const [argv, message] of mistakes) {
    const { code, stdout, stderr, conversations } = await runContinue(t, argv);
    t.equal(code, 2, argv.join(' '));
    t.match(stderr, message);
    t.equal(stdout, '');
    t.strictSame(conversations.done, []);
  }
});

t.test('A setting is a YAML scalar or JSON, and else the text as it stands.', async (t) => {
  const settings: [string, unknown][] = [
    ['a=0.2', 0.2],
    ['a=true', true],
    ['a=null', null],
    ['a=', ''],
    ['a=b=c', 'b=c'],
    ['a="0.2"', '0.2'],
    ['a=["x", 1]', ['x', 1]],
    ['a={"b": {"c": 1}}', { b: { c: 1 } }],
    ['a=You are: a critic', 'You are: a critic'],
    ['a=- be brief', '- be brief'],
    ['a=*bold*', '*bold*'],
  ];
  for (const [pair, value] of settings) t.strictSame(settingsOf([pair]), { a: value }, pair);
  t.equal(settingsOf([]), null);
  t.throws(
    () => settingsOf(Array.from({ length: 101 }, (_, at) => `k${at}=1`)),
    /100 are the most/,
  );
});

/** A keyboard, and a wait for what the screen shows. */
function terminal() {
  const keyboard = Object.assign(new PassThrough(), { isTTY: true });
  let screen = '';
  const changed = new PassThrough();
  return {
    options: {
      stdin: keyboard,
      isTTY: true,
      env: { NO_COLOR: '1' },
      onPrint(text: string) {
        screen += text;
        changed.emit('change');
      },
    },
    async shows(pattern: RegExp) {
      while (!pattern.test(screen)) await once(changed, 'change');
      screen = '';
    },
    type: (text: string) => keyboard.write(text),
  };
}

t.test('On a terminal it asks for message after message until Ctrl-D.', async (t) => {
  const { options, shows, type } = terminal();
  const running = runContinue(t, ['continue'], options);
  await shows(/agent_a with gemini[^]*Ctrl-D ends\.[^]*> /);
  type('first\r');
  await shows(/Hello, world\.\nturn 2 written[^]*> /);
  type('\r');
  await shows(/> /);
  type('pasted\rlines\r');
  await shows(/turn 3 written[^]*> /);
  type('\u0004');
  const { code, stderr, conversations } = await running;
  t.equal(code, 0);
  t.match(stderr, /Come back with: headgate continue log_1\n$/);
  t.equal(stderr.match(/x\.json: is empty/g)?.length, 1, 'a warning is told once');
  t.strictSame(
    conversations.turns.map(({ question }) => question),
    ['Why is the sky blue?', 'first', 'pasted\nlines'],
  );
});

t.test('Ctrl-C stops one answer, of which nothing is written, and asks again.', async (t) => {
  const { options, shows, type } = terminal();
  const answer = (reply: ServerResponse): void => {
    answerEvents(reply, [textEvent('Hel\u001b[2Jlo')]);
  };
  const running = runContinue(t, ['continue'], { ...options, answer });
  await shows(/> /);
  type('first\r');
  await shows(/Hel\?\[2Jlo/);
  process.emit('SIGINT', 'SIGINT');
  await shows(/stopped; nothing was written[^]*> /);
  type('\u0003');
  const { code, conversations } = await running;
  t.equal(code, 0);
  t.strictSame(conversations.done, ['plan', 'begin', 'abandon', 'close']);
});

t.test('A turn that fails is told, and the conversation goes on.', async (t) => {
  const { options, shows, type } = terminal();
  const answer = (reply: ServerResponse): void => {
    reply.writeHead(500).end('{"error":{"message":"oh"}}');
  };
  const running = runContinue(t, ['continue'], { ...options, answer });
  await shows(/> /);
  type('first\r');
  await shows(/headgate: the upstream refused the call \(500\): oh\.\n[^]*> /);
  type('\u0004');
  t.equal((await running).code, 0);
});
