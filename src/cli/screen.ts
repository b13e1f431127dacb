import type { CliContext } from './context.ts';

/** A terminal that is redrawn in place, like top. */
export interface Screen {
  /** Replaces what is shown; what does not fit below is left out. */
  draw(lines: readonly string[]): void;
  /** Aborted when the person presses q or Ctrl-C, or a signal asks to stop. */
  readonly left: AbortSignal;
  /** Gives the terminal back as it was. */
  close(): void;
}

const ENTER = '\u001b[?1049h\u001b[?25l';
const LEAVE = '\u001b[?25h\u001b[?1049l';
const HOME = '\u001b[H';
const CLEAR_LINE_END = '\u001b[K';
const CLEAR_BELOW = '\u001b[J';
/** What the keys send; in raw mode Ctrl-C is a character and no signal. */
const LEAVE_KEYS = new Set(['q', 'Q', '\u0003', '\u0004', '\u001b']);

/** Takes the terminal over; without one, every drawing is printed below the one before. */
export function openScreen({ stdin, stdout }: CliContext): Screen {
  const leaving = new AbortController();
  const leave = (): void => leaving.abort();
  const onKey = (keys: Buffer): void => {
    if (LEAVE_KEYS.has(keys.toString())) leave();
  };
  const hasKeys = stdin.isTTY && stdout.isTTY;
  process.once('SIGINT', leave);
  process.once('SIGTERM', leave);
  if (stdout.isTTY) stdout.write(ENTER);
  if (hasKeys) {
    stdin.setRawMode(true);
    stdin.on('data', onKey);
  }
  return {
    left: leaving.signal,
    draw(lines) {
      if (!stdout.isTTY) {
        stdout.write(`${lines.join('\n')}\n\n`);
        return;
      }
      const shown = lines.slice(0, Math.max(1, stdout.rows));
      const text = shown.map((line) => line + CLEAR_LINE_END).join('\r\n');
      stdout.write(HOME + text + CLEAR_BELOW);
    },
    close() {
      if (hasKeys) {
        stdin.off('data', onKey);
        stdin.setRawMode(false);
        stdin.pause();
      }
      if (stdout.isTTY) stdout.write(LEAVE);
    },
  };
}
