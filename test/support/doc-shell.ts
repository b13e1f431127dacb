import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';

/** A command of a page has ended. */
export interface EndedCommand {
  readonly code: number;
  /** stdout and stderr together. */
  readonly printed: string;
}

/** A command that goes on, as a daemon does. */
export interface LastingCommand {
  /** What its output was waited for. */
  readonly found: RegExpExecArray;
  /** Ctrl-C, and the end of it: the terminal is free again. */
  interrupt(): Promise<EndedCommand>;
}

/** A terminal in which somebody types what a page says, one command after another. */
export interface DocShell {
  run(command: string): Promise<EndedCommand>;
  /** Resolves when the command has printed what `ready` matches; rejects when it ends before. */
  start(command: string, ready: RegExp): Promise<LastingCommand>;
}

/** A test, or whatever else has an end. */
export interface Lifetime {
  teardown(close: () => unknown): void;
}

/** A command that takes longer has hung: most take a second on a machine that does little else. */
const COMMAND_MS_MAX = 90_000;

/**
 * The commands of a block, each with the lines that it goes on over; comments are none. A command is
 * whole when bash finds it so.
 */
export function commandsOf(block: string): readonly string[] {
  const commands: string[] = [];
  let open = '';
  for (const line of block.split('\n')) {
    if (open === '' && /^\s*(#|$)/.test(line)) continue;
    open += `${line}\n`;
    if (line.endsWith('\\')) continue;
    if (spawnSync('bash', ['-n', '-c', open]).status !== 0) continue;
    commands.push(open.trimEnd());
    open = '';
  }
  if (open !== '') throw new Error(`bash finds no end of:\n${open}`);
  return commands;
}

export interface ShellOptions {
  readonly cwd: string;
  readonly env: NodeJS.ProcessEnv;
  /** Lines for the shell itself, before the first command. */
  readonly prelude?: string;
  /** How long one command may take, ms. Default 90 s. */
  readonly commandMsMax?: number;
}

/**
 * Killed with the test, and what it started as well. What a command exports, and where it goes, holds
 * for those after it.
 */
export function openShell(
  t: Lifetime,
  { cwd, env, prelude = '', commandMsMax = COMMAND_MS_MAX }: ShellOptions,
): DocShell {
  // Aliases are for people, and need to be asked for in a script.
  const shell = spawn('bash', ['--norc', '-O', 'expand_aliases'], {
    cwd,
    env,
    stdio: ['pipe', 'pipe', 'ignore'],
    // A group of its own, so that Ctrl-C reaches what runs in it and nobody else.
    detached: true,
  });
  const signal = (name: NodeJS.Signals): void => {
    if (shell.pid === undefined) return;
    try {
      process.kill(-shell.pid, name);
    } catch {
      // Nothing of it runs any more.
    }
  };
  t.teardown(() => signal('SIGKILL'));
  let printed = '';
  const looks = new Set<() => void>();
  const changed = (): void => {
    for (const look of looks) look();
  };
  shell.stdout.setEncoding('utf8').on('data', (text: string) => {
    printed += text;
    changed();
  });
  void once(shell, 'close').then(changed);
  // Ctrl-C is for what runs in the shell; with a trap of its own, it stays.
  shell.stdin.write(`exec 2>&1\ntrap : INT\n${prelude}\n`);
  let count = 0;

  /** Types it, and answers with what can be waited for from there on. */
  const type = (command: string) => {
    count += 1;
    const mark = `@@@@ ${count} ended with`;
    const from = printed.length;
    // A terminal's input is the person's; here there is nobody.
    shell.stdin.write(`{ ${command}\n} </dev/null\nprintf '\\n%s %s\\n' '${mark}' "$?"\n`);
    const end = new RegExp(`\\n${mark} (\\d+)\\n`);
    const until = (pattern: RegExp): Promise<RegExpExecArray> =>
      new Promise((resolve, reject) => {
        const done = (): void => {
          clearTimeout(timer);
          looks.delete(look);
        };
        const fail = (why: string): void => {
          done();
          reject(new Error(`${why}: ${command}\n${printed.slice(from)}`));
        };
        const timer = setTimeout(() => fail('has not come so far'), commandMsMax);
        const look = (): void => {
          const match = pattern.exec(printed.slice(from));
          if (match !== null) {
            done();
            resolve(match);
          } else if (end.test(printed.slice(from))) fail('has ended before');
          else if (shell.exitCode !== null || shell.signalCode !== null) {
            fail('the shell has ended at');
          }
        };
        looks.add(look);
        look();
      });
    const ended = async (): Promise<EndedCommand> => {
      const found = await until(end);
      return { code: Number(found[1]), printed: printed.slice(from, from + found.index) };
    };
    return { until, ended };
  };

  return {
    run: (command) => type(command).ended(),
    async start(command, ready) {
      const { until, ended } = type(command);
      return {
        found: await until(ready),
        interrupt() {
          signal('SIGINT');
          return ended();
        },
      };
    },
  };
}
