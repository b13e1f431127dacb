import { basename } from 'node:path';
import type { Period, TimeWindow } from '../quota/window.ts';
import type { ConfigDocument, Path } from './document.ts';
import { parseDuration } from './durations.ts';
import type { FreeWindow, LimitRow, LimitTable } from './loaded.ts';
import { DEFAULT_KEY } from './patterns.ts';
import type { Problem } from './problems.ts';
import type { ConfigFile, RowFile, WindowFile } from './schema.ts';

/** What the words `minute` and `day` mean, which is said once for all windows. */
export type WindowModes = Pick<ConfigFile['rate_limits'], 'day' | 'minute'> & {
  readonly minuteSpanMs: number;
};

/** Google's quota day and month begin at midnight in this zone. */
const QUOTA_ZONE = 'America/Los_Angeles';

const HOUR_MS = 3_600_000;
const MICROS_PER_DOLLAR = 1_000_000;
const RESERVED_NAMES = ['rpm', 'tpm', 'rpd'];

/** The window that `minute`, `hour`, `day` or `month` means. */
export function namedWindow(period: Period, modes: WindowModes): TimeWindow {
  switch (period) {
    case 'minute':
      return modes.minute === 'utc'
        ? { kind: 'calendar', period: 'minute', zone: 'UTC' }
        : { kind: 'sliding', spanMs: modes.minuteSpanMs };
    case 'hour':
      return { kind: 'sliding', spanMs: HOUR_MS };
    case 'day':
      return modes.day === 'pacific'
        ? { kind: 'calendar', period: 'day', zone: QUOTA_ZONE }
        : { kind: 'sliding_day', zone: QUOTA_ZONE };
    case 'month':
      return { kind: 'calendar', period: 'month', zone: QUOTA_ZONE };
  }
}

/**
 * The rows found at `path` of a document. `source` names them for people, by default as file:line
 * of each limit. Mistakes that a schema cannot express go to `problems`.
 */
export function limitTable(
  rows: Readonly<Record<string, RowFile>>,
  options: {
    readonly document: ConfigDocument;
    readonly path: Path;
    readonly modes: WindowModes;
    readonly problems: Problem[];
    readonly source?: string;
  },
): LimitTable {
  const { document, path, problems } = options;
  const table = new Map<string, LimitRow>();
  for (const [key, row] of Object.entries(rows)) {
    if (key === '') {
      problems.push(
        document.problem([...path, key], 'a model key is empty', `Write ${DEFAULT_KEY}`, 'key'),
      );
      continue;
    }
    table.set(key, limitRow(row, { ...options, path: [...path, key] }));
  }
  return table;
}

type RowOptions = Parameters<typeof limitTable>[1];

function limitRow(row: RowFile, options: RowOptions): LimitRow {
  const { document, path } = options;
  const sourced = <T>(key: string, value: T | undefined) => {
    if (value === undefined) return undefined;
    return { value, source: sourceOf(document, [...path, key], options.source) };
  };
  const limits = {
    rpm: sourced('rpm', row.rpm),
    tpm: sourced('tpm', row.tpm),
    rpd: sourced('rpd', row.rpd),
    maxConcurrent: sourced('max_concurrent', row.max_concurrent),
    windows: sourced('windows', row.windows && freeWindows(row.windows, options)),
  };
  // exactOptionalPropertyTypes: a key that is not named must not be there at all.
  return Object.fromEntries(Object.entries(limits).filter(([, limit]) => limit !== undefined));
}

function freeWindows(windows: readonly WindowFile[], options: RowOptions): FreeWindow[] {
  const { document, path, problems, modes } = options;
  const names = new Set<string>();
  return windows.map(({ name, unit, limit, per, action }, index) => {
    const at = [...path, 'windows', index];
    if (RESERVED_NAMES.includes(name) || names.has(name)) {
      const hint = 'Give every window a name of its own, other than rpm, tpm and rpd';
      problems.push(document.problem([...at, 'name'], `the name ${name} is taken`, hint));
    }
    names.add(name);
    if (unit !== 'usd' && !Number.isInteger(limit)) {
      problems.push(
        document.problem([...at, 'limit'], `expected a whole number of ${unit}, got ${limit}`),
      );
    }
    if (unit !== 'usd' && action === 'warn') {
      const hint = 'Leave it out: a window of tokens or requests is there to be kept';
      problems.push(
        document.problem([...at, 'action'], 'only a window of usd may merely warn', hint),
      );
    }
    return {
      name,
      unit,
      holds: action !== 'warn',
      limit: unit === 'usd' ? Math.round(limit * MICROS_PER_DOLLAR) : limit,
      window: windowPer(per, [...at, 'per'], { document, problems, modes }),
      source: sourceOf(document, at, options.source),
    };
  });
}

function windowPer(
  per: string,
  path: Path,
  { document, problems, modes }: Pick<RowOptions, 'document' | 'problems' | 'modes'>,
): TimeWindow {
  if (per === 'minute' || per === 'hour' || per === 'day' || per === 'month') {
    return namedWindow(per, modes);
  }
  const spanMs = parseDuration(per);
  if (spanMs === null || spanMs < 1) {
    problems.push(
      document.problem(path, `a window must be from 1ms to ten years long, got ${per}`),
    );
  }
  return { kind: 'sliding', spanMs: Math.max(1, spanMs ?? 1) };
}

function sourceOf(document: ConfigDocument, path: Path, source: string | undefined): string {
  return source ?? `${basename(document.file)}:${document.place(path, 'key').line}`;
}
