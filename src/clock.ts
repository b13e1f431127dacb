import { readFileSync } from 'node:fs';
import { hostname, uptime } from 'node:os';

/** A pending timer. */
export interface Timer {
  cancel(): void;
}

/**
 * The only source of time in the project, so that tests can move it by hand.
 * Wall time is for what is shown; monotonic time is for durations.
 */
export interface Clock {
  /** Milliseconds since 1970 UTC, as the machine believes; may step in both directions. */
  wallMs(): number;
  /** Milliseconds since boot, never steps, the same for every process of one boot. */
  monotonicMs(): number;
  /** Milliseconds this boot has spent suspended, good to a second: monotonic time stands still then. */
  suspendedMs(): number;
  /** Names the boot that `monotonicMs` counts from. */
  bootId(): string;
  /** Calls `fire` once after `delayMs` (at most 2^31 - 1). Never keeps the process alive. */
  after(delayMs: number, fire: () => void): Timer;
}

/** Longest delay that Node's timers take (2^31 - 1 ms); anything above fires at once. */
export const TIMER_DELAY_MS_MAX = 2_147_483_647;

/** The machine's own clock. `hrtime` is CLOCK_MONOTONIC, which all processes of one boot share. */
export const systemClock: Clock = {
  wallMs: () => Date.now(),
  monotonicMs,
  suspendedMs: () => Math.max(0, uptime() * 1000 - monotonicMs()),
  bootId,
  after(delayMs, fire) {
    const timer = setTimeout(fire, Math.min(Math.max(delayMs, 0), TIMER_DELAY_MS_MAX));
    timer.unref();
    return { cancel: () => clearTimeout(timer) };
  },
};

function monotonicMs(): number {
  return Number(process.hrtime.bigint() / 1000n) / 1000;
}

let bootIdKnown: string | undefined;

/**
 * Linux tells its boot id; elsewhere the boot's time to the nearest ten seconds serves. When
 * rounding makes one boot look like two, windows merely carry over by wall time instead.
 */
function bootId(): string {
  bootIdKnown ??= readBootId();
  return bootIdKnown;
}

function readBootId(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  } catch {
    return `${hostname()}-${Math.round((Date.now() - monotonicMs()) / 10_000)}`;
  }
}
