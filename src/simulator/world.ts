import type { Clock } from '../clock.ts';
import { Bookkeeping, type Moment } from './bookkeeping.ts';
import { FaultPlan } from './faults.ts';
import { Resources } from './resources.ts';
import type { Scenario } from './scenario.ts';

/** Everything that calls share: the rules in force and what has been counted. */
export class World {
  readonly clock: Clock;
  readonly random: () => number;
  readonly resources = new Resources();
  /** Live sessions under way, by model. */
  readonly liveSessions = new Map<string, number>();
  scenario: Scenario;
  books: Bookkeeping;
  faults: FaultPlan;
  /** Monotonic ms; faults are timed from here. */
  startedAtMs: number;

  constructor(scenario: Scenario, clock: Clock, random: () => number) {
    this.scenario = scenario;
    this.clock = clock;
    this.random = random;
    this.books = new Bookkeeping(scenario);
    this.faults = new FaultPlan(scenario.faults, random);
    this.startedAtMs = clock.monotonicMs();
  }

  /**
   * New rules, and faults counted anew. What was used stays used, as when a provider changes its
   * limits, unless the windows themselves are others.
   */
  change(scenario: Scenario): void {
    const old = this.scenario;
    this.scenario = scenario;
    this.faults = new FaultPlan(scenario.faults, this.random);
    this.startedAtMs = this.clock.monotonicMs();
    const isSameWindow =
      old.minute === scenario.minute &&
      old.minute_span_ms === scenario.minute_span_ms &&
      old.rejected_counts_rpm === scenario.rejected_counts_rpm;
    if (!isSameWindow) this.books = new Bookkeeping(scenario);
  }

  /** As if just started. */
  reset(): void {
    this.books = new Bookkeeping(this.scenario);
    this.change(this.scenario);
  }

  now(): Moment {
    return {
      monotonicMs: this.clock.monotonicMs(),
      wallMs: this.clock.wallMs() + this.scenario.clock_offset_ms,
    };
  }
}
