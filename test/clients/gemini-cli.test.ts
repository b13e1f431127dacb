import t from 'tap';
import { openConfined } from '../../src/sessions/confined-directory.ts';
import { geminiCliChatFiles, geminiCliReader } from '../../src/sessions/readers/gemini-cli.ts';
import { MODEL, startGate } from '../support/gate.ts';
import { geminiCliFor } from './gemini-cli.ts';

t.test('a chat that Gemini CLI had through headgate is read as it was', async (t) => {
  const gate = await startGate(t, { config: { upstream: { api_key: 'AIza-configured' } } });
  const cli = geminiCliFor(t, { url: gate.url, model: MODEL });
  const answer = await cli.ask('What is a headgate?');
  t.not(answer, '');
  const again = await cli.ask('And a weir?', '--resume', 'latest');

  const directory = openConfined(cli.project);
  const [file = '', ...more] = geminiCliChatFiles(directory).filter(
    // Resuming in a later minute leaves a second file behind, without a word of the chat.
    (path) => geminiCliReader.read(directory, path).turns.length > 0,
  );
  t.strictSame(more, []);
  t.ok(geminiCliReader.claims(directory, file));
  const { turns, agents, warnings, sessionId } = geminiCliReader.read(directory, file);
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
