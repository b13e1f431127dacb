import type { Clock, Timer } from '../../src/clock.ts';

interface PendingTimer {
  readonly dueMs: number;
  readonly order: number;
  readonly fire: () => void;
}

/**
 * A clock that only a test moves. All times are whole milliseconds. Timers fire in the order they
 * fall due, then in the order they were set, each one seeing its own due time.
 */
export class ManualClock implements Clock {
  #wallMs: number;
  #monotonicMs: number;
  #suspendedMs = 0;
  #boot = 1;
  #order = 0;
  readonly #pending = new Set<PendingTimer>();

  constructor(options: { readonly wallMs?: number; readonly monotonicMs?: number } = {}) {
    this.#wallMs = whole(options.wallMs ?? Date.UTC(2026, 0, 15, 12));
    this.#monotonicMs = whole(options.monotonicMs ?? 1_000_000);
  }

  wallMs(): number {
    return this.#wallMs;
  }

  monotonicMs(): number {
    return this.#monotonicMs;
  }

  suspendedMs(): number {
    return this.#suspendedMs;
  }

  bootId(): string {
    return `boot-${this.#boot}`;
  }

  after(delayMs: number, fire: () => void): Timer {
    // A real timer never fires within the call that set it, nor early: round up, at least 1 ms.
    const dueMs = this.#monotonicMs + Math.max(1, Math.ceil(delayMs));
    const timer: PendingTimer = { dueMs, order: this.#order++, fire };
    this.#pending.add(timer);
    return { cancel: () => this.#pending.delete(timer) };
  }

  /** Timers set and neither fired nor cancelled. */
  get pendingTimers(): number {
    return this.#pending.size;
  }

  /** When the next timer falls due, in monotonic ms; null without one. */
  get nextTimerAtMs(): number | null {
    return this.#earliest(Infinity)?.dueMs ?? null;
  }

  /** Lets time pass on both clocks, firing what falls due, including timers set meanwhile. */
  advance(ms: number): void {
    const endMs = this.#monotonicMs + whole(ms);
    for (let next = this.#earliest(endMs); next !== undefined; next = this.#earliest(endMs)) {
      this.#moveTo(Math.max(next.dueMs, this.#monotonicMs));
      this.#pending.delete(next);
      next.fire();
    }
    this.#moveTo(endMs);
  }

  /** Like `advance`, but lets promise reactions run between timers and after the last one. */
  async advanceAsync(ms: number): Promise<void> {
    const endMs = this.#monotonicMs + whole(ms);
    await settled();
    for (let next = this.#earliest(endMs); next !== undefined; next = this.#earliest(endMs)) {
      this.#moveTo(Math.max(next.dueMs, this.#monotonicMs));
      this.#pending.delete(next);
      next.fire();
      await settled();
    }
    this.#moveTo(endMs);
  }

  /** Steps the wall clock to a time; no time passes and no timer fires. */
  setWall(wallMs: number): void {
    this.#wallMs = whole(wallMs);
  }

  /** Steps the wall clock by an amount, backwards when negative. */
  stepWall(ms: number): void {
    this.#wallMs += whole(ms);
  }

  /** The machine sleeps: the wall moves on, monotonic time and the timers stand still. */
  suspend(ms: number): void {
    this.#wallMs += whole(ms);
    this.#suspendedMs += whole(ms);
  }

  /** The machine restarts: a new boot id, monotonic time from 0, no timers; the wall runs on. */
  reboot(downMs = 0): void {
    this.#wallMs += whole(downMs);
    this.#boot += 1;
    this.#monotonicMs = 0;
    this.#suspendedMs = 0;
    this.#pending.clear();
  }

  #moveTo(monotonicMs: number): void {
    this.#wallMs += monotonicMs - this.#monotonicMs;
    this.#monotonicMs = monotonicMs;
  }

  #earliest(untilMs: number): PendingTimer | undefined {
    let earliest: PendingTimer | undefined;
    for (const timer of this.#pending) {
      if (timer.dueMs > untilMs) continue;
      if (
        earliest === undefined ||
        timer.dueMs < earliest.dueMs ||
        (timer.dueMs === earliest.dueMs && timer.order < earliest.order)
      ) {
        earliest = timer;
      }
    }
    return earliest;
  }
}

/** One turn of the event loop: every promise reaction queued so far has run. */
function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

function whole(ms: number): number {
  if (!Number.isInteger(ms)) throw new RangeError(`a manual clock takes whole ms, not ${ms}`);
  return ms;
}
