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
import { watchLines } from './watch-screen.ts';
import { duration, timeOfDay } from './words.ts';

interface StatusFlags extends ClientFlags {
  readonly watch?: boolean;
  readonly json?: boolean;
}

/** Twice a second: quicker than anyone reads, and next to nothing for the daemon. */
const REDRAW_MS = 500;
/** Waiting calls shown without --watch. */
const QUEUE_LINES = 20;
/** That it is back is said for so long. */
const NEWS_MS = 10_000;

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
  for (const line of drawn(context, view)) printLine(context.stdout, line);
}

async function watch(context: CliContext, daemon: DaemonClient, flags: StatusFlags): Promise<void> {
  const { clock, env, stdout } = context;
  const ask = () => daemon.ask<StatusView>('GET', '/status');
  // A daemon that was never there ends the command; one that goes away may come back.
  let view = await ask();
  if (flags.json === true) return watchJson(context, daemon, view);
  const style = styleFor(stdout, env);
  const screen = openScreen(context);
  const left = new Promise<null>((resolve) => {
    screen.left.addEventListener('abort', () => resolve(null));
  });
  let seenMs = clock.wallMs();
  let goneMs: number | null = null;
  let news: string | null = null;
  let newsUntilMs = 0;
  try {
    while (!screen.left.aborted) {
      const shown = { view, nowMs: seenMs, style, news };
      screen.draw((size) => watchLines(shown.view, { ...shown, ...size }));
      await pause(clock, REDRAW_MS, screen.left);
      try {
        // Who leaves does not wait for a daemon that does not answer.
        const answer = await Promise.race([ask(), left]);
        if (answer === null) break;
        const isOther = answer.started_at !== view.started_at;
        view = answer;
        seenMs = clock.wallMs();
        if (goneMs !== null || isOther) {
          const how = isOther ? 'The daemon was started again' : 'The daemon answers again';
          const after = goneMs === null ? '' : ` after ${duration(seenMs - goneMs)}`;
          news = style.green(`${how}${after}.`);
          newsUntilMs = seenMs + NEWS_MS;
          goneMs = null;
        } else if (seenMs > newsUntilMs) news = null;
      } catch (error) {
        if (!isUnreachable(error)) throw error;
        goneMs ??= seenMs;
        const since = timeOfDay(new Date(goneMs).toISOString(), clock.wallMs());
        news = style.red(`No daemon answers since ${since}; what follows is of then.`);
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

function drawn({ clock, env, stdout }: CliContext, view: StatusView): string[] {
  return statusLines(view, {
    style: styleFor(stdout, env),
    width: columnsOf(stdout),
    nowMs: clock.wallMs(),
    queueLines: QUEUE_LINES,
  });
}

function isUnreachable(error: unknown): error is CommandFailure {
  return error instanceof CommandFailure && error.exitCode === EXIT_CODES.unreachable;
}
