import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { type Gate, MODEL } from '../support/gate.ts';
import { GeminiCliError, geminiCliFor } from './gemini-cli.ts';
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
    // It prints the error with its class and its status. One that it has no class for is of the SDK
    // in its bundle.
    readError(error) {
      const [, status] = /^ {2}(?:code|status): (\d{3})/m.exec(error.message) ?? [];
      const isOwn = error instanceof GeminiCliError && OWN_CLASS.test(error.message);
      return { isOwn, status: status === undefined ? undefined : Number(status) };
    },
  };
}

const OWN_CLASS = /\b(?:ModelNotFoundError|TerminalQuotaError|RetryableQuotaError|_ApiError): /;

tryClient({
  name: '@google/gemini-cli',
  clientOf,
  retrying: true,
  // By that class it tells a spent day from a full minute, and tries no other model or time.
  saysFinal: /\bTerminalQuotaError: /,
  without: {
    countTokens: 'it estimates',
    embed: 'it embeds nothing',
    upload: 'it sends files inline',
  },
});
