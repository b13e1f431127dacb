import { Argument, type Command, type Option } from 'commander';
import { LOG_LEVELS } from '../config/schema.ts';
import { CLIENT_SETTINGS } from './client-setting.ts';
import { bashScript } from './completion-bash.ts';
import { fishScript } from './completion-fish.ts';
import { zshScript } from './completion-zsh.ts';
import type { CliContext } from './context.ts';

/** What may stand behind a flag or in the place of an argument. */
export type Values =
  | { readonly kind: 'words'; readonly words: readonly string[] }
  | { readonly kind: 'files' }
  | { readonly kind: 'directories' }
  /** Whatever the user thinks of. */
  | { readonly kind: 'any' };

/** A flag, in one or two spellings. */
export interface CompletedFlag {
  /** With its dashes: `--json`, `-m`. */
  readonly names: readonly string[];
  readonly description: string;
  /** Null where it takes none. */
  readonly value: Values | null;
}

/** One command as a shell completes it. */
export interface CompletedCommand {
  /** Names from the program down, `limits set`; empty for the program itself. */
  readonly path: string;
  readonly commands: readonly { readonly name: string; readonly description: string }[];
  readonly flags: readonly CompletedFlag[];
  /** Of its first argument; null without any. */
  readonly argument: Values | null;
}

const SCRIPTS = { bash: bashScript, zsh: zshScript, fish: fishScript } as const;

export function addCompletion(program: Command, context: CliContext): void {
  program
    .command('completion')
    .description('print a script that completes commands, flags and values in a shell')
    .addArgument(new Argument('<shell>', 'which one').choices(Object.keys(SCRIPTS)))
    .addHelpText(
      'after',
      `
Examples:
  headgate completion zsh > ~/.zfunc/_headgate
  headgate completion fish > ~/.config/fish/completions/headgate.fish
  source <(headgate completion bash)

The last one belongs into ~/.bashrc. For zsh, ~/.zfunc stands in $fpath before compinit runs.`,
    )
    .action((shell: keyof typeof SCRIPTS) => {
      context.stdout.write(SCRIPTS[shell](completedCommands(program)));
    });
}

/** Every command that help shows, the program first. */
export function completedCommands(command: Command, path = ''): CompletedCommand[] {
  const help = command.createHelp();
  const below = help.visibleCommands(command);
  const [argument] = command.registeredArguments;
  return [
    {
      path,
      commands: below.map((one) => ({ name: one.name(), description: one.description() })),
      flags: help.visibleOptions(command).map(flagOf),
      argument: argument === undefined ? null : valuesOf(argument.name(), argument.argChoices),
    },
    ...below.flatMap((one) => completedCommands(one, `${path} ${one.name()}`.trimStart())),
  ];
}

function flagOf(option: Option): CompletedFlag {
  const placeholder = /[<[]([^>\].]+)/.exec(option.flags)?.[1] ?? '';
  const takesValue = option.required || option.optional;
  return {
    names: [option.long, option.short].filter((name) => name !== undefined),
    description: option.description,
    value: takesValue ? valuesOf(placeholder, option.argChoices) : null,
  };
}

/** What the name of a value says of it where it has no fixed choices. */
function valuesOf(name: string, choices: readonly string[] | undefined): Values {
  if (choices !== undefined) return { kind: 'words', words: choices };
  switch (name.toLowerCase()) {
    case 'file':
      return { kind: 'files' };
    case 'dir':
    case 'log_dir':
    case 'log-dir':
      return { kind: 'directories' };
    case 'level':
      return { kind: 'words', words: LOG_LEVELS };
    case 'client':
      return { kind: 'words', words: [...CLIENT_SETTINGS.keys()] };
    default:
      return { kind: 'any' };
  }
}
