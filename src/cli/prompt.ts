import { createInterface } from 'node:readline';
import { type CliContext, pause } from './context.ts';
import type { Style } from './style.ts';

/** Lines that come within this are one paste, and one message. */
const PASTE_MS = 20;

/**
 * Asks for one message on the terminal. Null when the person ends the conversation with Ctrl-D or
 * Ctrl-C, or the process is asked to stop. `history` is what the arrow keys go through, newest first.
 */
export function askMessage(
  { clock, stdin, stderr }: CliContext,
  style: Style,
  history: readonly string[],
): Promise<string | null> {
  return new Promise((resolve) => {
    // One for each question: in between the terminal is the person's own, and Ctrl-C is a signal.
    const reader = createInterface({
      input: stdin,
      output: stderr,
      prompt: style.bold('> '),
      history: [...history],
    });
    const lines: string[] = [];
    const end = (): void => reader.close();
    const settle = async (): Promise<void> => {
      await pause(clock, PASTE_MS);
      // The end of a paste that has no line end waits for Enter.
      if (reader.line === '') end();
    };
    reader.on('line', (line) => {
      if (lines.push(line) === 1 || reader.line === '') void settle();
    });
    reader.on('SIGINT', () => {
      lines.length = 0;
      end();
    });
    for (const name of STOP_SIGNALS) process.once(name, end);
    reader.on('close', () => {
      for (const name of STOP_SIGNALS) process.off(name, end);
      resolve(lines.length === 0 ? null : lines.join('\n'));
    });
    reader.prompt();
  });
}

const STOP_SIGNALS = ['SIGTERM', 'SIGHUP'] as const;
