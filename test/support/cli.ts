import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Readable } from 'node:stream';
import type { Test } from 'tap';
import { run } from '../../src/cli/program.ts';
import { systemClock } from '../../src/clock.ts';
import type { Conversations } from '../../src/sessions/conversations.ts';

const MAIN = fileURLToPath(new URL('../../dist/main.js', import.meta.url));

export interface CliOptions {
  /** Beside PATH and a HOME of the test's own, which hold nothing of the user's. */
  readonly env?: Readonly<Record<string, string>>;
  /** Inside this process only: what stands for the keyboard or a pipe. */
  readonly stdin?: Readable & { readonly isTTY?: boolean };
  /** Inside this process only: whether stdout and stderr are a terminal. Default false. */
  readonly isTTY?: boolean;
  /** Of that terminal. Default 80. */
  readonly columns?: number;
  /** Inside this process only. */
  readonly conversations?: Conversations;
  /** Told of everything that is printed. */
  readonly onPrint?: (text: string) => void;
}

/** A command that has ended. */
export interface EndedCli {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A command that runs until it is told to stop. */
export interface RunningCli {
  /** Everything printed so far. */
  readonly printed: { readonly stdout: string; readonly stderr: string };
  /** Resolves with what the pattern first matches in stdout and stderr together. */
  waitFor(pattern: RegExp): Promise<RegExpExecArray>;
  signal(name: NodeJS.Signals): void;
  readonly ended: Promise<EndedCli>;
}

/**
 * Runs `headgate` inside this process, which takes a hundredth of the time. For commands that end by
 * themselves and take no signals.
 */
export async function runInside(
  t: Test,
  argv: readonly string[],
  options: CliOptions = {},
): Promise<EndedCli> {
  const home = homeOf(t);
  const printed = { stdout: '', stderr: '' };
  const stream = (name: 'stdout' | 'stderr') =>
    Object.assign(Object.create(process[name]), {
      isTTY: options.isTTY ?? false,
      columns: options.columns ?? 80,
      write(text: string) {
        printed[name] += text;
        options.onPrint?.(text);
        return true;
      },
    });
  const code = await run(argv, {
    env: { HOME: home, ...options.env },
    cwd: home,
    // What commands use of a terminal, every readable stream has.
    stdin: (options.stdin ?? process.stdin) as NodeJS.ReadStream,
    ...(options.conversations === undefined ? {} : { conversations: options.conversations }),
    stdout: stream('stdout'),
    stderr: stream('stderr'),
    clock: systemClock,
  });
  return { code, ...printed };
}

/** Runs the built `headgate` to its end. */
export function runCli(
  t: Test,
  argv: readonly string[],
  options: CliOptions = {},
): Promise<EndedCli> {
  return startCli(t, argv, options).ended;
}

/** Starts the built `headgate`; what still runs when the test ends is killed. */
export function startCli(t: Test, argv: readonly string[], options: CliOptions = {}): RunningCli {
  const home = homeOf(t);
  const child = spawn(process.execPath, [MAIN, ...argv], {
    cwd: home,
    env: { PATH: process.env['PATH'], HOME: home, ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  t.teardown(() => child.kill('SIGKILL'));
  const printed = { stdout: '', stderr: '' };
  const looks = new Set<() => void>();
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (text: string) => {
      printed[name] += text;
      for (const look of looks) look();
    });
  }
  const ended = once(child, 'close').then(([code]: (number | null)[]) => ({
    code: code ?? null,
    ...printed,
  }));
  return {
    printed,
    ended,
    signal: (name) => child.kill(name),
    waitFor: (pattern) =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          const found = pattern.exec(printed.stdout + printed.stderr);
          if (found === null) return;
          looks.delete(look);
          resolve(found);
        };
        looks.add(look);
        look();
        void ended.then(({ stderr }) =>
          reject(new Error(`ended before it printed ${String(pattern)}:\n${stderr}`)),
        );
      }),
  };
}

/** One directory for a test, however often it asks. */
function homeOf(t: Test): string {
  const known = homes.get(t);
  if (known !== undefined) return known;
  const home = mkdtempSync(join(tmpdir(), 'headgate-cli-'));
  homes.set(t, home);
  t.teardown(() => rmSync(home, { recursive: true, force: true }));
  return home;
}

const homes = new WeakMap<Test, string>();
