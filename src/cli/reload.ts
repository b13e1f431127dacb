import type { Command } from 'commander';
import type { ReloadView } from '../http/views.ts';
import { type CliContext, printJson, printLine } from './context.ts';
import { addClientOptions, type ClientFlags, withDaemon } from './daemon-client.ts';

interface ReloadFlags extends ClientFlags {
  readonly json?: boolean;
}

export function addReload(program: Command, context: CliContext): void {
  addClientOptions(
    program
      .command('reload')
      .description('make the daemon read its configuration again, as SIGHUP does')
      .option('--json', 'print JSON'),
  )
    .addHelpText(
      'after',
      `
Examples:
  headgate reload

A configuration with mistakes is not taken: the former one stays in force, and the exit code is 78.`,
    )
    .action((flags: ReloadFlags) => reload(context, flags));
}

async function reload(context: CliContext, flags: ReloadFlags): Promise<void> {
  const view = await withDaemon(context, flags, (daemon) =>
    daemon.ask<ReloadView>('POST', '/reload'),
  );
  if (flags.json === true) return printJson(context.stdout, view);
  const file = view.file ?? 'the built-in defaults';
  const words = view.result === 'applied' ? 'now in force' : 'unchanged';
  printLine(context.stdout, `${file}: ${words} (${view.hash})`);
  if (view.restart_needed.length > 0) {
    printLine(context.stderr, `only after a restart: ${view.restart_needed.join(', ')}`);
  }
}
