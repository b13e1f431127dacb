import { createProgram } from '../../src/cli/program.ts';
import { systemClock } from '../../src/clock.ts';
import { ROOT } from './doc-pages.ts';

/** How a page calls headgate: installed, without installing, or from a checkout. */
const CALL = /^(?:npx headgate|headgate|npm start --|npm start(?=$|\s+#))(?:\s+|$)/;
/** What stands in a page for a word of the reader's. */
const STAND_IN = /^[[<]|^[A-Z][A-Z0-9_]*(\.\.\.)?$|[=/.]/;

/** What follows headgate's name in one command of a page; null where it is another program. */
export function argumentsIn(command: string): readonly string[] | null {
  const call = CALL.exec(command)?.[0];
  if (call === undefined) return null;
  const [own = ''] = command.slice(call.length).split(/\s[|>]|\s#|&&|;/);
  return [...own.matchAll(/(?:"[^"]*"|'[^']*'|[^\s"'])+/g)].map(([word]) => word);
}

/** Every call of headgate in a block of commands, behind pipes and in substitutions too. */
export function callsIn(block: string): readonly (readonly string[])[] {
  return block
    .replaceAll(/\\\n\s*/g, ' ')
    .split(/\n|\| |&& |; |(?=\$\()|=(?="\$\()/)
    .map((part) => part.replace(/^[\s$("]+/, '').replace(/\)"?\s*(#.*)?$/, ''))
    .flatMap((part) => {
      const words = argumentsIn(part);
      return words === null ? [] : [words];
    });
}

/** What is wrong with a call: a command or a flag that headgate has not. Null where nothing is. */
export function mistakeIn(words: readonly string[]): string | null {
  const program = ownProgram();
  const known = new Set(['--help', '-h']);
  const learn = (options: readonly { long?: string | null; short?: string | null }[]): void => {
    for (const { long, short } of options) {
      if (typeof long === 'string') known.add(long);
      if (typeof short === 'string') known.add(short);
    }
  };
  let command = program;
  let rest = words;
  while (command.commands.length > 0 && rest.length > 0) {
    const [word = ''] = rest;
    const next = command.commands.find((one) => one.name() === word);
    if (next === undefined) {
      const isFree = word.startsWith('-') || STAND_IN.test(word) || word === 'help';
      if (!isFree) return `headgate ${words.join(' ')}: there is no command ${word}`;
      break;
    }
    command = next;
    rest = rest.slice(1);
  }
  learn(command.options);
  const flags = rest.filter((word) => /^--?[a-z]/i.test(word)).map((word) => word.split('=')[0]);
  const unknown = flags.find((flag) => flag !== undefined && !known.has(flag));
  if (unknown === undefined) return null;
  return `headgate ${words.join(' ')}: ${command.name()} has no flag ${unknown}`;
}

/** Every flag of every command, long and short. */
export function allFlags(): ReadonlySet<string> {
  const program = ownProgram();
  const all = [program, ...program.commands.flatMap((one) => [one, ...one.commands])];
  const flags = all.flatMap(({ options }) => options.flatMap(({ long, short }) => [long, short]));
  return new Set([...flags.filter((flag) => typeof flag === 'string'), '--help', '-h']);
}

/** Every command, of those with several the first word. */
export function commandNames(): readonly string[] {
  return ownProgram().commands.map((command) => command.name());
}

function ownProgram(): ReturnType<typeof createProgram> {
  const { env, stdin, stdout, stderr } = process;
  return createProgram({ env, cwd: ROOT, stdin, stdout, stderr, clock: systemClock });
}
