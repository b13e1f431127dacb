import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
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
  /** Tells each piece of the answer as it prints it. Rejects when `signal` ends it, and when it fails. */
  stream(message: string, saw: (text: string) => void, signal: AbortSignal): Promise<void>;
  /** Where it is started; what it finds there it takes for the project's. */
  readonly workspace: string;
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
  const environment = () => ({
    PATH: process.env['PATH'],
    HOME: home,
    GEMINI_API_KEY: 'headgate',
    GOOGLE_GEMINI_BASE_URL: gate.url,
  });
  const cli: GeminiCli = {
    workspace,
    async stream(message, saw, signal) {
      const asked = ['--output-format', 'stream-json', '-p', message];
      const child = spawn(process.execPath, [MAIN, '--skip-trust', '-m', model, ...asked], {
        cwd: workspace,
        stdio: ['ignore', 'pipe', 'ignore'],
        killSignal: 'SIGKILL',
        signal,
        env: environment(),
      });
      child.on('error', () => undefined);
      createInterface(child.stdout).on('line', (line) => {
        if (!line.startsWith('{')) return;
        const { type, role, content } = JSON.parse(line);
        if (type === 'message' && role === 'assistant') saw(content);
      });
      const [code] = await once(child, 'close');
      if (code !== 0) throw new Error(`Gemini CLI ended with ${code}`);
    },
    root,
    project,
    ask: (message, ...flags) => cli.run('-p', message, ...flags),
    async run(...flags) {
      const ended = run(process.execPath, [MAIN, '--skip-trust', '-m', model, ...flags], {
        cwd: workspace,
        timeout: RUN_MS_MAX,
        env: environment(),
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
