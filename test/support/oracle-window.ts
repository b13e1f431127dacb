import type { WindowLog } from '../../src/quota/admission.ts';
import type { Block, WindowState } from '../../src/quota/ledger.ts';
import type { LimitAdjustment, QuotaPolicy, QuotaRules } from '../../src/quota/policy.ts';
import { limitInForce } from '../../src/quota/policy.ts';
import type { Units } from '../../src/quota/units.ts';
import { count } from '../../src/quota/units.ts';
import type { TimeWindow } from '../../src/quota/window.ts';
import { spanMs } from '../../src/quota/window.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

/** Everything that an oracle knows of one partition at one instant. */
export interface OracleView {
  readonly atMs: number;
  readonly offsetMs: number;
  readonly events: readonly { readonly atMs: number; readonly units: Units }[];
  readonly held: Units;
  readonly adjustment: (policy: QuotaPolicy) => LimitAdjustment;
}

/** Units dated and still inside at `atMs`, which may lie ahead. */
function inside(policy: QuotaPolicy, view: OracleView, atMs: number): OracleView['events'] {
  return view.events.filter((event) => leaves(policy, event.atMs, view) > atMs);
}

function leaves(policy: QuotaPolicy, atMs: number, view: OracleView): number {
  return oracleLeavesAtMs(policy.window, atMs, policy.guardMs, view.offsetMs);
}

function sum(policy: QuotaPolicy, events: OracleView['events']): number {
  let units = 0;
  for (const event of events) units += count(event.units, policy.unit, spanMs(policy.window));
  return units;
}

function usedAt(policy: QuotaPolicy, view: OracleView, atMs: number): number {
  const held = count(view.held, policy.unit, spanMs(policy.window));
  return held + sum(policy, inside(policy, view, atMs));
}

export function stateOf(policy: QuotaPolicy, view: OracleView): WindowState {
  const { limit, source } = limitInForce(policy.limit, view.adjustment(policy));
  const leaving = inside(policy, view, view.atMs).map((event) => leaves(policy, event.atMs, view));
  return {
    policy: policy.name,
    unit: policy.unit,
    spanMs: spanMs(policy.window),
    limit,
    limitSource: source,
    used: usedAt(policy, view, view.atMs),
    held: count(view.held, policy.unit, spanMs(policy.window)),
    nextFreeAtMs: leaving.length === 0 ? null : Math.min(...leaving),
  };
}

/** The first instant at which `needs` more fit, if nothing else changes; Infinity when none. */
export function roomAtMs(policy: QuotaPolicy, view: OracleView, needs: number): number {
  const limit = stateOf(policy, view).limit ?? Infinity;
  const instants = view.events
    .map((event) => leaves(policy, event.atMs, view))
    .filter((atMs) => atMs > view.atMs)
    .toSorted((a, b) => a - b);
  return (
    [view.atMs, ...instants].find((atMs) => usedAt(policy, view, atMs) + needs <= limit) ?? Infinity
  );
}

/** An estimate never asks for more than a whole limit. */
export function needsUnder(
  policy: QuotaPolicy,
  limit: number,
  ceiling: Units,
  exact: boolean,
): number {
  const needs = count(ceiling, policy.unit, spanMs(policy.window));
  if (exact || policy.unit === 'requests' || limit === 0) return needs;
  return Math.min(needs, limit);
}

/**
 * Until when a call would delay another one that claims `claim`: null when it would not. Looks at
 * the claim's first possible instant and asks whether both fit there.
 */
export function delayedUntilMs(
  rules: QuotaRules,
  view: OracleView,
  claim: Units,
  call: { readonly ceiling: Units; readonly exact: boolean },
): number | null {
  const limited = rules.policies.flatMap((policy) => {
    const { limit } = stateOf(policy, view);
    if (limit === null) return [];
    const claimed = needsUnder(policy, limit, claim, false);
    return [{ policy, limit, claimed, needs: needsUnder(policy, limit, call.ceiling, call.exact) }];
  });
  const claimAtMs = Math.max(
    view.atMs,
    ...limited.map(({ policy, claimed }) =>
      claimed === 0 ? view.atMs : roomAtMs(policy, view, claimed),
    ),
  );
  const delays = limited.some(
    ({ policy, limit, claimed, needs }) =>
      claimed > 0 && needs > 0 && usedAt(policy, view, claimAtMs) + claimed + needs > limit,
  );
  return delays ? claimAtMs : null;
}

