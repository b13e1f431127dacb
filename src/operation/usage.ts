import { ProxyError } from '../errors.ts';
import type { UsageQuery } from '../http/control.ts';
import type { UsageSumView, UsageView } from '../http/views.ts';
import { dateIn, GOOGLE_QUOTA_ZONE } from '../quota/window.ts';
import type { LearningStore, UsageSum } from '../store/learning-store.ts';

const DAY_MS = 86_400_000;
const USD_MICROS = 1_000_000;
/** Rollups are kept for at most ten years. */
const DAYS_MAX = 3660;

/**
 * What was used over whole Pacific days. `upstreamNowMs` is the upstream's present time, which says
 * which day is today. Throws BAD_REQUEST where `since` or `until` names no day, or the first day is
 * behind the last.
 */
export function usageView(
  { by, since, until }: UsageQuery,
  learning: LearningStore,
  upstreamNowMs: number,
): UsageView {
  const today = dateIn(GOOGLE_QUOTA_ZONE, upstreamNowMs);
  const last = until === null ? today : dayOf('until', until);
  const first = since === null ? null : firstDayOf(since, today);
  if (first !== null && first > last) {
    throw new ProxyError('BAD_REQUEST', `since is ${first}, which is behind until, ${last}.`, {
      where: 'since',
    });
  }
  const { rows, total } = learning.readUsage(by, { since: first, until: last });
  return {
    by,
    since: first,
    until: last,
    zone: GOOGLE_QUOTA_ZONE,
    rows: rows.map((row) => ({ key: row.key, ...sumView(row) })),
    total: sumView(total),
  };
}

/** `7d` is today and the six days before it. */
function firstDayOf(text: string, today: string): string {
  const days = /^([1-9]\d{0,3})d$/.exec(text)?.[1];
  if (days === undefined) return dayOf('since', text);
  // Dates count in UTC here, where every day has 24 hours.
  const back = (Math.min(Number(days), DAYS_MAX) - 1) * DAY_MS;
  return dateOf(Date.parse(today) - back);
}

function dayOf(where: 'since' | 'until', text: string): string {
  const atMs = /^\d{4}-\d\d-\d\d$/.test(text) ? Date.parse(text) : Number.NaN;
  // Date.parse takes the 31st of every month.
  if (!Number.isNaN(atMs) && dateOf(atMs) === text) return text;
  const or = where === 'since' ? ', or so many days with today, such as 7d' : '';
  throw new ProxyError(
    'BAD_REQUEST',
    `${where} is ${JSON.stringify(text)}; say a day such as 2026-11-30${or}.`,
    { where },
  );
}

function dateOf(utcMs: number): string {
  return new Date(utcMs).toISOString().slice(0, 10);
}

function sumView(sum: UsageSum): UsageSumView {
  return {
    requests: sum.exchanges,
    input_tokens: sum.input_tokens,
    output_tokens: sum.output_tokens,
    usd: sum.usd_micros / USD_MICROS,
  };
}
