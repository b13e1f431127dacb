import { readFileSync } from 'node:fs';

/** Where Linux tells of the main thread: ns it ran, ns it could have run and was not let, slices. */
const SCHEDSTAT = '/proc/self/schedstat';
const NS_PER_MS = 1_000_000;

/**
 * How long the machine has kept this process from running since `since`, ms: its main thread was
 * ready, and others had the processor. Always 0 where the system does not tell (proc(5)).
 */
export function heldBackMs(since = 0): number {
  try {
    const [, waitedNs = ''] = readFileSync(SCHEDSTAT, 'latin1').split(' ');
    return Math.max(0, Number(waitedNs) / NS_PER_MS - since);
  } catch {
    return 0;
  }
}
