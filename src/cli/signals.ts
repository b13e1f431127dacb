import { EventEmitter, once } from 'node:events';
import type { Clock } from '../clock.ts';

/**
 * Ctrl-C in a terminal reaches a command started by `npm start` twice, once from the terminal and
 * once from npm. A signal this soon after the first is taken for the same one.
 */
const SAME_SIGNAL_MS = 500;

export interface StopSignals {
  /** Resolves at the first SIGTERM or SIGINT. */
  readonly first: Promise<void>;
  /** Resolves at the second. */
  readonly second: Promise<void>;
}

/** Takes over SIGTERM and SIGINT until the process ends. */
export function listenForStop(clock: Clock): StopSignals {
  const stops = new EventEmitter();
  const first = once(stops, 'first').then(() => undefined);
  const second = once(stops, 'second').then(() => undefined);
  let firstAtMs: number | null = null;
  const take = (): void => {
    const nowMs = clock.monotonicMs();
    if (firstAtMs === null) {
      firstAtMs = nowMs;
      stops.emit('first');
    } else if (nowMs - firstAtMs >= SAME_SIGNAL_MS) stops.emit('second');
  };
  process.on('SIGTERM', take);
  process.on('SIGINT', take);
  return { first, second };
}
