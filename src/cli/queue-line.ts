import type { QueuedView } from '../http/views.ts';
import type { CallTarget } from './call-target.ts';
import { type CliContext, pause } from './context.ts';
import { clip, columnsOf, printable, styleFor } from './style.ts';
import { duration, timeOfDay } from './words.ts';

/** Shorter waits are not worth a word. */
const QUIET_MS = 2_000;
const REDRAW_MS = 1_000;
const CLEAR_LINE = '\r\u001b[K';

/**
 * While a call of `agent` waits in the queue: one line on the terminal that says for what, redrawn
 * each second. `end` takes it away. Without a terminal nothing is shown.
 */
export function showWaiting(
  context: CliContext,
  { client }: CallTarget,
  agent: string,
): { end(): void } {
  const { clock, env, stderr } = context;
  const ended = new AbortController();
  if (!stderr.isTTY) return { end: () => undefined };
  const style = styleFor(stderr, env);
  let isShown = false;

  function draw(waiting: QueuedView): void {
    const expected =
      waiting.expected_at === null
        ? ''
        : `, until ${timeOfDay(waiting.expected_at, clock.wallMs())}`;
    const text = `waiting ${duration(waiting.waited_ms)}${expected}: ${printable(waiting.reason)}`;
    stderr.write(CLEAR_LINE + style.yellow(clip(text, columnsOf(stderr) - 1)));
    isShown = true;
  }

  async function watch(): Promise<void> {
    await pause(clock, QUIET_MS, ended.signal);
    while (!ended.signal.aborted) {
      const { queue } = await client.ask<{ readonly queue: readonly QueuedView[] }>(
        'GET',
        '/queue',
      );
      const waiting = queue.find((one) => one.agent === agent);
      if (waiting !== undefined && !ended.signal.aborted) draw(waiting);
      await pause(clock, REDRAW_MS, ended.signal);
    }
  }
  // The line is a courtesy: where it cannot be had, the call goes on without it.
  watch().catch(() => undefined);

  return {
    end() {
      ended.abort();
      if (isShown) stderr.write(CLEAR_LINE);
    },
  };
}
