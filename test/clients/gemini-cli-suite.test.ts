import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { type Gate, MODEL } from '../support/gate.ts';
import { geminiCliFor } from './gemini-cli.ts';
import { type Client, tryClient } from './suite.ts';
import { TOOL_ANSWER } from './support.ts';

/** Each thing it is asked is a process with a home of its own. */
function clientOf(gate: Gate, t: Test): Client {
  return {
    ask({ model, prompt, system }) {
      const cli = geminiCliFor(t, gate, model);
      if (system !== undefined) writeFileSync(join(cli.workspace, 'GEMINI.md'), system);
      return cli.ask(prompt);
    },
    stream: ({ model, prompt }, chunk, signal) =>
      geminiCliFor(t, gate, model).stream(prompt, (text) => chunk.saw(text), signal),
    async useTool() {
      const cli = geminiCliFor(t, gate, MODEL);
      writeFileSync(join(cli.workspace, 'sky.txt'), TOOL_ANSWER);
      return cli.ask('How is the weather? [[call:read_file file_path=sky.txt]]');
    },
    readError(error) {
      const { message } = error;
      const [, code] = /"?(?:code|status)"?: (\d{3})/.exec(message) ?? [];
      return { isOwn: 'stderr' in error, status: code === undefined ? undefined : Number(code) };
    },
  };
}

tryClient({
  name: '@google/gemini-cli',
  clientOf,
  retrying: true,
  untried: {
    'tells errors of the API as its own': 'it has not been tried',
    'comes back after a refusal where that helps': 'it has not been tried',
    'stops where coming back does not help': 'it has not been tried',
    'leaves in the middle of an answer, and the upstream sees it': 'it has not been tried',
  },
  without: {
    countTokens: 'it estimates',
    embed: 'it embeds nothing',
    upload: 'it sends files inline',
  },
});
