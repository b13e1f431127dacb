import t from 'tap';
import { openConfined } from '../../src/sessions/confined-directory.ts';
import { geminiCliReader } from '../../src/sessions/readers/gemini-cli.ts';
import { call, type Gate, MODEL, startGate } from '../support/gate.ts';
import { geminiCliFor } from './gemini-cli.ts';

/** Fields of the answers that are looked at, as docs/sessions.md describes them. */
interface Listed {
  readonly sessions: readonly {
    readonly log_dir: string;
    readonly format: string;
    readonly session_id: string;
    readonly turns: number;
    readonly first_question: string;
  }[];
}
interface Shown {
  readonly turns: readonly { readonly question: string; readonly answer: string }[];
  readonly warnings: readonly unknown[];
}
interface Continued {
  readonly text: string;
  readonly session: { readonly turn: number };
  readonly model: string;
}

const configured = { upstream: { api_key: 'AIza-configured' } };

async function json<T>(gate: Gate, path: string, body?: object): Promise<T> {
  const { status, text } = await call(gate, path, body === undefined ? {} : { body });
  if (status !== 200) throw new Error(`${path} was answered ${status}: ${text}`);
  return JSON.parse(text);
}

t.test('a chat that Gemini CLI had through headgate is read as it was', async (t) => {
  const gate = await startGate(t, { config: configured });
  const cli = geminiCliFor(t, gate, MODEL);
  const answer = await cli.ask('What is a headgate?');
  t.not(answer, '');
  const again = await cli.ask('And a weir?', '--resume', 'latest');

  const directory = openConfined(cli.project);
  const [chat = '', ...more] = cli
    .chats()
    .map((name) => `chats/${name}`)
    // Resuming in a later minute leaves a second file behind, without a word of the chat.
    .filter((path) => geminiCliReader.read(directory, path).turns.length > 0);
  t.strictSame(more, []);
  t.ok(geminiCliReader.claims(directory, chat));
  const { turns, agents, warnings, sessionId } = geminiCliReader.read(directory, chat);
  t.strictSame(
    turns.map((turn) => [turn.number, turn.question, turn.answer?.trim(), turn.answered]),
    [
      [1, 'What is a headgate?', answer, true],
      [2, 'And a weir?', again, true],
    ],
  );
  t.strictSame(
    agents.map(({ model }) => model),
    [MODEL],
  );
  t.strictSame(warnings, []);
  t.match(await cli.run('--list-sessions'), sessionId ?? 'an id');
});

t.test('a chat of Gemini CLI is listed, shown and continued, and goes on in it', async (t) => {
  const gate = await startGate(t, { config: configured });
  const cli = geminiCliFor(t, gate, MODEL);
  const answer = await cli.ask('What is a headgate?');
  gate.configure({ ...configured, sessions: { roots: [cli.root] } });
  await gate.restart();

  const { sessions } = await json<Listed>(gate, '/sessions');
  t.match(sessions, [{ format: 'gemini-cli', turns: 1, first_question: 'What is a headgate?' }]);
  t.equal(sessions.length, 1);
  const [listed] = sessions;
  const path = `/sessions/${encodeURIComponent(listed?.log_dir ?? '')}`;
  const shown = await json<Shown>(gate, path);
  t.match(shown.turns, [{ question: 'What is a headgate?', answer }]);
  t.strictSame(shown.warnings, []);

  const before = cli.chats();
  const continued = await json<Continued>(gate, `${path}/continue`, { message: 'And a weir?' });
  t.equal(continued.model, MODEL);
  t.equal(continued.session.turn, 2);
  t.equal(cli.chats().length, before.length + 1, 'as a chat of its own; the old one is as it was');
  const after = await json<Listed>(gate, '/sessions');
  t.match(after.sessions[0], { turns: 2, first_question: 'What is a headgate?' });
  const both = await json<Shown>(gate, '/sessions/latest');
  t.match(both.turns, [{ answer }, { question: 'And a weir?', answer: continued.text.trim() }]);

  // The real one must take the new turn for its own, and send it.
  const calls = gate.simulator.arrivals.length;
  await cli.ask('And a sluice?', '--resume', 'latest');
  t.ok(gate.simulator.arrivals.length > calls);
  const third = await json<Shown>(gate, '/sessions/latest');
  t.match(
    third.turns.map(({ question }) => question),
    ['What is a headgate?', 'And a weir?', 'And a sluice?'],
  );
});
