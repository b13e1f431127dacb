import { Command, CommanderError } from 'commander';
import { distance } from 'fastest-levenshtein';
import { ConfigError, formatProblem } from '../config/problems.ts';
import { ProxyError } from '../errors.ts';
import { ScenarioError } from '../simulator/scenario.ts';
import { VERSION } from '../version.ts';
import { addCheck } from './check.ts';
import { addCompletion } from './completion.ts';
import { CommandFailure, type CliContext, EXIT_CODES, printLine } from './context.ts';
import { addContinue, continueSession } from './continue.ts';
import { addHiddenContinueOptions, continueFlagIn, type ContinueFlags } from './continue-flags.ts';
import { addDemo } from './demo.ts';
import { addDoctor } from './doctor.ts';
import { addEnv } from './env.ts';
import { addExplain } from './explain.ts';
import { addLimits } from './limits.ts';
import { addReload } from './reload.ts';
import { addServe, addServeOptions, serve, type ServeFlags } from './serve.ts';
import { addSessions } from './sessions.ts';
import { addSimulate } from './simulate.ts';
import { addStatus } from './status.ts';
import { styleFor } from './style.ts';
import { addUsage } from './usage.ts';
import { counted } from './words.ts';

/** Runs the command that `argv` names (without node and script) and answers the exit code. */
export async function run(argv: readonly string[], context: CliContext): Promise<number> {
  try {
    await createProgram(context).parseAsync(argv, { from: 'user' });
    return EXIT_CODES.ok;
  } catch (error) {
    return exitCodeOf(error, context);
  }
}

/** Every command with its flags; also for the test that compares them with docs/cli.md. */
export function createProgram(context: CliContext): Command {
  const program = new Command('headgate')
    .description('Keeps Gemini clients inside the quota: calls wait instead of failing with 429.')
    .usage('[command] [flags]')
    .version(VERSION, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print help; also after a command')
    .helpCommand('help [command]', 'print help for a command')
    .enablePositionalOptions()
    .exitOverride()
    .configureOutput({
      writeOut: (text) => context.stdout.write(text),
      writeErr: (text) => context.stderr.write(text),
      getOutHasColors: () => false,
      getErrHasColors: () => false,
      outputError: (text, write) => write(text.replace(/^error: /, 'headgate: ')),
    })
    .showHelpAfterError('Try headgate --help.')
    .argument('[command]', 'one of those below; serve when none is named')
    .addHelpText('after', PROGRAM_EXAMPLES)
    .action(async (name: string | undefined, flags: ProgramFlags) => {
      if (flags.continue !== undefined) return resume(context, name, flags);
      if (name !== undefined) throw unknownCommand(program, name);
      const stray = continueFlagIn(flags);
      if (stray !== null) throw new CommandFailure('usage', `${stray} belongs to --continue`);
      await serve(context, flags);
    });
  addHiddenContinueOptions(program);
  // A command would not see them there, and a call for JSON that is not heeded breaks a script.
  program.hook('preSubcommand', (_, command) => {
    const flags = program.opts<ProgramFlags>();
    const stray = flags.continue === undefined ? continueFlagIn(flags) : '--continue';
    if (stray === null) return;
    const message = `${stray} stands before ${command.name()}; put it behind, where it belongs there`;
    throw new CommandFailure('usage', message);
  });
  addServeOptions(program.optionsGroup('Flags of serve, the command when none is named:'));
  addServe(program, context);
  addDemo(program, context);
  addCheck(program, context);
  addStatus(program, context);
  addExplain(program, context);
  addUsage(program, context);
  addLimits(program, context);
  addReload(program, context);
  addSessions(program, context);
  addContinue(program, context);
  addEnv(program, context);
  addDoctor(program, context);
  addSimulate(program, context);
  addCompletion(program, context);
  return program;
}

interface ProgramFlags extends ServeFlags, ContinueFlags {
  /** True where no log is named. */
  readonly continue?: string | true;
}

/** `headgate --continue LOG_DIR` is also `headgate --continue -m TEXT LOG_DIR`. */
function resume(
  context: CliContext,
  name: string | undefined,
  { continue: given, ...flags }: ProgramFlags,
): Promise<void> {
  const logDir = typeof given === 'string' ? given : null;
  if (logDir !== null && name !== undefined) {
    throw new CommandFailure('usage', `two sessions are named, '${logDir}' and '${name}'; say one`);
  }
  return continueSession(context, logDir ?? name ?? null, flags);
}

const PROGRAM_EXAMPLES = `
Examples:
  headgate                                 run the daemon in front of the Gemini API
  headgate --simulate                      run it in front of a simulated Gemini; needs no key
  headgate demo                            see what it is for, without key or network
  headgate status --watch                  windows, queue and cooldowns as they move
  headgate explain gemini-2.5-pro          would a call pass now, and if not, when
  headgate sessions list                   past conversations that can be continued
  headgate --continue -m "And in French?"  go on with the newest of them

Exit codes: 0 ok, 1 failed, 2 usage, 69 daemon not reachable, 78 bad configuration.`;

function unknownCommand(program: Command, name: string): CommandFailure {
  const names = program.commands.map((command) => command.name());
  const nearest = names
    .map((known) => ({ known, far: distance(known, name) }))
    .sort((a, b) => a.far - b.far)[0];
  const isNear = nearest !== undefined && nearest.far <= Math.max(2, name.length / 3);
  const hint = isNear ? `(Did you mean ${nearest.known}?)` : `Commands: ${names.join(', ')}.`;
  return new CommandFailure('usage', `unknown command '${name}'\n${hint}\nTry headgate --help.`);
}

function exitCodeOf(error: unknown, context: CliContext): number {
  // Commander has said what there is to say.
  if (error instanceof CommanderError) {
    return error.exitCode === 0 ? EXIT_CODES.ok : EXIT_CODES.usage;
  }
  const { message, exitCode } = failureOf(error);
  const style = styleFor(context.stderr, context.env);
  printLine(context.stderr, `${style.red('headgate:')} ${message}`);
  return exitCode;
}

function failureOf(error: unknown): { readonly message: string; readonly exitCode: number } {
  if (error instanceof CommandFailure) return error;
  if (error instanceof ConfigError) {
    const { problems } = error;
    const lines = problems.map((problem) => `  ${formatProblem(problem)}`).join('\n');
    return {
      message: `the configuration has ${counted(problems.length, 'mistake')}\n${lines}`,
      exitCode: EXIT_CODES.badConfig,
    };
  }
  if (error instanceof ScenarioError) {
    return {
      message: `the scenario has mistakes\n  ${error.message.replaceAll('\n', '\n  ')}`,
      exitCode: EXIT_CODES.badConfig,
    };
  }
  if (error instanceof ProxyError) {
    const isConfig = error.reason === 'CONFIG_INVALID';
    return {
      message: error.message,
      exitCode: isConfig ? EXIT_CODES.badConfig : EXIT_CODES.failed,
    };
  }
  const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return { message, exitCode: EXIT_CODES.failed };
}
