import type { StatusView } from '../http/views.ts';
import type { ScreenSize } from './screen.ts';
import { dayLine, targetWords, totalsLine } from './status-head.ts';
import type { ScreenOptions } from './status-screen.ts';
import { clipStyled, printable, type Style, visibleLength, wrapped } from './style.ts';
import { fittingCounts } from './watch-section.ts';
import { agentSection, queueSection, refusalSection } from './watch-tables.ts';
import { windowSection } from './watch-windows.ts';
import { counted } from './words.ts';

export interface WatchOptions extends ScreenSize {
  readonly style: Style;
  /** By the clock that the view was taken at, so that nothing runs down while no new one comes. */
  readonly nowMs: number;
  /** What is to be said of the daemon itself: that it has gone, or is back. */
  readonly news: string | null;
}

/** From this height on sections are set apart by empty lines. */
const ROOMY_ROWS = 34;
/** Share of the height that sentences may take. */
const BANNER_SHARE = 0.15;
const BANNER_LINES_MAX = 2;

/** The state of a daemon for a terminal of a given size: nothing wraps, and what is left out is told. */
export function watchLines(view: StatusView, options: WatchOptions): string[] {
  const { style, columns: width, rows, nowMs, news } = options;
  const drawn: ScreenOptions = { style, width, nowMs, queueLines: 0 };
  const head = [
    ...(news === null ? [] : [news]),
    headLine(view, options),
    totalsLine(view, style),
    dayLine(view, drawn),
    ...bannerLines(view.banners, options),
  ];
  const gap = rows >= ROOMY_ROWS ? [''] : [];
  const sections = [
    windowSection(view.partitions, drawn),
    queueSection(view, drawn),
    agentSection(view, drawn),
    refusalSection(view, drawn),
  ];
  const room = rows - head.length;
  const counts = fittingCounts(sections, room, gap.length);
  const lines = sections.flatMap((section, at) => {
    const count = counts[at] ?? 0;
    return count === 0 ? [] : [...gap, ...section.linesOf(count)];
  });
  const none = view.partitions.length === 0 ? ['', 'No call has come yet.'] : [];
  return [...head, ...none, ...lines].map((line) => clipStyled(line, width));
}

/** Who it is at the left, how to leave at the right. */
function headLine(view: StatusView, { style, columns }: WatchOptions): string {
  const left = `${style.bold(`headgate ${view.version}`)} ${style.cyan(view.listen)} for ${targetWords(view)}`;
  const right = 'q quits';
  const space = columns - visibleLength(left) - right.length;
  return space < 2 ? left : left + ' '.repeat(space) + style.dim(right);
}

/** Each sentence in one or two lines; those without room are counted. */
function bannerLines(
  banners: readonly string[],
  { style, columns, rows }: Pick<WatchOptions, 'style' | 'columns' | 'rows'>,
): string[] {
  const room = rows === Infinity ? Infinity : Math.max(2, Math.floor(rows * BANNER_SHARE));
  const lines: string[] = [];
  for (const [at, banner] of banners.entries()) {
    const left = room - lines.length - (at < banners.length - 1 ? 1 : 0);
    if (left <= 0) {
      lines.push(`  and ${counted(banners.length - at, 'more note')}: headgate status`);
      break;
    }
    const text = wrapped(printable(banner), columns - 2, Math.min(left, BANNER_LINES_MAX));
    lines.push(...text.map((line, row) => `${row === 0 ? '!' : ' '} ${line}`));
  }
  return lines.map(style.yellow);
}
