import { rulesFor } from '../config/limits.ts';
import type { LoadedConfig } from '../config/loaded.ts';
import type { LimitsView, LimitView } from '../http/views.ts';
import type { Style } from './style.ts';
import { printable } from './style.ts';
import { type Column, tableLines } from './table.ts';
import { amount, limitWords } from './words.ts';

/** Limits of one model, and what else the table tells of it. */
export interface LimitTableRow extends LimitsView {
  /** Spacing of agents' first calls, in words; absent where the caller does not know it. */
  readonly startup?: string;
}

/** The key that stands for every model without a row of its own. */
const DEFAULT_KEY = 'default';
const COMMON_COLUMNS = ['rpm', 'tpm', 'rpd'];
const USD_MICROS = 1_000_000;

/** One line for each model: its limits in force and where they were written. */
export function limitTable(
  rows: readonly LimitTableRow[],
  { style, width }: { readonly style: Style; readonly width: number },
): string[] {
  const hasProjects = new Set(rows.map(({ project }) => project)).size > 1;
  const hasStartup = rows.some(({ startup }) => startup !== undefined);
  const hasMore = rows.some((row) => moreOf(row) !== '');
  const columns: Column[] = [
    ...(hasProjects ? [{ title: 'PROJECT' }] : []),
    { title: 'MODEL' },
    ...COMMON_COLUMNS.map((name) => ({ title: name.toUpperCase(), align: 'right' as const })),
    ...(hasMore ? [{ title: 'MORE' }] : []),
    ...(hasStartup ? [{ title: 'STARTUP' }] : []),
    { title: 'FROM' },
  ];
  const cells = rows.map((row) => [
    ...(hasProjects ? [printable(row.project)] : []),
    row.model === DEFAULT_KEY ? 'any other' : printable(row.model),
    ...COMMON_COLUMNS.map((name) => limitCell(row, name, style)),
    ...(hasMore ? [moreOf(row)] : []),
    ...(hasStartup ? [row.startup ?? ''] : []),
    sourceWords(row.windows),
  ]);
  return tableLines(columns, cells, { width, title: style.dim });
}

/** What the configuration says of a model, in the shape of GET /limits. */
export function configuredLimits(
  config: LoadedConfig,
  project: string,
  model: string,
): LimitTableRow {
  const { policies, maxConcurrent, start } = rulesFor(config, project, model);
  const windows = policies.map((policy): LimitView => {
    const scale = policy.unit === 'usd' ? USD_MICROS : 1;
    const limit = policy.limit === null ? null : policy.limit / scale;
    return {
      policy: policy.name,
      unit: policy.unit,
      limit,
      limit_source: 'configured',
      configured: limit,
      learned: null,
      override: null,
      source: policy.source,
    };
  });
  const cap = start?.perMinute ?? null;
  const startup =
    start === null ? 'off' : `${start.cooldownMs / 1000} s${cap === null ? '' : `, ${cap}/min`}`;
  return { project, model, windows, max_concurrent: maxConcurrent, startup };
}

function limitCell(row: LimitsView, name: string, style: Style): string {
  const window = row.windows.find(({ policy }) => policy === name);
  if (window === undefined) return '';
  const words = limitWords(window.limit, window.unit);
  return window.limit_source === 'configured' ? words : style.yellow(words);
}

/** Free windows and concurrency: "burst 3, spend $5, 4 at once". */
function moreOf({ windows, max_concurrent: concurrent }: LimitsView): string {
  const free = windows
    .filter(({ policy }) => !COMMON_COLUMNS.includes(policy))
    .map(({ policy, limit, unit }) => `${printable(policy)} ${limitWords(limit, unit)}`);
  return [...free, ...(concurrent === null ? [] : [`${concurrent} at once`])].join(', ');
}

/** "profile free", or where the limits differ: "profile free; rpm set live, 9 in config.yaml:14". */
function sourceWords(windows: readonly LimitView[]): string {
  const bySource = new Map<string, string[]>();
  for (const window of windows) {
    const source = windowSource(window);
    bySource.set(source, [...(bySource.get(source) ?? []), window.policy]);
  }
  const sources = [...bySource].sort(([, a], [, b]) => b.length - a.length);
  // The source of most goes without names.
  const hasMost =
    sources.length < 2 || (sources[0]?.[1].length ?? 0) > (sources[1]?.[1].length ?? 0);
  return sources
    .map(([source, policies], at) =>
      at === 0 && hasMost ? source : `${policies.join(', ')} ${source}`,
    )
    .join('; ');
}

function windowSource({ limit_source, configured, unit, source }: LimitView): string {
  if (limit_source === 'configured') return printable(source);
  const how = limit_source === 'override' ? 'set live' : 'learned from a 429';
  const was = configured === null ? 'none' : amount(configured, unit);
  return `${how} (${was} in ${printable(source)})`;
}
