import type { Command } from 'commander';
import type { LimitsView } from '../http/views.ts';
import { CommandFailure, type CliContext, printJson, printLine } from './context.ts';
import { addClientOptions, type ClientFlags, withDaemon } from './daemon-client.ts';
import { limitTable } from './limit-table.ts';
import { columnsOf, styleFor } from './style.ts';

interface LimitsFlags extends ClientFlags {
  readonly project?: string;
  readonly json?: boolean;
}

export function addLimits(program: Command, context: CliContext): void {
  const limits = program
    .command('limits')
    .description('limits in force; live changes, kept across a restart')
    .addHelpText('after', EXAMPLES);
  const add = (command: Command): Command =>
    addClientOptions(command.option('--json', 'print JSON')).addHelpText('after', EXAMPLES);
  add(limits.command('list').description('print the limits in force')).action(
    (flags: LimitsFlags) => list(context, flags),
  );
  add(
    limits
      .command('set')
      .description('set limits of a model from now on')
      .argument('<model>', 'its name, as headgate status shows it')
      .argument('<limits...>', 'NAME=NUMBER, as rpm=5 tpm=100000; NAME=null takes one back')
      .option('--project <name>', 'whose quota (default: default)'),
  ).action((model: string, pairs: readonly string[], flags: LimitsFlags) =>
    set(context, model, pairs, flags),
  );
  add(
    limits
      .command('reset')
      .description('forget what was set live or learned, and lift cooldowns')
      .argument('<model>', 'as in set')
      .option('--project <name>', 'whose quota (default: default)'),
  ).action((model: string, flags: LimitsFlags) => reset(context, model, flags));
}

const EXAMPLES = `
Examples:
  headgate limits list
  headgate limits set gemini-2.5-flash rpm=5 tpm=100000
  headgate limits set gemini-2.5-flash rpm=null
  headgate limits reset gemini-2.5-flash`;

async function list(context: CliContext, flags: LimitsFlags): Promise<void> {
  const { limits } = await withDaemon(context, flags, (daemon) =>
    daemon.ask<{ readonly limits: readonly LimitsView[] }>('GET', '/limits'),
  );
  if (flags.json === true) return printJson(context.stdout, { limits });
  printTable(context, limits);
}

async function set(
  context: CliContext,
  model: string,
  pairs: readonly string[],
  flags: LimitsFlags,
): Promise<void> {
  const wanted = Object.fromEntries(pairs.map(limitOf));
  const view = await withDaemon(context, flags, (daemon) =>
    daemon.ask<LimitsView>('PATCH', pathOf(model, flags), wanted),
  );
  if (flags.json === true) return printJson(context.stdout, view);
  printTable(context, [view]);
}

async function reset(context: CliContext, model: string, flags: LimitsFlags): Promise<void> {
  const view = await withDaemon(context, flags, (daemon) =>
    daemon.ask<LimitsView>('DELETE', pathOf(model, flags)),
  );
  if (flags.json === true) return printJson(context.stdout, view);
  printTable(context, [view]);
}

function limitOf(pair: string): [string, number | null] {
  const [, name, text] = /^([^=]+)=(.+)$/.exec(pair) ?? [];
  if (name !== undefined && text === 'null') return [name, null];
  const limit = Number(text?.replaceAll(/[_,]/g, '') ?? NaN);
  if (name === undefined || !Number.isFinite(limit) || limit < 0) {
    throw new CommandFailure('usage', `'${pair}' is no limit; say NAME=NUMBER, such as rpm=5`);
  }
  return [name, limit];
}

function pathOf(model: string, { project }: LimitsFlags): string {
  const query = project === undefined ? '' : `?project=${encodeURIComponent(project)}`;
  return `/limits/${encodeURIComponent(model)}${query}`;
}

function printTable({ stdout, env }: CliContext, limits: readonly LimitsView[]): void {
  const width = stdout.isTTY ? columnsOf(stdout) : Infinity;
  for (const line of limitTable(limits, { style: styleFor(stdout, env), width })) {
    printLine(stdout, line);
  }
}
