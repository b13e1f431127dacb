import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { LedgerStore } from '../../src/quota/ledger.ts';
import { anchorTimeline, Timeline } from '../../src/quota/timeline.ts';
import { openDatabase } from '../../src/store/database.ts';
import { createProcessStore } from '../../src/store/process-store.ts';
import { createSqliteLedger } from '../../src/store/sqlite-ledger.ts';
import { openStore } from '../../src/store/store.ts';
import { ManualClock } from './manual-clock.ts';
import { createOracleLedger } from './oracle-ledger.ts';

/** A ledger as two processes see it, with the clock both live by. */
export interface LedgerUnderTest {
  readonly clock: ManualClock;
  nowMs(): number;
  /** Upstream's clock minus the timeline, ms. */
  offsetMs: number;
  /** The ledger in the hands of one of the two processes, numbered 0 and 1. */
  as(process: 0 | 1): LedgerStore;
  /** The process dies, is found dead now, and starts anew. */
  die(process: 0 | 1): void;
  close(): void;
}

export function oracleUnderTest(clock = new ManualClock()): LedgerUnderTest {
  const timeline = new Timeline(anchorTimeline(null, clock), clock);
  const ledger = createOracleLedger({
    processId: 1,
    upstreamOffsetMs: () => under.offsetMs,
    othersLive: () => true,
  });
  const under: LedgerUnderTest = {
    clock,
    nowMs: () => timeline.nowMs(),
    offsetMs: 0,
    as(process) {
      ledger.useProcess(process + 1);
      return ledger;
    },
    die: (process) => ledger.reap(process + 1, timeline.nowMs()),
    close: () => undefined,
  };
  return under;
}

/** SQLite in memory. Both processes share the connection, and their leases never run out. */
export function memoryLedgerUnderTest(clock = new ManualClock()): LedgerUnderTest {
  const timeline = new Timeline(anchorTimeline(null, clock), clock);
  const connection = openDatabase(':memory:');
  const processes = createProcessStore(connection, clock.bootId());
  const ids = [processes.register(Number.MAX_SAFE_INTEGER), processes.register(2 ** 52)];
  const ledgers = ids.map((processId) =>
    createSqliteLedger({
      connection,
      processId,
      upstreamOffsetMs: () => under.offsetMs,
      othersLive: () => true,
    }),
  );
  const under: LedgerUnderTest = {
    clock,
    nowMs: () => timeline.nowMs(),
    offsetMs: 0,
    as: (process) => ledgers[process]!,
    die: (process) => void ledgers[1 - process]!.reap(ids[process]!, timeline.nowMs()),
    close: () => connection.close(),
  };
  return under;
}

/** Two stores on one file. */
export function fileLedgerUnderTest(): LedgerUnderTest {
  const clock = new ManualClock();
  const directory = mkdtempSync(join(tmpdir(), 'headgate-ledger-'));
  const open = () =>
    openStore({
      path: join(directory, 'headgate.db'),
      clock,
      eventsMs: () => 86_400_000,
      checkpoints: false,
      onError(error) {
        throw error;
      },
    });
  const stores = [open(), open()];
  // Each has looked for the other.
  clock.advance(2_000);
  return {
    clock,
    nowMs: () => stores[0]!.timeline.nowMs(),
    offsetMs: 0,
    as: (process) => stores[process]!.ledger,
    die(process) {
      stores[process]!.close();
      stores[process] = open();
    },
    close() {
      for (const store of stores) store.close();
      rmSync(directory, { recursive: true });
    },
  };
}

/** Does `work` in one transaction of one of the two processes, the first unless told. */
export function call<T>(
  under: LedgerUnderTest,
  work: (ledger: LedgerStore) => T,
  process: 0 | 1 = 0,
): T {
  const ledger = under.as(process);
  return ledger.transact(() => work(ledger));
}
