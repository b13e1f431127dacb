import { pacificDay, type Period, utcPeriod } from './pacific-day.ts';
import type { Row } from './scenario.ts';

/** One moment on both clocks; `wallMs` by the simulator's own, perhaps shifted, wall clock. */
export interface Moment {
  readonly monotonicMs: number;
  readonly wallMs: number;
}

export interface BookkeepingRules {
  readonly minute: 'sliding' | 'utc';
  readonly minute_span_ms: number;
  readonly rejected_counts_rpm: boolean;
}

export type QuotaName = 'rpm' | 'tpm' | 'rpd';

/** A quota that has no room for a call. */
export interface Refusal {
  readonly quota: QuotaName;
  readonly limit: number;
  /** Until the call would fit, ms; for a call that never fits, until the window is empty. */
  readonly retryMs: number;
}

/** The most that a window held at once, beside its limit. */
export interface Peak {
  readonly peak: number;
  readonly limit: number | null;
}

/**
 * The provider's side of the quota: admits a call and counts it, or refuses it, in one step. All keys
 * are one project. It shares nothing with the limiter that it is there to judge.
 */
export class Bookkeeping {
  readonly #rules: BookkeepingRules;
  readonly #models = new Map<string, Record<QuotaName, Tally>>();

  constructor(rules: BookkeepingRules) {
    this.#rules = rules;
  }

  /**
   * Counts `requests` and `tokens` for the model and answers nothing, or counts neither and answers
   * the quotas in the way: the one that waits longest, or all those that are 0.
   */
  ask(
    model: string,
    row: Pick<Row, QuotaName>,
    units: { readonly requests: number; readonly tokens: number },
    now: Moment,
  ): readonly Refusal[] {
    const tallies = this.#tallies(model);
    const wanted = { rpm: units.requests, tpm: units.tokens, rpd: units.requests };
    const refusals: Refusal[] = [];
    for (const quota of QUOTAS) {
      const limit = row[quota];
      tallies[quota].limit = limit;
      if (limit === null || tallies[quota].used(now) + wanted[quota] <= limit) continue;
      refusals.push({ quota, limit, retryMs: tallies[quota].msUntil(wanted[quota], limit, now) });
    }
    if (refusals.length > 0) {
      if (this.#rules.rejected_counts_rpm) tallies.rpm.add(units.requests, now, false);
      const never = refusals.filter(({ limit }) => limit === 0);
      return never.length > 0 ? never : refusals.sort((a, b) => b.retryMs - a.retryMs).slice(0, 1);
    }
    for (const quota of QUOTAS) tallies[quota].add(wanted[quota], now, true);
    return [];
  }

  /** A refusal made elsewhere, which still takes its place where the rules say so. */
  refuse(model: string, requests: number, now: Moment): void {
    if (this.#rules.rejected_counts_rpm) this.#tallies(model).rpm.add(requests, now, false);
  }

  /** Output tokens, known only when an answer ends; nothing is left to refuse. */
  addTokens(model: string, tokens: number, now: Moment): void {
    this.#tallies(model).tpm.add(tokens, now, true);
  }

  used(model: string, now: Moment): Readonly<Record<QuotaName, number>> {
    const { rpm, tpm, rpd } = this.#tallies(model);
    return { rpm: rpm.used(now), tpm: tpm.used(now), rpd: rpd.used(now) };
  }

  peaks(model: string): Readonly<Record<QuotaName, Peak>> {
    const { rpm, tpm, rpd } = this.#tallies(model);
    return { rpm: peakOf(rpm), tpm: peakOf(tpm), rpd: peakOf(rpd) };
  }

  #tallies(model: string): Record<QuotaName, Tally> {
    let tallies = this.#models.get(model);
    if (tallies === undefined) {
      const { minute, minute_span_ms: spanMs } = this.#rules;
      const fresh = (): Tally =>
        minute === 'sliding'
          ? new SlidingTally(spanMs)
          : new PeriodTally((wallMs) => utcPeriod(wallMs, spanMs));
      tallies = { rpm: fresh(), tpm: fresh(), rpd: new PeriodTally(pacificDay) };
      this.#models.set(model, tallies);
    }
    return tallies;
  }
}

const QUOTAS = ['rpm', 'tpm', 'rpd'] as const;

function peakOf(tally: Tally): Peak {
  return { peak: tally.peak, limit: tally.limit };
}

/** What one window holds now. */
abstract class Tally {
  peak = 0;
  limit: number | null = null;

  abstract used(now: Moment): number;
  abstract msUntil(units: number, limit: number, now: Moment): number;
  protected abstract put(units: number, now: Moment): void;

  /** A refused call takes room, yet is no use of the quota: it does not make a peak. */
  add(units: number, now: Moment, makesPeak: boolean): void {
    const used = this.used(now) + units;
    this.put(units, now);
    if (makesPeak && used > this.peak) this.peak = used;
  }
}

/** An event counts for less than `spanMs`: one exactly that old has just left. */
class SlidingTally extends Tally {
  readonly #spanMs: number;
  #events: { readonly atMs: number; readonly units: number }[] = [];
  #oldest = 0;
  #total = 0;

  constructor(spanMs: number) {
    super();
    this.#spanMs = spanMs;
  }

  used(now: Moment): number {
    let event = this.#events[this.#oldest];
    while (event !== undefined && now.monotonicMs - event.atMs >= this.#spanMs) {
      this.#total -= event.units;
      this.#oldest += 1;
      event = this.#events[this.#oldest];
    }
    if (this.#oldest > 1000 && this.#oldest * 2 > this.#events.length) {
      this.#events = this.#events.slice(this.#oldest);
      this.#oldest = 0;
    }
    return this.#total;
  }

  msUntil(units: number, limit: number, now: Moment): number {
    let left = this.used(now);
    let leavesAtMs = now.monotonicMs + this.#spanMs;
    for (let at = this.#oldest; at < this.#events.length; at += 1) {
      const event = this.#events[at];
      if (event === undefined) break;
      leavesAtMs = event.atMs + this.#spanMs;
      left -= event.units;
      if (left + units <= limit) break;
    }
    return leavesAtMs - now.monotonicMs;
  }

  protected put(units: number, now: Moment): void {
    this.#events.push({ atMs: now.monotonicMs, units });
    this.#total += units;
  }
}

/** Everything leaves at once when the period ends. */
class PeriodTally extends Tally {
  readonly #around: (wallMs: number) => Period;
  #period: Period = { startMs: 0, endMs: 0 };
  #total = 0;

  constructor(around: (wallMs: number) => Period) {
    super();
    this.#around = around;
  }

  used(now: Moment): number {
    const period = this.#around(now.wallMs);
    if (period.startMs !== this.#period.startMs) this.#total = 0;
    this.#period = period;
    return this.#total;
  }

  msUntil(_units: number, _limit: number, now: Moment): number {
    return this.#around(now.wallMs).endMs - now.wallMs;
  }

  protected put(units: number): void {
    this.#total += units;
  }
}
