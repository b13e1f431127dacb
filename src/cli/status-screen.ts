import type {
  PartitionView,
  QueuedView,
  RefusalView,
  StatusView,
  WindowView,
} from '../http/views.ts';
import { dayLine, targetWords, totalsLine } from './status-head.ts';
import { clip, clipStyled, printable, type Style } from './style.ts';
import { tableLines } from './table.ts';
import { isFull, sourceWords, windowBar } from './window-bar.ts';
import { amount, counted, duration, timeOfDay } from './words.ts';

/** What the screen is drawn for. */
export interface ScreenOptions {
  readonly style: Style;
  readonly width: number;
  readonly nowMs: number;
  /** Waiting calls shown; the rest is a number. */
  readonly queueLines: number;
}

/** The state of a daemon as lines for people, none longer than `width`. */
export function statusLines(view: StatusView, options: ScreenOptions): string[] {
  return [
    ...headLines(view, options),
    ...view.partitions.flatMap((partition) => ['', ...partitionLines(partition, options)]),
    ...(view.partitions.length === 0 ? ['', 'No call has come yet.'] : []),
    ...queueLines(view.queue, options),
    ...refusalLines(view.recent_refusals, options),
  ].map((line) => clipStyled(line, options.width));
}

/** Columns of one window's line besides its bar. */
const LABEL_WIDTH = 7;
const NUMBERS_WIDTH = 19;
const NEXT_WIDTH = 19;
const SOURCE_WIDTH = 16;
const BAR_WIDTH_MIN = 8;
const BAR_WIDTH_MAX = 48;
const REFUSALS_SHOWN = 5;

function headLines(view: StatusView, options: ScreenOptions): string[] {
  const { style } = options;
  return [
    `${style.bold(`headgate ${view.version}`)} ${style.cyan(view.listen)} for ${targetWords(view)}`,
    totalsLine(view, style),
    dayLine(view, options),
    style.dim(view.config.file ?? 'built-in defaults'),
    ...view.banners.map((banner) => style.yellow(`! ${printable(banner)}`)),
  ];
}

function partitionLines(partition: PartitionView, options: ScreenOptions): string[] {
  const { style, nowMs } = options;
  const { project, model, running, waiting, max_concurrent: cap } = partition;
  const name = project === 'default' ? model : `${project}: ${model}`;
  const facts = [
    cap === null ? `${running} running` : `${running} of ${cap} running`,
    ...(waiting > 0 ? [style.yellow(`${waiting} waiting`)] : []),
  ];
  const cooldowns = partition.cooldowns.map(({ kind, remaining_ms, reason }) =>
    style.yellow(
      `  ${kind.replaceAll('_', ' ')} cooldown, ${duration(remaining_ms)} left: ${printable(reason)}`,
    ),
  );
  return [
    `${style.bold(printable(name))}  ${facts.join(', ')}`,
    ...partition.windows.map((window) => windowLine(window, { ...options, nowMs })),
    ...cooldowns,
  ];
}

/** `  rpm ██████▓▓░░░░  7 / 9   next in 3.2 s  profile massgen` */
function windowLine(window: WindowView, { style, width, nowMs }: ScreenOptions): string {
  const { policy, unit, limit, used, next_free_at: nextFreeAt } = window;
  const label = clip(printable(policy), LABEL_WIDTH).padEnd(LABEL_WIDTH);
  const numbers =
    limit === null
      ? `${amount(used, unit)} / no limit`
      : `${amount(used, unit)} / ${amount(limit, unit)}`;
  const next =
    nextFreeAt === null ? '' : `next in ${duration(Math.max(0, Date.parse(nextFreeAt) - nowMs))}`;
  const source = sourceWords(window);
  const fixed = 2 + LABEL_WIDTH + 1 + NUMBERS_WIDTH + 2 + NEXT_WIDTH + 2 + SOURCE_WIDTH;
  const barWidth = Math.max(BAR_WIDTH_MIN, Math.min(BAR_WIDTH_MAX, width - fixed));
  const drawn = windowBar(window, { style, width: barWidth });
  const time = next.padEnd(NEXT_WIDTH);
  return `  ${label} ${drawn}${numbers.padStart(NUMBERS_WIDTH)}  ${isFull(window) ? style.yellow(time) : time}  ${style.dim(source)}`;
}

function queueLines(queue: readonly QueuedView[], options: ScreenOptions): string[] {
  const { style, width, nowMs } = options;
  if (queue.length === 0) return [];
  const shown = queue.slice(0, options.queueLines);
  const rows = shown.map((call) => [
    String(call.position),
    clip(printable(call.model), 24),
    clip(printable(call.agent), 18),
    duration(call.waited_ms),
    call.expected_at === null
      ? 'not known'
      : `in ${duration(Math.max(0, Date.parse(call.expected_at) - nowMs))}`,
    printable(call.reason),
  ]);
  const columns = [
    { title: '#', align: 'right' as const },
    { title: 'MODEL' },
    { title: 'AGENT' },
    { title: 'WAITED', align: 'right' as const },
    { title: 'EXPECTED' },
    { title: 'WAITS FOR' },
  ];
  const more = queue.length - shown.length;
  return [
    '',
    style.bold(`Waiting: ${queue.length}`),
    ...tableLines(columns, rows, { width: width - 2, title: style.dim }).map((line) => `  ${line}`),
    ...(more > 0 ? [style.dim(`  and ${counted(more, 'more call')}`)] : []),
  ];
}

function refusalLines(refusals: readonly RefusalView[], options: ScreenOptions): string[] {
  const { style, nowMs, width } = options;
  if (refusals.length === 0) return [];
  const rows = refusals
    .slice(0, REFUSALS_SHOWN)
    .map(({ at, model, agent, reason, message }) => [
      timeOfDay(at, nowMs),
      clip(printable(model), 24),
      clip(printable(agent), 18),
      printable(reason),
      printable(message),
    ]);
  const hasMessage = refusals.some(({ message }) => message !== '');
  const titles = ['AT', 'MODEL', 'AGENT', 'REASON', hasMessage ? 'WHY' : ''];
  const columns = titles.map((title) => ({ title }));
  return [
    '',
    style.bold('Last refusals and failures'),
    ...tableLines(columns, rows, { width: width - 2, title: style.dim }).map((line) => `  ${line}`),
  ];
}
