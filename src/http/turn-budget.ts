import type { Clock } from '../clock.ts';

/**
 * So long bodies are read, all of them together, within one turn of the event loop, what Node takes to
 * receive them and whatever else comes in between included. A collection of garbage on the same thread,
 * some 5 ms with 100 MB held, then leaves the turn below 10 ms of work (docs/benchmarks.md, bodies).
 */
const TURN_MS_MAX = 2.5;

interface Work {
  /** Does a small piece; true once there is nothing left. */
  readonly step: () => boolean;
  readonly finished: () => void;
}

/**
 * Spreads work that would hold up the event loop over many of its turns. What fits into what is left
 * of the turn is done at once; the rest waits for the next turns, a piece of each in rotation, so that
 * a small body is not behind a large one.
 */
export class TurnBudget {
  readonly #clock: Clock;
  readonly #waiting: Work[] = [];
  /** When this turn's first piece began; null before it. */
  #sinceMs: number | null = null;
  #isSpent = false;
  #isTurnAwaited = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** True when the work is done on return; else `finished` is called once it is. */
  run(step: () => boolean, finished: () => void): boolean {
    this.#look();
    while (!this.#isSpent) if (this.#do(step)) return true;
    this.#waiting.push({ step, finished });
    return false;
  }

  #do(step: () => boolean): boolean {
    this.#sinceMs ??= this.#clock.monotonicMs();
    const isDone = step();
    this.#look();
    this.#awaitTurn();
    return isDone;
  }

  /**
   * Not only the pieces count: Node receives up to 2 MiB of one body in a turn, which takes longer
   * than to read what is in them.
   */
  #look(): void {
    if (this.#sinceMs === null) return;
    this.#isSpent = this.#clock.monotonicMs() - this.#sinceMs >= TURN_MS_MAX;
  }

  #awaitTurn(): void {
    if (this.#isTurnAwaited) return;
    this.#isTurnAwaited = true;
    setImmediate(() => this.#turn());
  }

  #turn(): void {
    this.#isTurnAwaited = false;
    this.#sinceMs = null;
    this.#isSpent = false;
    while (!this.#isSpent) {
      const work = this.#waiting.shift();
      if (work === undefined) return;
      if (this.#do(work.step)) work.finished();
      else this.#waiting.push(work);
    }
  }
}