/** The same window as admission code wants to see it. */
export function logOf(policy: QuotaPolicy, view: OracleView): WindowLog {
  const events = inside(policy, view, view.atMs);
  const logged = {
    requests: 0,
    rejected: 0,
    inputTokens: 0,
    outputTokens: 0,
    usdMicros: 0,
  };
  for (const { units } of events) {
    logged.requests += units.requests;
    logged.rejected += units.rejected;
    logged.inputTokens += units.inputTokens;
    logged.outputTokens += units.outputTokens;
    logged.usdMicros += units.usdMicros;
  }
  return {
    logged,
    nextFreeAtMs: stateOf(policy, view).nextFreeAtMs,
    freeAtMs(unit, amount) {
      const counted = { ...policy, unit };
      const total = sum(counted, events);
      const instants = events
        .map(({ atMs }) => leaves(policy, atMs, view))
        .toSorted((a, b) => a - b);
      const found = instants.find(
        (atMs) => total - sum(counted, inside(policy, view, atMs)) >= amount,
      );
      return found ?? Infinity;
    },
    leftBy: (unit, atMs) =>
      sum({ ...policy, unit }, events) - sum({ ...policy, unit }, inside(policy, view, atMs)),
  };
}

export function blockOf(
  reason: Block['reason'],
  rest: Partial<Omit<Block, 'reason'>> & { readonly freeAtMs: number },
): Block {
  return { reason, state: null, needs: 0, cooldown: null, ...rest };
}

const calendars = new Map<string, Intl.DateTimeFormat>();

/** The local date and, for shorter periods, time of an instant: equal within one period. */
function periodOf(period: string, zone: string, atMs: number): string {
  if (period === 'minute') return String(Math.floor(atMs / 60_000));
  if (period === 'hour') return String(Math.floor(atMs / HOUR_MS));
  let calendar = calendars.get(zone);
  if (calendar === undefined) {
    calendar = new Intl.DateTimeFormat('en-CA', { timeZone: zone, dateStyle: 'short' });
    calendars.set(zone, calendar);
  }
  const day = calendar.format(atMs);
  return period === 'month' ? day.slice(0, 7) : day;
}

const found = new Map<string, number>();

/** When a unit leaves its window: searched for by asking of which period instants are. */
export function oracleLeavesAtMs(
  window: TimeWindow,
  atMs: number,
  guardMs: number,
  offsetMs: number,
): number {
  if (window.kind === 'sliding') return atMs + window.spanMs + guardMs;
  const key = `${JSON.stringify(window)} ${atMs} ${guardMs} ${offsetMs}`;
  const leavesAtMs = found.get(key) ?? searchedLeavesAtMs(window, atMs, guardMs, offsetMs);
  found.set(key, leavesAtMs);
  return leavesAtMs;
}

function searchedLeavesAtMs(
  window: Exclude<TimeWindow, { kind: 'sliding' }>,
  atMs: number,
  guardMs: number,
  offsetMs: number,
): number {
  const period = window.kind === 'calendar' ? window.period : 'day';
  const countedAtMs = atMs + offsetMs + guardMs;
  const counted = periodOf(period, window.zone, countedAtMs);
  let low = countedAtMs;
  let high = countedAtMs + (period === 'month' ? 32 * DAY_MS : DAY_MS + 2 * HOUR_MS);
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (periodOf(period, window.zone, middle) === counted) low = middle;
    else high = middle;
  }
  const leavesAtMs = high - offsetMs + guardMs;
  return window.kind === 'calendar' ? leavesAtMs : Math.max(atMs + DAY_MS + guardMs, leavesAtMs);
}
