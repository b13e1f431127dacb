/**
 * Loaded into a server with --import. At each SIGUSR2 it writes to the file in LOOP_DELAY_FILE, as
 * JSON, for how long the event loop was held up at most since the one before.
 */
import { closeSync, openSync, readSync, writeFileSync } from 'node:fs';

/** What a server was doing while a bench looked. In ms. */
export interface LoopDelay {
  /** Between two ticks of a timer, beyond its interval; what else the machine did is in it. */
  readonly wallMs: number;
  /** That part in which the thread itself ran, as the kernel counts it; NaN where that is not told. */
  readonly workMs: number;
}

const TICK_MS = 1;

const file = process.env['LOOP_DELAY_FILE'];
if (file !== undefined) watch(file);

function watch(delayFile: string): void {
  const statistics = openStatistics();
  let worst: LoopDelay = { wallMs: 0, workMs: statistics === null ? Number.NaN : 0 };
  let lastMs = performance.now();
  let lastRanMs = ranMs(statistics);
  setInterval(() => {
    const nowMs = performance.now();
    const nowRanMs = ranMs(statistics);
    worst = {
      wallMs: Math.max(worst.wallMs, nowMs - lastMs - TICK_MS),
      workMs: Math.max(worst.workMs, nowRanMs - lastRanMs),
    };
    lastMs = nowMs;
    lastRanMs = nowRanMs;
  }, TICK_MS).unref();
  process.on('SIGUSR2', () => {
    writeFileSync(delayFile, JSON.stringify(worst));
    worst = { wallMs: 0, workMs: 0 };
  });
  process.on('exit', () => {
    if (statistics !== null) closeSync(statistics);
  });
}

/** Linux tells how long a process's first thread, which is the event loop's, has run. */
function openStatistics(): number | null {
  try {
    return openSync('/proc/self/schedstat', 'r');
  } catch {
    return null;
  }
}

function ranMs(statistics: number | null): number {
  if (statistics === null) return Number.NaN;
  const bytes = Buffer.alloc(64);
  const length = readSync(statistics, bytes, 0, bytes.length, 0);
  return Number(bytes.toString('latin1', 0, length).split(' ', 1)[0]) / 1e6;
}
