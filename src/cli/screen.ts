import type { CliContext } from './context.ts';
import { columnsOf, rowsOf, visibleLength } from './style.ts';

/** Room to draw in. `rows` is Infinity where nothing is redrawn. */
export interface ScreenSize {
  readonly columns: number;
  readonly rows: number;
}

/** A terminal that is redrawn in place, like top. */
export interface Screen {
  /**
   * Replaces what is shown. `lines` is asked for at once, and again when the terminal changes its size;
   * what does not fit below is left out.
   */
  draw(lines: (size: ScreenSize) => readonly string[]): void;
  /** Aborted when the person presses q, Escape or Ctrl-C, or a signal asks to stop. */
  readonly left: AbortSignal;
  /** Gives the terminal back as it was. */
  close(): void;
}

/** The other screen, without a cursor, and without wrapping where a name is wider than it was taken for. */
const ENTER = '\u001b[?1049h\u001b[?25l\u001b[?7l';
const LEAVE = '\u001b[?7h\u001b[?25h\u001b[?1049l';
/** Terminals that know it show what is between at once; the others pass over it. */
const BEGIN_FRAME = '\u001b[?2026h\u001b[H';
const END_FRAME = '\u001b[?2026l';
const CLEAR = '\u001b[2J';
const CLEAR_LINE_END = '\u001b[K';
const CLEAR_BELOW = '\u001b[J';
const ESCAPE = '\u001b';
/** What q, Ctrl-C and Ctrl-D send; in raw mode Ctrl-C is a character and no signal. */
// oxlint-disable-next-line eslint/no-control-regex
const LEAVE_KEYS = /[qQ\u0003\u0004]/;

/** Takes the terminal over; without one, every drawing is printed below the one before. */
export function openScreen({ env, stdin, stdout }: CliContext): Screen {
  const leaving = new AbortController();
  const leave = (): void => leaving.abort();
  const onKey = (keys: Buffer | string): void => {
    const text = keys.toString();
    // Arrows and the like begin with Escape too, and mean nothing here.
    if (text === ESCAPE || (!text.startsWith(ESCAPE) && LEAVE_KEYS.test(text))) leave();
  };
  const isRedrawn = stdout.isTTY && env['TERM'] !== 'dumb';
  const hasKeys = stdin.isTTY && isRedrawn;
  let shown: Parameters<Screen['draw']>[0] | null = null;

  function paint(before: string): void {
    const size = { columns: columnsOf(stdout), rows: rowsOf(stdout) };
    const lines = (shown?.(size) ?? []).slice(0, size.rows);
    const text = lines
      // Behind a full line the cursor stands on its last character, which would be cleared.
      .map((line) => (visibleLength(line) < size.columns ? line + CLEAR_LINE_END : line))
      .join('\r\n');
    stdout.write(BEGIN_FRAME + before + text + (lines.length < size.rows ? BELOW : '') + END_FRAME);
  }
  const onResize = (): void => paint(CLEAR);

  process.once('SIGINT', leave);
  process.once('SIGTERM', leave);
  if (isRedrawn) {
    stdout.write(ENTER);
    stdout.on('resize', onResize);
  }
  if (hasKeys) {
    stdin.setRawMode(true);
    stdin.on('data', onKey);
  }
  return {
    left: leaving.signal,
    draw(lines) {
      shown = lines;
      if (isRedrawn) paint('');
      else stdout.write(`${lines({ columns: columnsOf(stdout), rows: Infinity }).join('\n')}\n\n`);
    },
    close() {
      process.off('SIGINT', leave);
      process.off('SIGTERM', leave);
      if (hasKeys) {
        stdin.off('data', onKey);
        stdin.setRawMode(false);
        stdin.pause();
      }
      if (!isRedrawn) return;
      stdout.off('resize', onResize);
      stdout.write(LEAVE);
    },
  };
}

/** From the next line on, as the last line of the drawing was not ended. */
const BELOW = `\r\n${CLEAR_BELOW}`;
