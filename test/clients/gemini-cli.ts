import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import type { Test } from 'tap';

const MAIN = fileURLToPath(
  new URL('./node_modules/@google/gemini-cli/bundle/gemini.js', import.meta.url),
);
/**
 * Nothing leaves the machine. Retention is off because its clean-up removes a chat together with the
 * empty file that resuming it leaves behind (0.61.0), at the next start and so in the middle of a test.
 * What the simulator says over and over it takes for a model that has lost its way.
 */
const SETTINGS = {
  general: {
    enableAutoUpdate: false,
    enableAutoUpdateNotification: false,
    sessionRetention: { enabled: false },
  },
  model: { disableLoopDetection: true },
  privacy: { usageStatisticsEnabled: false },
  telemetry: { enabled: false },
  security: { auth: { selectedType: 'gemini-api-key' } },
};

/** What it printed of its trouble before it ended with another code than 0. */
export class GeminiCliError extends Error {
  readonly code: number | null;

  constructor(code: number | null, printed: string) {
    super(printed);
    this.code = code;
  }
}

/** The real Gemini CLI with a home and a project of the test's own. */
export interface GeminiCli {
  /** `.gemini/tmp` of its home, where its chats are. */
  readonly root: string;
  /** Directory of the project below the root. */
  readonly project: string;
  /** What it prints when it is asked without a terminal. Rejects with a `GeminiCliError`. */
  ask(message: string, ...flags: readonly string[]): Promise<string>;
  run(...flags: readonly string[]): Promise<string>;
  /** Tells each piece of the answer as it prints it. `signal` presses Ctrl-C. Rejects when it fails. */
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
    // It leaves reports of its errors there.
    TMPDIR: directory,
  });
  const start = (flags: readonly string[], env: NodeJS.ProcessEnv = {}): Running => {
    const args = [MAIN, '--skip-trust', '-m', model, ...flags];
    const child = spawn(process.execPath, args, {
      cwd: workspace,
      stdio: ['ignore', 'pipe', 'pipe'],
      // It runs a second process and leaves signals to that one, as a terminal sends them to both.
      detached: true,
      env: { ...environment(), ...env },
    });
    const running = runningOf(child);
    t.teardown(async () => {
      running.signal('SIGKILL');
      await running.ended.catch(() => undefined);
    });
    return running;
  };
  const cli: GeminiCli = {
    workspace,
    async stream(message, saw, signal) {
      const running = start(['--output-format', 'stream-json', '-p', message]);
      signal.addEventListener('abort', () => running.signal('SIGINT'));
      createInterface(running.stdout).on('line', (line) => {
        if (!line.startsWith('{')) return;
        const { type, role, content } = JSON.parse(line);
        if (type === 'message' && role === 'assistant') saw(content);
      });
      await running.ended;
      signal.throwIfAborted();
    },
    root,
    project,
    ask: (message, ...flags) => cli.run('-p', message, ...flags),
    async run(...flags) {
      // A second process, with more memory, takes as long again to start.
      const running = start(flags, { GEMINI_CLI_NO_RELAUNCH: 'true' });
      let printed = '';
      running.stdout.setEncoding('utf8').on('data', (text: string) => {
        printed += text;
      });
      await running.ended;
      return printed.trim();
    },
    chats: () =>
      readdirSync(join(project, 'chats'))
        .filter((name) => name.startsWith('session-'))
        .toSorted(),
  };
  return cli;
}

interface Running {
  readonly stdout: Readable;
  /** Rejects with a `GeminiCliError`. */
  readonly ended: Promise<void>;
  /** To it and to the process that it runs; nothing once it has ended. */
  signal(name: 'SIGINT' | 'SIGKILL'): void;
}

function runningOf(child: ChildProcessByStdio<null, Readable, Readable>): Running {
  let trouble = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    trouble += text;
  });
  const ended = (async () => {
    const [code] = await once(child, 'close');
    if (code !== 0) throw new GeminiCliError(code, trouble);
  })();
  // Whoever wants to know awaits it.
  ended.catch(() => undefined);
  return {
    stdout: child.stdout,
    ended,
    signal(name) {
      if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
      process.kill(-child.pid, name);
    },
  };
}
