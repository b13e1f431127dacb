import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import type { Test } from 'tap';

/** A command of a page has ended. */
export interface EndedCommand {
  readonly code: number;
  /** stdout and stderr together. */
  readonly printed: string;
}

/** A terminal in which somebody types what a page says, one command after another. */
export interface DocShell {
  run(command: string): Promise<EndedCommand>;
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

/** Killed with the test. What a command exports, and where it goes, holds for those after it. */
export function openShell(
  t: Test,
  { cwd, env, prelude = '' }: { cwd: string; env: NodeJS.ProcessEnv; prelude?: string },
): DocShell {
  // Aliases are for people, and need to be asked for in a script.
  const shell = spawn('bash', ['--norc', '-O', 'expand_aliases'], {
    cwd,
    env,
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  t.teardown(() => shell.kill('SIGKILL'));
  let printed = '';
  const looks = new Set<() => void>();
  const changed = (): void => {
    for (const look of looks) look();
  };
  shell.stdout.setEncoding('utf8').on('data', (text: string) => {
    printed += text;
    changed();
  });
  const closed = once(shell, 'close').then(changed);
  shell.stdin.write(`exec 2>&1\n${prelude}\n`);
  let count = 0;
  return {
    async run(command) {
      count += 1;
      const mark = `@@@@ ${count} ended with`;
      const from = printed.length;
      // A terminal's input is the person's; here there is nobody.
      shell.stdin.write(`{ ${command}\n} </dev/null\nprintf '\\n%s %s\\n' '${mark}' "$?"\n`);
      const end = new RegExp(`\\n${mark} (\\d+)\\n`);
      const found = await new Promise<RegExpExecArray>((resolve, reject) => {
        const fail = (why: string): void =>
          reject(new Error(`${why}: ${command}\n${printed.slice(from)}`));
        const timer = setTimeout(() => fail('has not ended'), COMMAND_MS_MAX);
        const look = (): void => {
          const match = end.exec(printed.slice(from));
          if (match === null && shell.exitCode === null && shell.signalCode === null) return;
          clearTimeout(timer);
          looks.delete(look);
          if (match === null) fail('the shell has ended at');
          else resolve(match);
        };
        looks.add(look);
        look();
        void closed;
      });
      return {
        code: Number(found[1]),
        printed: printed.slice(from, from + found.index),
      };
    },
  };
}
