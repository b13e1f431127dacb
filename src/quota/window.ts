/**
 * Time windows. A window is fully described by one monotone function: when does a unit that was
 * dated at `atMs` leave it. Sliding and calendar windows then share one log and one arithmetic.
 *
 *   sliding 60 s     at ────────── 60 s ──────────┬─ guard ─┤ leaves
 *   calendar day     at ──┬ midnight              ├─ guard ─┤ leaves
 *   sliding day      whichever of the two is later
 */
export type TimeWindow =
  | { readonly kind: 'sliding'; readonly spanMs: number }
  | { readonly kind: 'calendar'; readonly period: Period; readonly zone: string }
  /** 24 h, and never less than the calendar day of `zone` (25 h on one day in autumn). */
  | { readonly kind: 'sliding_day'; readonly zone: string };

export type Period = 'minute' | 'hour' | 'day' | 'month';

const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;
const DAY_MS = 86_400_000;

/** The zone whose midnight ends Google's quota day. */
export const GOOGLE_QUOTA_ZONE = 'America/Los_Angeles';

/** Nominal length in ms: a day counts 24 h and a month 31 days, whatever the calendar does. */
export function spanMs(window: TimeWindow): number {
  if (window.kind === 'sliding') return window.spanMs;
  if (window.kind === 'sliding_day') return DAY_MS;
  return { minute: MINUTE_MS, hour: HOUR_MS, day: DAY_MS, month: 31 * DAY_MS }[window.period];
}

/** Identifies a window in storage: two windows with one key hold the same units. */
export function windowKey(window: TimeWindow, guardMs: number): string {
  switch (window.kind) {
    case 'sliding':
      return `sliding:${window.spanMs}+${guardMs}`;
    case 'calendar':
      return `calendar:${window.period}:${window.zone}+${guardMs}`;
    case 'sliding_day':
      return `sliding_day:${window.zone}+${guardMs}`;
  }
}

/** The instant from which a unit dated `atMs` no longer counts. Monotone in `atMs`. */
export function leavesAtMs(
  window: TimeWindow,
  atMs: number,
  { guardMs, upstreamOffsetMs }: { guardMs: number; upstreamOffsetMs: number },
): number {
  switch (window.kind) {
    case 'sliding':
      return atMs + window.spanMs + guardMs;
    case 'calendar':
      return calendarLeavesAtMs(window.period, window.zone, atMs, guardMs, upstreamOffsetMs);
    case 'sliding_day':
      return Math.max(
        atMs + DAY_MS + guardMs,
        calendarLeavesAtMs('day', window.zone, atMs, guardMs, upstreamOffsetMs),
      );
  }
}

/**
 * A guard on both edges: a unit dated less than a guard before the boundary may be counted by the
 * upstream after it, so it stays for the next period too; and nothing leaves until a guard after
 * the boundary. Errs toward counting twice.
 */
function calendarLeavesAtMs(
  period: Period,
  zone: string,
  atMs: number,
  guardMs: number,
  upstreamOffsetMs: number,
): number {
  const latestAtUpstreamMs = atMs + upstreamOffsetMs + guardMs;
  return periodEndMs(period, zone, latestAtUpstreamMs) - upstreamOffsetMs + guardMs;
}

/** The first boundary of `period` in `zone` that lies after `instantMs` (ms since 1970 UTC). */
export function periodEndMs(period: Period, zone: string, instantMs: number): number {
  if (period === 'minute') return (Math.floor(instantMs / MINUTE_MS) + 1) * MINUTE_MS;
  // No zone in use has an offset that is not a whole quarter of an hour; Los Angeles and UTC,
  // the only two that policies name, have whole hours.
  if (period === 'hour') return (Math.floor(instantMs / HOUR_MS) + 1) * HOUR_MS;
  const cached = periodCache.get(`${period} ${zone}`);
  if (cached !== undefined && cached.startMs <= instantMs && instantMs < cached.endMs) {
    return cached.endMs;
  }
  const local = localDate(instantMs, zone);
  const startMs =
    period === 'day'
      ? localMidnightMs(local.year, local.month, local.day, zone)
      : localMidnightMs(local.year, local.month, 1, zone);
  const endMs =
    period === 'day'
      ? localMidnightMs(local.year, local.month, local.day + 1, zone)
      : localMidnightMs(local.year, local.month + 1, 1, zone);
  periodCache.set(`${period} ${zone}`, { startMs, endMs });
  return endMs;
}

/** The date in `zone` at an instant (ms since 1970 UTC), as YYYY-MM-DD. */
export function dateIn(zone: string, instantMs: number): string {
  const endMs = periodEndMs('day', zone, instantMs);
  let text = dates.get(`${zone} ${endMs}`);
  if (text === undefined) {
    const { year, month, day } = localDate(instantMs, zone);
    text = new Date(Date.UTC(year, month, day)).toISOString().slice(0, 10);
    dates.clear();
    dates.set(`${zone} ${endMs}`, text);
  }
  return text;
}

/** The last date asked for: every exchange of a day asks for the same one. */
const dates = new Map<string, string>();

/** One entry per period and zone: admission asks for the same day over and over. */
const periodCache = new Map<string, { startMs: number; endMs: number }>();

const formats = new Map<string, Intl.DateTimeFormat>();

interface LocalDate {
  readonly year: number;
  /** Counted from 0, as Date.UTC does. */
  readonly month: number;
  readonly day: number;
  /** Local wall clock minus UTC, in ms. */
  readonly offsetMs: number;
}

function localDate(instantMs: number, zone: string): LocalDate {
  let format = formats.get(zone);
  if (format === undefined) {
    format = new Intl.DateTimeFormat('en-US', {
      timeZone: zone,
      hourCycle: 'h23',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
      second: 'numeric',
    });
    formats.set(zone, format);
  }
  const parts: Record<string, number> = {};
  for (const { type, value } of format.formatToParts(instantMs)) parts[type] = Number(value);
  const { year = 0, month = 1, day = 1, hour = 0, minute = 0, second = 0 } = parts;
  const localMs = Date.UTC(year, month - 1, day, hour, minute, second);
  const wholeSecondMs = Math.floor(instantMs / 1000) * 1000;
  return { year, month: month - 1, day, offsetMs: localMs - wholeSecondMs };
}

/**
 * The instant of local midnight. Two steps suffice: the first offset may be that of the other side
 * of a clock change, the second is taken beside the answer.
 */
function localMidnightMs(year: number, month: number, day: number, zone: string): number {
  const asUtcMs = Date.UTC(year, month, day);
  const guessMs = asUtcMs - localDate(asUtcMs, zone).offsetMs;
  return asUtcMs - localDate(guessMs, zone).offsetMs;
}
