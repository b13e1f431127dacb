import { type Fault, matches } from './scenario.ts';

/** Which of a scenario's faults, if any, answers each call. */
export class FaultPlan {
  readonly #faults: readonly Fault[];
  readonly #random: () => number;
  readonly #seen: number[];

  /** `random` answers in [0, 1) and is asked only for faults that have a `rate`. */
  constructor(faults: readonly Fault[], random: () => number) {
    this.#faults = faults;
    this.#random = random;
    this.#seen = faults.map(() => 0);
  }

  /**
   * The first fault all of whose conditions hold. `nth` and `every` count, for each fault, the calls
   * that its model and its time let in, whichever fault answered them.
   */
  next(model: string, sinceStartMs: number): Fault | null {
    let found: Fault | null = null;
    for (const [index, fault] of this.#faults.entries()) {
      const { match } = fault;
      if (match.model !== undefined && !matches(match.model, model)) continue;
      if (sinceStartMs < (match.after_ms ?? 0) || sinceStartMs >= (match.until_ms ?? Infinity)) {
        continue;
      }
      const nth = (this.#seen[index] ?? 0) + 1;
      this.#seen[index] = nth;
      if (match.nth !== undefined && !match.nth.includes(nth)) continue;
      if (match.every !== undefined && nth % match.every !== 0) continue;
      if (match.rate !== undefined && this.#random() >= match.rate) continue;
      found ??= fault;
    }
    return found;
  }
}
