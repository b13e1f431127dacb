import { cpSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { runInside } from '../support/cli.ts';
import { answerEvents, scriptedDaemon, textEvent } from '../support/scripted-daemon.ts';

const SAMPLES = fileURLToPath(new URL('../../config/samples', import.meta.url));
const LOG = 'log_20260105_101500_000001';

/** A root with a copy of the sample log, and commands that look there and nowhere else. */
async function stageOf(t: Test, answer: (reply: ServerResponse) => void) {
  const root = t.testdir({});
  cpSync(join(SAMPLES, LOG), join(root, LOG), { recursive: true });
  const daemon = await scriptedDaemon(t, answer);
  return {
    root,
    log: join(root, LOG),
    daemon,
    run: (...argv: string[]) =>
      runInside(t, [...argv, '--sessions', root], {
        env: { HEADGATE_URL: daemon.url },
        stdin: Readable.from([]),
      }),
  };
}

function says(text: string): (reply: ServerResponse) => void {
  return (reply) => {
    answerEvents(reply, [textEvent(text, { finishReason: 'STOP' })]).end();
  };
}

/** Every file below a directory with its content. */
function filesOf(directory: string): Map<string, string> {
  const paths = readdirSync(directory, { recursive: true, encoding: 'utf8' }).toSorted();
  return new Map(
    paths
      .filter((path) => statSync(join(directory, path)).isFile())
      .map((path) => [path, readFileSync(join(directory, path), 'latin1')]),
  );
}

t.test('A log is listed, continued twice, and shown with both new turns.', async (t) => {
  const { run, log, daemon } = await stageOf(t, says('In other words: yes.'));
  const before = filesOf(log);
  t.match((await run('sessions', 'list')).stdout, new RegExp(`${LOG} +2 `));
  const first = await run('continue', '-m', 'And in French?');
  t.strictSame(
    { code: first.code, stdout: first.stdout },
    { code: 0, stdout: 'In other words: yes.\n' },
  );
  t.match(first.stderr, /found +the only session\n/);
  t.match(first.stderr, `turn 3 written to ${join(log, 'turn_3')}`);
  const second = await run('continue', join(log, 'turn_1'), '-m', 'And in German?');
  t.match({ code: second.code }, { code: 0 });
  t.match(second.stderr, /turns +3; this will be turn 4\n/);
  const { contents } = JSON.parse(daemon.calls[1]?.body ?? '');
  t.equal(contents.length, 7, 'three turns and the new message');
  t.match(contents.slice(-3), [
    { role: 'user', parts: [{ text: 'And in French?' }] },
    { role: 'model', parts: [{ text: 'In other words: yes.' }] },
    { role: 'user', parts: [{ text: 'And in German?' }] },
  ]);
  const after = filesOf(log);
  for (const [path, content] of before) t.ok(after.get(path) === content, path);
  const shown = JSON.parse((await run('sessions', 'show', LOG, '--json')).stdout);
  t.match(shown, { next_turn: 5, turns: [{}, {}, { question: 'And in French?' }, {}] });
  t.match(shown.turns[3], { number: 4, question: 'And in German?', answered: true });
});

t.test('An answer that is cut short leaves the log as it was, and free.', async (t) => {
  let isCut = true;
  const { run, log } = await stageOf(t, (reply) => {
    if (isCut) answerEvents(reply, [textEvent('Hel')]).end();
    else says('Hello.')(reply);
  });
  const before = filesOf(log);
  const { code, stderr } = await run('continue', LOG, '-m', 'Hi');
  t.equal(code, 1);
  t.match(stderr, /cut short/);
  t.strictSame(filesOf(log), before);
  isCut = false;
  t.equal((await run('continue', LOG, '-m', 'Hi')).code, 0);
});

t.test('The same idempotency key takes its turn once.', async (t) => {
  const { run, daemon } = await stageOf(t, says('Once.'));
  const argv = ['continue', LOG, '-m', 'Hi', '--idempotency-key', 'k1'] as const;
  t.equal((await run(...argv)).stdout, 'Once.\n');
  const again = await run(...argv);
  t.equal(again.stdout, 'Once.\n');
  t.match(again.stderr, 'turn 3 was taken under this key before; nothing was sent');
  t.equal(daemon.calls.length, 1);
  const other = await run('continue', LOG, '-m', 'Bye', '--idempotency-key', 'k1');
  t.equal(other.code, 1);
});

t.test(
  '--set wins over --session-config, which wins over the session; each is told.',
  async (t) => {
    const { run, root } = await stageOf(t, says('Never.'));
    const file = join(root, '..', 'mine.yaml');
    t.teardown(() => rmSync(file));
    writeFileSync(file, 'temperature: 0.9\ntop_p: 0.5\n');
    const argv = ['--session-config', file, '--set', 'temperature=0.1', '-m', 'Hi', '--dry-run'];
    const { code, stdout, stderr } = await run('continue', join(root, LOG), ...argv);
    t.equal(code, 0);
    t.match(JSON.parse(stdout), { generationConfig: { temperature: 0.1, topP: 0.5 } });
    t.match(stderr, /! temperature: 0\.1 .*instead of/);
  },
);

t.test('What cannot be found or used is told with what there is.', async (t) => {
  const { run, root } = await stageOf(t, says('Never.'));
  const absent = await run('continue', 'nowhere', '-m', 'Hi');
  t.equal(absent.code, 1);
  t.ok(absent.stderr.includes(`\n  1 session  ${root}  `), 'the root');
  t.match(absent.stderr, `  newest: ${LOG}\n`);
  const unclear = await run('continue', LOG, '-m', 'Hi', '--agent', 'nobody');
  t.equal(unclear.code, 1);
  t.match(unclear.stderr, /\n {2}agent_a +gemini /);
});
