/**
 * Loaded into a server with --import. At each SIGUSR2 it writes to the file in LOOP_DELAY_FILE, as
 * JSON, what held up the event loop since the one before.
 */
import { closeSync, openSync, readSync, renameSync, writeFileSync } from 'node:fs';
import { PerformanceObserver } from 'node:perf_hooks';

/** What a server's event loop did while a bench looked. In ms. */
export interface LoopDelay {
  /** Between two ticks of a timer, beyond its interval; what else the machine did is in it. */
  readonly wallMs: readonly number[];
  /**
   * Of the same, the part in which the thread itself ran, as the kernel counts it; empty where that
   * is not told. At least what one turn of the loop took, since several may fit between two ticks.
   */
  readonly workMs: readonly number[];
  /**
   * Of the same, what all threads of the process ran together: those beside the loop's own collect
   * garbage, compile, and unpack. Held to one core, they keep the loop waiting while they run.
   */
  readonly allWorkMs: readonly number[];
  /** Pauses for the collection of garbage, by the clock. */
  readonly collectionMs: readonly number[];
}

const TICK_MS = 1;
/** One line of three numbers; the same at every tick, so that looking makes no garbage. */
const LINE = Buffer.alloc(64);

const file = process.env['LOOP_DELAY_FILE'];
if (file !== undefined) watch(file);

function watch(delayFile: string): void {
  const statistics = openStatistics();
  let wallMs: number[] = [];
  let workMs: number[] = [];
  let allWorkMs: number[] = [];
  let collectionMs: number[] = [];
  let lastMs = performance.now();
  let lastRanMs = ranMs(statistics);
  let lastAllRanMs = allRanMs();
  const tick = (): void => {
    const nowMs = performance.now();
    const nowRanMs = ranMs(statistics);
    const nowAllRanMs = allRanMs();
    wallMs.push(Math.max(0, nowMs - lastMs - TICK_MS));
    if (statistics !== null) workMs.push(nowRanMs - lastRanMs);
    allWorkMs.push(nowAllRanMs - lastAllRanMs);
    lastMs = nowMs;
    lastRanMs = nowRanMs;
    lastAllRanMs = nowAllRanMs;
  };
  setInterval(tick, TICK_MS).unref();
  new PerformanceObserver((list) => {
    for (const { duration } of list.getEntries()) collectionMs.push(duration);
  }).observe({ entryTypes: ['gc'] });
  process.on('SIGUSR2', () => {
    tick();
    const delay: LoopDelay = { wallMs, workMs, allWorkMs, collectionMs };
    writeFileSync(`${delayFile}.new`, JSON.stringify(delay));
    renameSync(`${delayFile}.new`, delayFile);
    wallMs = [];
    workMs = [];
    allWorkMs = [];
    collectionMs = [];
    // What it took to write is nobody's delay.
    lastMs = performance.now();
    lastRanMs = ranMs(statistics);
    lastAllRanMs = allRanMs();
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
  const length = readSync(statistics, LINE, 0, LINE.length, 0);
  return Number(LINE.toString('latin1', 0, length).split(' ', 1)[0]) / 1e6;
}

function allRanMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e3;
}
