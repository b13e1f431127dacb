/**
 * Judges by brute force whether calls kept to a quota. It is quadratic and shares nothing with the
 * limiter or the simulator, so that none of them can be wrong in the same way.
 */

/** What is needed of one call that reached the upstream. */
export interface ArrivedCall {
  readonly atMs: number;
  readonly answeredAtMs: number | null;
  readonly wallMs: number;
  readonly model: string | null;
  /** 0 for calls without a quota, which are left out. */
  readonly requests: number;
  readonly inputTokens: number;
}

export interface UnitsAt {
  readonly atMs: number;
  readonly units: number;
}

export interface Limits {
  readonly rpm?: number | null;
  readonly tpm?: number | null;
  readonly rpd?: number | null;
}

export interface Violation {
  readonly model: string;
  readonly quota: 'rpm' | 'tpm' | 'rpd';
  readonly units: number;
  readonly limit: number;
  /** Start of the worst window: monotonic ms, and for a day its wall ms. */
  readonly fromMs: number;
}

/**
 * The most units that any window of `spanMs` holds, and where it begins. Windows are half-open,
 * [t, t + span): an event exactly one span later is in the next. Some worst window begins at an
 * event, so only those are tried.
 */
export function worstWindow(
  events: readonly UnitsAt[],
  spanMs: number,
): { readonly units: number; readonly fromMs: number } {
  let worst = { units: 0, fromMs: 0 };
  for (const { atMs: fromMs } of events) {
    let units = 0;
    for (const event of events) {
      if (event.atMs >= fromMs && event.atMs < fromMs + spanMs) units += event.units;
    }
    if (units > worst.units) worst = { units, fromMs };
  }
  return worst;
}

/**
 * Every quota that the calls exceeded, at most one violation each: the worst. A model without limits
 * of its own is held to those of `default`. `by` says which moment counts; a call that was never
 * answered counts by its arrival in both.
 */
export function checkArrivals(
  calls: readonly ArrivedCall[],
  limits: Readonly<Record<string, Limits>>,
  spanMs: number,
  by: 'arrival' | 'answer',
): Violation[] {
  const violations: Violation[] = [];
  const models = new Set(calls.flatMap(({ model }) => (model === null ? [] : [model])));
  for (const model of models) {
    const { rpm, tpm, rpd } = limits[model] ?? limits['default'] ?? {};
    const own = calls.filter((call) => call.model === model && call.requests > 0);
    const at = (call: ArrivedCall): number =>
      by === 'arrival' ? call.atMs : (call.answeredAtMs ?? call.atMs);
    const requests = own.map((call) => ({ atMs: at(call), units: call.requests }));
    const tokens = own.map((call) => ({ atMs: at(call), units: call.inputTokens }));
    const found = [
      { quota: 'rpm', limit: rpm, ...worstWindow(requests, spanMs) },
      { quota: 'tpm', limit: tpm, ...worstWindow(tokens, spanMs) },
      { quota: 'rpd', limit: rpd, ...worstPacificDay(own) },
    ] as const;
    for (const { quota, limit, units, fromMs } of found) {
      if (typeof limit === 'number' && units > limit) {
        violations.push({ model, quota, units, limit, fromMs });
      }
    }
  }
  return violations;
}

const pacificDate = new Intl.DateTimeFormat('en-US', {
  timeZone: 'America/Los_Angeles',
  dateStyle: 'short',
});

function worstPacificDay(calls: readonly ArrivedCall[]): {
  readonly units: number;
  readonly fromMs: number;
} {
  let worst = { units: 0, fromMs: 0 };
  for (const { wallMs: fromMs } of calls) {
    const day = pacificDate.format(fromMs);
    let units = 0;
    for (const call of calls) {
      if (pacificDate.format(call.wallMs) === day) units += call.requests;
    }
    if (units > worst.units) worst = { units, fromMs };
  }
  return worst;
}
