import { execFile } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { GoogleGenAI } from '@google/genai';
import t from 'tap';
import { runCli } from '../support/cli.ts';
import { call, type Gate, MODEL, startGate } from '../support/gate.ts';

const run = promisify(execFile);
const QUESTIONS = [
  'Where does the Nile begin?',
  'How long is it?',
  'Which towns lie on it?',
  'Who dammed it?',
  'And what grows there?',
] as const;

/** Fields of the answers that are looked at, as docs/sessions.md describes them. */
interface Shown {
  readonly log_dir: string;
  readonly format: string;
  readonly turns: readonly { readonly question: string; readonly answer: string }[];
  readonly warnings: readonly unknown[];
}
interface History {
  readonly contents: readonly { readonly role: string; readonly parts: readonly object[] }[];
}

async function json<T>(gate: Gate, path: string): Promise<T> {
  const { status, text } = await call(gate, path);
  if (status !== 200) throw new Error(`${path} was answered ${status}: ${text}`);
  return JSON.parse(text);
}

/** Everything below a directory, as one text. */
function textBelow(directory: string): string {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => readFileSync(join(entry.parentPath, entry.name), 'utf8'))
    .join('\n');
}

/** The records once all questions are in them: they are written after the answers have ended. */
async function recordedText(directory: string): Promise<string> {
  for (;;) {
    const text = existsSync(directory) ? textBelow(directory) : '';
    if (QUESTIONS.every((question) => text.includes(JSON.stringify(question)))) return text;
    await sleep(20);
  }
}

t.test('a chat by @google/genai is recorded, and goes on by curl and by the CLI', async (t) => {
  const gate = await startGate(t, {
    config: {
      upstream: { api_key: 'AIza-configured' },
      sessions: { roots: [], record_dir: './records' },
    },
  });
  const { chats } = new GoogleGenAI({
    apiKey: 'headgate',
    httpOptions: { baseUrl: `${gate.url}/sessions/nile/record` },
  });
  const chat = chats.create({
    model: MODEL,
    config: { temperature: 0.3, systemInstruction: 'Be brief.' },
  });
  const answers: string[] = [];
  for (const [index, message] of QUESTIONS.entries()) {
    if (index % 2 === 0) {
      answers.push((await chat.sendMessage({ message })).text ?? '');
      continue;
    }
    const texts: string[] = [];
    for await (const chunk of await chat.sendMessageStream({ message })) {
      texts.push(chunk.text ?? '');
    }
    answers.push(texts.join(''));
  }

  const recorded = await recordedText(join(dirname(gate.file), 'records'));
  for (const question of QUESTIONS) {
    t.equal(recorded.split(JSON.stringify(question)).length, 2, `once: ${question}`);
  }
  t.notMatch(recorded, /AIza-configured/);
  const shown = await json<Shown>(gate, '/sessions/nile');
  t.equal(shown.format, 'headgate');
  t.strictSame(
    shown.turns.map(({ question, answer }) => [question, answer]),
    QUESTIONS.map((question, index) => [question, answers[index]]),
  );
  t.strictSame(shown.warnings, []);

  const { stdout } = await run('curl', [
    '-sS',
    `${gate.url}/sessions/nile/continue`,
    '-H',
    'content-type: application/json',
    '-d',
    '{"message":"Who sails on it?"}',
  ]);
  t.match(JSON.parse(stdout), { session: { log_dir: 'nile', turn: 6 }, model: MODEL });

  const flags = ['--config', gate.file, '--url', gate.url];
  const said = await runCli(t, ['continue', 'nile', '-m', 'Is it safe?', ...flags]);
  t.equal(said.code, 0, said.stderr);
  t.match(said.stderr, /nile/);
  const { turns } = await json<Shown>(gate, '/sessions/latest');
  t.strictSame(
    turns.map(({ question }) => question),
    [...QUESTIONS, 'Who sails on it?', 'Is it safe?'],
  );
  t.equal(turns[6]?.answer.trim(), said.stdout.trim());
  const { contents } = await json<History>(gate, '/sessions/nile/history');
  t.strictSame(
    contents.map(({ role }) => role),
    turns.flatMap(() => ['user', 'model']),
  );
});
