import type { PartitionView, WindowView } from '../http/views.ts';
import type { ScreenOptions } from './status-screen.ts';
import { clip, fitted, printable, visibleLength } from './style.ts';
import { isFull, sourceWords, windowBar } from './window-bar.ts';
import type { WatchSection } from './watch-section.ts';
import { amount, counted, wholeSeconds } from './words.ts';

/** Columns besides the bar; the name of a model and what it holds stand in the first. */
interface Widths {
  readonly name: number;
  readonly label: number;
  readonly bar: number;
  readonly held: number;
  readonly numbers: number;
  readonly next: number;
  readonly source: number;
}

const NARROW_COLUMNS = 100;
const LABEL_WIDTH_MAX = 8;
const BAR_WIDTH_MIN = 6;
const BAR_WIDTH_MAX = 60;
/** "23 h 59 min". */
const NEXT_WIDTH = 11;
/** Fewer are shown only where there is no room for anything. */
const LEAST = 2;

/** A bar for each window, one line each, with its model at the left. */
export function windowSection(
  partitions: readonly PartitionView[],
  options: ScreenOptions,
): WatchSection {
  const widths = widthsFor(partitions, options.width);
  const { style } = options;
  const title = [
    'MODEL'.padEnd(widths.name),
    'WINDOW'.padEnd(widths.label + 1 + widths.bar),
    ...(widths.held > 0 ? ['HELD'.padStart(widths.held)] : []),
    'USED / LIMIT'.padStart(widths.numbers),
    'NEXT IN'.padStart(widths.next),
    'LIMIT FROM',
  ].join(' ');
  return {
    total: partitions.length,
    least: LEAST,
    linesOf(count) {
      const shown = busiest(partitions, count);
      const more = partitions.length - shown.length;
      return [
        style.dim(title),
        ...shown.flatMap((partition) => partitionLines(partition, widths, options)),
        ...(more > 0 ? [style.dim(`and ${counted(more, 'more model')}`)] : []),
      ];
    },
  };
}

/** Those that something happens with, in the order in which all stand: nothing jumps about. */
function busiest(partitions: readonly PartitionView[], count: number): readonly PartitionView[] {
  const chosen = new Set(partitions.toSorted((a, b) => weight(b) - weight(a)).slice(0, count));
  return partitions.filter((partition) => chosen.has(partition));
}

function weight({ running, waiting, cooldowns, windows }: PartitionView): number {
  const isUsed = windows.some(({ used }) => used > 0);
  return waiting * 1_000 + running * 1_000 + cooldowns.length * 10 + (isUsed ? 1 : 0);
}

function partitionLines(
  partition: PartitionView,
  widths: Widths,
  options: ScreenOptions,
): string[] {
  const names = nameLines(partition, widths, options);
  const windows = partition.windows.map((window) => windowLine(window, widths, options));
  const count = Math.max(names.length, windows.length);
  return Array.from({ length: count }, (_, at) =>
    `${names[at] ?? ' '.repeat(widths.name)} ${windows[at] ?? ''}`.trimEnd(),
  );
}

/** The name, how many calls, and what holds them back. */
function nameLines(
  { project, model, running, waiting, max_concurrent: cap, cooldowns }: PartitionView,
  { name: width }: Widths,
  { style }: ScreenOptions,
): string[] {
  const runs = cap === null ? `${running} running` : `${running} of ${cap} running`;
  return [
    style.bold(fitted(printable(project === 'default' ? model : `${project}: ${model}`), width)),
    waiting > 0 ? style.yellow(fitted(`${runs}, ${waiting} waiting`, width)) : fitted(runs, width),
    ...cooldowns.map(({ kind, remaining_ms: leftMs }) =>
      style.yellow(
        fitted(`cooldown ${wholeSeconds(leftMs)}, ${printable(kind.replaceAll('_', ' '))}`, width),
      ),
    ),
  ];
}

function windowLine(window: WindowView, widths: Widths, options: ScreenOptions): string {
  const { style, nowMs } = options;
  const { policy, next_free_at: nextFreeAt } = window;
  const leftMs = nextFreeAt === null ? null : Math.max(0, Date.parse(nextFreeAt) - nowMs);
  const next = (leftMs === null ? '' : wholeSeconds(leftMs)).padStart(widths.next);
  return [
    fitted(printable(policy), widths.label),
    windowBar(window, { style, width: widths.bar }),
    ...(widths.held > 0 ? [heldWords(window).padStart(widths.held)] : []),
    numbersOf(window).padStart(widths.numbers),
    isFull(window) ? style.yellow(next) : next,
    style.dim(clip(shortSource(window, widths), widths.source)),
  ].join(' ');
}

/** Of what is used, the part that calls under way hold. */
function heldWords({ held, unit }: WindowView): string {
  return held === 0 ? '·' : amount(held, unit);
}

function numbersOf({ used, limit, unit }: WindowView): string {
  return limit === null
    ? `${amount(used, unit)} / none`
    : `${amount(used, unit)} / ${amount(limit, unit)}`;
}

function shortSource(window: WindowView, { source }: Widths): string {
  const words = sourceWords(window);
  return words.length > source ? words.replace(/^profile /, '') : words;
}

/** Wide enough for what there is; what is left is the bar's. */
function widthsFor(partitions: readonly PartitionView[], width: number): Widths {
  const isNarrow = width < NARROW_COLUMNS;
  const windows = partitions.flatMap((partition) => partition.windows);
  const name = widest(
    partitions.map(({ model }) => model),
    21,
    isNarrow ? 22 : 32,
  );
  const label = widest(
    windows.map(({ policy }) => policy),
    3,
    LABEL_WIDTH_MAX,
  );
  const numbers = widest(windows.map(numbersOf), 'USED / LIMIT'.length, 40);
  const source = isNarrow ? 10 : 24;
  const held = isNarrow ? 0 : 9;
  const rest = width - name - label - numbers - NEXT_WIDTH - source - held - 6;
  const bar = Math.max(BAR_WIDTH_MIN, Math.min(BAR_WIDTH_MAX, rest));
  return { name, label, bar, held, numbers, next: NEXT_WIDTH, source };
}

/** Cells of the widest text, within bounds. */
function widest(texts: readonly string[], least: number, most: number): number {
  return Math.min(most, Math.max(least, ...texts.map(visibleLength)));
}
