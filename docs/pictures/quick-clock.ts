import { type Clock, systemClock, type Timer } from '../../src/clock.ts';

/**
 * A clock that starts in the past and runs ahead until it has caught up with the machine's own, from
 * where on it is that clock. A daemon that lives by it has seen an hour after a minute or two.
 */
export class QuickClock implements Clock {
  readonly #startMs = systemClock.monotonicMs();
  readonly #behindMs: number;
  readonly #factor: number;

  /** Starts `behindMs` ago; `factor` above 1. */
  constructor({ behindMs, factor }: { readonly behindMs: number; readonly factor: number }) {
    this.#behindMs = behindMs;
    this.#factor = factor;
  }

  /** Whether it still runs ahead. */
  get isQuick(): boolean {
    return this.#leftMs() > 0;
  }

  wallMs(): number {
    return Math.round(systemClock.wallMs() - this.#leftMs());
  }

  monotonicMs(): number {
    return systemClock.monotonicMs() - this.#leftMs();
  }

  suspendedMs(): number {
    return 0;
  }

  bootId(): string {
    return systemClock.bootId();
  }

  after(delayMs: number, fire: () => void): Timer {
    const dueMs = this.monotonicMs() + delayMs;
    let timer: Timer;
    const wait = (): void => {
      const leftMs = dueMs - this.monotonicMs();
      if (leftMs <= 0.5) fire();
      else timer = systemClock.after(this.isQuick ? leftMs / this.#factor : leftMs, wait);
    };
    timer = systemClock.after(this.isQuick ? delayMs / this.#factor : delayMs, wait);
    return { cancel: () => timer.cancel() };
  }

  /** Resolves after so long by this clock. */
  pause(ms: number): Promise<void> {
    return new Promise((resolve) => void this.after(ms, resolve));
  }

  #leftMs(): number {
    const passedMs = systemClock.monotonicMs() - this.#startMs;
    return Math.max(0, this.#behindMs - passedMs * (this.#factor - 1));
  }
}
