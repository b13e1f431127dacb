import type { Clock, Timer } from '../clock.ts';
import type { Calibration } from '../quota/calibration.ts';
import { dateIn, GOOGLE_QUOTA_ZONE } from '../quota/window.ts';
import type { LearningStore } from '../store/learning-store.ts';

/** What has been learned is written down this often. */
const LEARNED_WRITE_MS = 1_000;
/** Old rollups are dropped this often. */
const ROLLUP_PRUNE_MS = 3_600_000;

/** Work that comes back by itself. */
export interface Chores {
  /** Writes down what has been learned since the last time. */
  writeLearned(): void;
  close(): void;
}

export function startChores(options: {
  readonly clock: Clock;
  readonly calibration: Calibration;
  readonly learning: LearningStore;
  /** Runs database work soon. */
  readonly note: (write: () => void) => void;
  /** How long daily sums are kept, ms. */
  readonly rollupsMs: () => number;
}): Chores {
  const { clock, calibration, learning, note, rollupsMs } = options;
  const timers = new Map<number, Timer>();

  function every(intervalMs: number, work: () => void): void {
    timers.set(
      intervalMs,
      clock.after(intervalMs, () => {
        work();
        every(intervalMs, work);
      }),
    );
  }

  function writeLearned(): void {
    const changed = calibration.takeChanged();
    if (changed.length > 0) note(() => learning.writeCalibration(changed));
  }

  every(LEARNED_WRITE_MS, writeLearned);
  every(ROLLUP_PRUNE_MS, () => {
    const before = dateIn(GOOGLE_QUOTA_ZONE, clock.wallMs() - rollupsMs());
    note(() => learning.pruneUsage(before));
  });
  return {
    writeLearned,
    close() {
      for (const timer of timers.values()) timer.cancel();
    },
  };
}
