import { statSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import type { Clock, Timer } from '../clock.ts';
import { anchorTimeline, observeUpstreamDate, Timeline } from '../quota/timeline.ts';
import { openDatabase } from './database.ts';
import type { LearningStore } from './learning-store.ts';
import { createLearningStore } from './learning-store.ts';
import { createProcessStore } from './process-store.ts';
import type { SampleStore } from './sample-store.ts';
import { createSampleStore } from './sample-store.ts';
import type { SqliteLedger } from './sqlite-ledger.ts';
import { createSqliteLedger, LEASE_MS } from './sqlite-ledger.ts';

/** A lease is renewed, other processes' leases looked at and the log moved this often. */
const TICK_MS = 2_000;
/** No day's window needs older units: 25 hours in autumn, and what guards and clocks add. */
const EVENTS_MS_MIN = 27 * 3_600_000;

export interface StoreOptions {
  /** `:memory:` is private and keeps nothing. */
  readonly path: string;
  readonly clock: Clock;
  /**
   * Units older than this are deleted, ms; at least 27 h. Must cover the longest window, or that
   * forgets what it holds.
   */
  readonly eventsMs: () => number;
  /** Told when the database could not be used in the background; it is tried again. */
  readonly onError: (error: unknown) => void;
  /** False in unit tests: they do without the checkpoint thread. Default true. */
  readonly checkpoints?: boolean;
}

/** Everything kept on disk: one database, one connection, one lease. */
export interface Store {
  readonly ledger: SqliteLedger;
  readonly learning: LearningStore;
  readonly samples: SampleStore;
  readonly timeline: Timeline;
  readonly path: string;
  /** Whether other processes hold a lease on the same file. */
  othersLive(): boolean;
  /** Whether one of them has committed since the last call. */
  foreignChange(): boolean;
  /** Size of database and write-ahead log. */
  bytes(): number;
  /** Corrects the upstream's clock by a Date header (ms since 1970). */
  observeDate(observed: { dateMs: number; sentAtMs: number; receivedAtMs: number }): void;
  /** Gives up the lease and closes. Reservations still open are settled at their ceilings. */
  close(): void;
}

/** Opens the store, takes a lease, and settles what dead processes have left behind. */
export function openStore(options: StoreOptions): Store {
  const { path, clock, onError } = options;
  const connection = openDatabase(path);
  const processes = createProcessStore(connection, clock.bootId());
  const begin = connection.transaction(() => {
    const anchor = anchorTimeline(processes.readAnchor(), clock);
    const axis = new Timeline(anchor, clock);
    processes.writeAnchor(axis.touched());
    return { axis, processId: processes.register(axis.nowMs()) };
  });
  const started = begin.immediate();
  const timeline = started.axis;
  let { processId } = started;
  let othersLive = false;
  const ledger = createSqliteLedger({
    connection,
    processId,
    upstreamOffsetMs: () => timeline.upstreamOffsetMs,
    othersLive: () => othersLive,
  });
  const learning = createLearningStore(connection);
  const samples = createSampleStore(connection);
  const dataVersion = connection.prepare<[], { data_version: number }>('PRAGMA data_version');
  let seenVersion = 0;
  let timer: Timer | null = null;

  function tick(): void {
    const atMs = timeline.nowMs();
    ledger.transact(() => {
      const anchor = processes.readAnchor();
      if (anchor !== null) timeline.refresh(anchor);
      processes.writeAnchor(timeline.touched());
      if (!processes.renew(processId, atMs)) {
        // Taken for dead (the machine slept, say): what we had reserved has been settled.
        processId = processes.register(atMs);
        ledger.useProcess(processId);
      }
      for (const dead of processes.dead(processId, atMs, LEASE_MS)) {
        ledger.reap(dead, atMs);
        processes.remove(dead);
      }
      othersLive = processes.othersLive(processId, atMs, LEASE_MS);
      ledger.prune(atMs - Math.max(options.eventsMs(), EVENTS_MS_MIN));
    });
  }

  function tickAndRepeat(): void {
    try {
      tick();
    } catch (error) {
      onError(error);
    }
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, no window
    worker?.postMessage('checkpoint');
    timer = clock.after(TICK_MS, tickAndRepeat);
  }

  const worker = options.checkpoints === false || path === ':memory:' ? null : startWorker(path);
  worker?.on('error', onError);
  tickAndRepeat();
  return {
    ledger,
    learning,
    samples,
    timeline,
    path,
    othersLive: () => othersLive,
    foreignChange() {
      const version = dataVersion.get()?.data_version ?? 0;
      const changed = version !== seenVersion;
      seenVersion = version;
      return changed;
    },
    bytes: () => fileBytes(path) + fileBytes(`${path}-wal`),
    observeDate(observed) {
      const offsetMs = observeUpstreamDate(timeline.upstreamOffsetMs, observed);
      if (offsetMs === timeline.upstreamOffsetMs) return;
      const anchor = { ...timeline.touched(), upstreamOffsetMs: offsetMs };
      ledger.transact(() => processes.writeAnchor(anchor));
      timeline.refresh(anchor);
    },
    close() {
      timer?.cancel();
      void worker?.terminate();
      ledger.transact(() => {
        ledger.reap(processId, timeline.nowMs());
        processes.remove(processId);
        processes.writeAnchor(timeline.touched());
      });
      connection.close();
    },
  };
}

function startWorker(path: string): Worker {
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
  const worker = new Worker(new URL(`./checkpoint-worker.${extension}`, import.meta.url), {
    workerData: path,
  });
  worker.unref();
  return worker;
}

function fileBytes(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}
