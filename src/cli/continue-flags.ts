import { resolve } from 'node:path';
import { type Command, Option } from 'commander';
import type { ContinueRequest } from '../sessions/contracts.ts';
import type { CallTargetFlags } from './call-target.ts';
import { CommandFailure, type CliContext } from './context.ts';
import { addSessionOptions, type SessionFlags } from './conversations.ts';
import { collect } from './serve.ts';
import { settingsOf } from './setting.ts';

/** As commander gives them. */
export interface ContinueFlags extends SessionFlags, CallTargetFlags {
  readonly message?: string;
  readonly agent?: string;
  readonly model?: string;
  readonly sessionConfig?: string;
  readonly set?: readonly string[];
  readonly maxTurns?: string;
  readonly idempotencyKey?: string;
  readonly dryRun?: boolean;
  readonly json?: boolean;
  /** Of the program: --rate-limit and --no-rate-limit. */
  readonly rateLimit?: boolean;
}

/** What a turn is made from, but its message. */
export type TurnSettings = Omit<ContinueRequest, 'message' | 'parts'>;

/** Flags of `continue` that `serve` does not have. */
const TURN_OPTIONS: readonly (readonly [string, string, typeof collect?])[] = [
  ['-m, --message <text>', 'the message; - reads it from stdin'],
  ['--agent <id>', 'which agent answers (default: the one that answered last)'],
  ['--model <name>', 'the model instead of the one it had'],
  [
    '--session-config <file>',
    'settings from this file, YAML or JSON; wins over those of the session',
  ],
  ['--set <key=value>', 'one setting, as temperature=0.2; wins over all; may be repeated', collect],
  ['--max-turns <n>', 'send the newest N turns only (default: all that fit)'],
  ['--idempotency-key <key>', 'the same key takes the same turn once, and gives it again'],
  ['--dry-run', 'print the request instead of sending it'],
  ['--json', 'print JSON, as the HTTP route answers'],
];

const TARGET_OPTIONS: readonly (readonly [string, string])[] = [
  [
    '--url <url>',
    'the daemon to call through; else $HEADGATE_URL, else `listen` of the configuration',
  ],
  ['--token <token>', 'its admin.token; else $HEADGATE_TOKEN, else from the configuration'],
];

export function addContinueOptions(command: Command): Command {
  for (const [flags, description, parse] of TURN_OPTIONS) {
    command.addOption(optionOf(flags, description, parse));
  }
  addSessionOptions(command.optionsGroup('Where it is, and what the call goes through:'));
  for (const [flags, description] of TARGET_OPTIONS) command.option(flags, description);
  return command.option('--simulate', 'a simulated Gemini answers; needs no key and no network');
}

/** `headgate --continue [LOG_DIR]` takes them too; its help points at that of the command. */
export function addHiddenContinueOptions(program: Command): void {
  program.option('--continue [log-dir]', 'go on with a past conversation, as the command continue');
  for (const [flags, description, parse] of [...TURN_OPTIONS, ...TARGET_OPTIONS]) {
    program.addOption(optionOf(flags, description, parse).hideHelp());
  }
}

function optionOf(flags: string, description: string, parse?: typeof collect): Option {
  const option = new Option(flags, description);
  return parse === undefined ? option : option.argParser(parse);
}

/** The first flag that only `continue` has; null where none is there. */
export function continueFlagIn(flags: ContinueFlags): string | null {
  const given = new Set(Object.keys(flags));
  const options = [...TURN_OPTIONS, ...TARGET_OPTIONS].map(([text]) => new Option(text));
  return options.find((option) => given.has(option.attributeName()))?.long ?? null;
}

/** Throws a CommandFailure that names the flag. */
export function turnSettingsOf({ cwd }: CliContext, flags: ContinueFlags): TurnSettings {
  const { agent = null, model = null, sessionConfig, idempotencyKey = null } = flags;
  return {
    agent,
    model,
    config: settingsOf(flags.set),
    configPath: sessionConfig === undefined ? null : resolve(cwd, sessionConfig),
    turnsMax: turnsMaxOf(flags.maxTurns),
    idempotencyKey,
  };
}

function turnsMaxOf(text: string | undefined): number | null {
  if (text === undefined) return null;
  const turns = Number(text);
  if (text.trim() !== '' && Number.isSafeInteger(turns) && turns >= 0) return turns;
  throw new CommandFailure('usage', `--max-turns is '${text}'; say a whole number`);
}
