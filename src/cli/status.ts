import type { Command } from 'commander';
import type { StatusView } from '../http/views.ts';
import {
  CommandFailure,
  type CliContext,
  EXIT_CODES,
  pause,
  printJson,
  printLine,
} from './context.ts';
import {
  addClientOptions,
  type ClientFlags,
  type DaemonClient,
  withDaemon,
} from './daemon-client.ts';
import { openScreen } from './screen.ts';
import { statusLines } from './status-screen.ts';
import { columnsOf, styleFor } from './style.ts';

interface StatusFlags extends ClientFlags {
  readonly watch?: boolean;
  readonly json?: boolean;
}

/** Twice a second: quicker than anyone reads, and next to nothing for the daemon. */
const REDRAW_MS = 500;
/** Waiting calls shown once, and at every redraw. */
const QUEUE_LINES = 20;
const QUEUE_LINES_WATCHED = 12;

export function addStatus(program: Command, context: CliContext): void {
  addClientOptions(
    program
      .command('status')
      .description('windows, queue, cooldowns and recent refusals')
      .option('--watch', 'redraw in place twice a second; q or Ctrl-C ends it')
      .option('--json', 'print JSON; with --watch one object a line'),
  )
    .addHelpText(
      'after',
      `
Examples:
  headgate status
  headgate status --watch
  headgate status --json | jq .totals.upstream_rejections
  headgate status --url http://127.0.0.1:4291

In a bar, █ is used, ▓ is held by calls under way, ░ is free.`,
    )
    .action((flags: StatusFlags) =>
      withDaemon(context, flags, (daemon) =>
        flags.watch === true ? watch(context, daemon, flags) : once(context, daemon, flags),
      ),
    );
}

async function once(context: CliContext, daemon: DaemonClient, flags: StatusFlags): Promise<void> {
  const view = await daemon.ask<StatusView>('GET', '/status');
  if (flags.json === true) return printJson(context.stdout, view);
  for (const line of drawn(context, view, QUEUE_LINES)) printLine(context.stdout, line);
}

async function watch(context: CliContext, daemon: DaemonClient, flags: StatusFlags): Promise<void> {
  const { clock, stdout } = context;
  // A daemon that was never there ends the command; one that goes away may come back.
  let view = await daemon.ask<StatusView>('GET', '/status');
  if (flags.json === true) return watchJson(context, daemon, view);
  const screen = openScreen(context);
  try {
    let trouble = '';
    while (!screen.left.aborted) {
      const lines = drawn(context, view, QUEUE_LINES_WATCHED);
      screen.draw(trouble === '' ? lines : [styleFor(stdout, context.env).red(trouble), ...lines]);
      await pause(clock, REDRAW_MS, screen.left);
      try {
        view = await daemon.ask<StatusView>('GET', '/status');
        trouble = '';
      } catch (error) {
        if (!isUnreachable(error)) throw error;
        trouble = `${error.message.split('\n')[0]}; what follows is old`;
      }
    }
  } finally {
    screen.close();
  }
}

async function watchJson(
  { clock, stdout }: CliContext,
  daemon: DaemonClient,
  first: StatusView,
): Promise<void> {
  for (let view = first; ; view = await daemon.ask<StatusView>('GET', '/status')) {
    printLine(stdout, JSON.stringify(view));
    await pause(clock, REDRAW_MS);
  }
}

function drawn({ clock, env, stdout }: CliContext, view: StatusView, queueLines: number): string[] {
  return statusLines(view, {
    style: styleFor(stdout, env),
    width: columnsOf(stdout),
    nowMs: clock.wallMs(),
    queueLines,
  });
}

function isUnreachable(error: unknown): error is CommandFailure {
  return error instanceof CommandFailure && error.exitCode === EXIT_CODES.unreachable;
}
