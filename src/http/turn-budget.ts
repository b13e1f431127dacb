import type { Clock } from '../clock.ts';

/**
 * So long bodies are read, all of them together, within one turn of the event loop. With what Node
 * itself takes to receive them, nothing else waits longer than some 5 ms.
 */
const SPENT_MS_MAX = 2.5;

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
  #spentMs = 0;
  #isTurnAwaited = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** True when the work is done on return; else `finished` is called once it is. */
  run(step: () => boolean, finished: () => void): boolean {
    while (this.#spentMs < SPENT_MS_MAX) if (this.#do(step)) return true;
    this.#waiting.push({ step, finished });
    return false;
  }

  #do(step: () => boolean): boolean {
    const startedMs = this.#clock.monotonicMs();
    const isDone = step();
    this.#spentMs += this.#clock.monotonicMs() - startedMs;
    this.#awaitTurn();
    return isDone;
  }

  #awaitTurn(): void {
    if (this.#isTurnAwaited) return;
    this.#isTurnAwaited = true;
    setImmediate(() => this.#turn());
  }

  #turn(): void {
    this.#isTurnAwaited = false;
    this.#spentMs = 0;
    while (this.#spentMs < SPENT_MS_MAX) {
      const work = this.#waiting.shift();
      if (work === undefined) return;
      if (this.#do(work.step)) work.finished();
      else this.#waiting.push(work);
    }
  }
}
