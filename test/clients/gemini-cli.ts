import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { Test } from 'tap';

const run = promisify(execFile);
const MAIN = fileURLToPath(
  new URL('./node_modules/@google/gemini-cli/bundle/gemini.js', import.meta.url),
);
/** Starting takes 2 s on an idle machine. */
const RUN_MS_MAX = 60_000;

/**
 * Nothing leaves the machine. Retention is off because its clean-up removes a chat together with the
 * empty file that resuming it leaves behind (0.61.0), at the next start and so in the middle of a test.
 */
const SETTINGS = {
  general: {
    enableAutoUpdate: false,
    enableAutoUpdateNotification: false,
    sessionRetention: { enabled: false },
  },
  privacy: { usageStatisticsEnabled: false },
  telemetry: { enabled: false },
  security: { auth: { selectedType: 'gemini-api-key' } },
};

/** The real Gemini CLI with a home and a project of the test's own. */
export interface GeminiCli {
  /** `.gemini/tmp` of its home, where its chats are. */
  readonly root: string;
  /** Directory of the project below the root. */
  readonly project: string;
  /** What it prints when it is asked without a terminal. Rejects when it fails. */
  ask(message: string, ...flags: readonly string[]): Promise<string>;
  run(...flags: readonly string[]): Promise<string>;
  /** Names of the chat files, sorted. */
  chats(): readonly string[];
}

/** Gemini CLI that calls the gate wherever it is by then, with the key that SDKs are given for it. */
export function geminiCliFor(t: Test, gate: { readonly url: string }, model: string): GeminiCli {
  const directory = mkdtempSync(join(tmpdir(), 'headgate-gemini-cli-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true, maxRetries: 5 }));
  const home = join(directory, 'home');
  const workspace = join(directory, 'orchard');
  mkdirSync(workspace);
  mkdirSync(join(home, '.gemini'), { recursive: true });
  writeFileSync(join(home, '.gemini', 'settings.json'), JSON.stringify(SETTINGS));
  const root = join(home, '.gemini', 'tmp');
  const project = join(root, 'orchard');
  const cli: GeminiCli = {
    root,
    project,
    ask: (message, ...flags) => cli.run('-p', message, ...flags),
    async run(...flags) {
      const ended = run(process.execPath, [MAIN, '--skip-trust', '-m', model, ...flags], {
        cwd: workspace,
        timeout: RUN_MS_MAX,
        env: {
          PATH: process.env['PATH'],
          HOME: home,
          GEMINI_API_KEY: 'headgate',
          GOOGLE_GEMINI_BASE_URL: gate.url,
        },
      });
      // It would wait for a message on its standard input.
      ended.child.stdin?.end();
      return (await ended).stdout.trim();
    },
    chats: () =>
      readdirSync(join(project, 'chats'))
        .filter((name) => name.startsWith('session-'))
        .toSorted(),
  };
  return cli;
}
