/**
 * What it costs to admit one call under three policies, on a file in WAL mode, BEGIN IMMEDIATE and
 * COMMIT included, with few and with very many events in the day's window. Rounds are interleaved,
 * so that a slow minute of the machine hits all sizes alike.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { QuotaRules } from '../src/quota/policy.ts';
import { NO_UNITS } from '../src/quota/units.ts';
import { GOOGLE_QUOTA_ZONE } from '../src/quota/window.ts';
import type { Connection } from '../src/store/database.ts';
import { openDatabase } from '../src/store/database.ts';
import type { SqliteLedger } from '../src/store/sqlite-ledger.ts';
import { createSqliteLedger } from '../src/store/sqlite-ledger.ts';

const ROUNDS = Number(process.env['BENCH_ROUNDS'] ?? 40);
const CALLS_PER_ROUND = 300;
const SIZES = [10, 10_000, 1_000_000];
/** Calls come this often, as far as the ledger can tell. */
const CALL_EVERY_MS = 20;
const HOUR_MS = 3_600_000;
const START_MS = Date.UTC(2026, 4, 5, 20);

const WAYS = {
  /** One call is admitted. */
  reserve: (bench: Bench) => bench.ledger.transact(() => admit(bench)),
  /** A full round: a call in flight is dated, one that has ended settled, one admitted. */
  'date + settle + reserve': (bench: Bench) =>
    bench.ledger.transact(() => {
      const { ledger, atMs, calls } = bench;
      ledger.date(`call-${calls - 1}`, atMs);
      ledger.settle(`call-${calls - 2}`, { units: UNITS, atMs, sent: true });
      admit(bench);
    }),
};

interface Bench {
  readonly size: number;
  readonly connection: Connection;
  readonly ledger: SqliteLedger;
  /** Microseconds, by what was done. */
  readonly took: Map<string, number[]>;
  atMs: number;
  calls: number;
}

const UNITS = { ...NO_UNITS, requests: 1, inputTokens: 1_000 };

const sliding = { kind: 'sliding', spanMs: 60_000 } as const;
const day = { kind: 'sliding_day', zone: GOOGLE_QUOTA_ZONE } as const;
const common = { limit: 1e12, guardMs: 1_000, source: 'bench' };
const RULES: QuotaRules = {
  partition: { project: 'default', model: 'gemini-2.5-flash' },
  policies: [
    { name: 'rpm', unit: 'requests', window: sliding, ...common },
    { name: 'tpm', unit: 'input_tokens', window: sliding, ...common },
    { name: 'rpd', unit: 'requests', window: day, ...common },
  ],
  maxConcurrent: null,
  start: { cooldownMs: 0, perMinute: null, idleMs: 600_000 },
  enforce: true,
  learn: true,
};

const directory = mkdtempSync(join(tmpdir(), 'headgate-bench-'));
try {
  const benches = SIZES.map(fill);
  for (let round = -3; round < ROUNDS; round += 1) {
    for (const bench of benches) {
      for (const [name, work] of Object.entries(WAYS)) measure(bench, name, work, round >= 0);
    }
    if (round % 10 === 0) console.error(`round ${round} of ${ROUNDS}`);
  }
  print(benches);
  for (const { connection } of benches) connection.close();
} finally {
  rmSync(directory, { recursive: true, force: true });
}

/** A ledger with `size` events, spread evenly over the last 22 hours. */
function fill(size: number): Bench {
  const connection = openDatabase(join(directory, `${size}.db`));
  const ledger = createSqliteLedger({
    connection,
    processId: 1,
    upstreamOffsetMs: () => 0,
    othersLive: () => false,
  });
  const everyMs = (22 * HOUR_MS) / size;
  ledger.transact(() => {
    for (let index = 0; index < size; index += 1) {
      const atMs = START_MS - 22 * HOUR_MS + Math.floor(index * everyMs);
      ledger.charge(RULES.partition, UNITS, atMs);
    }
  });
  connection.pragma('wal_checkpoint(TRUNCATE)');
  return { size, connection, ledger, took: new Map(), atMs: START_MS, calls: 2 };
}

function measure(
  bench: Bench,
  name: string,
  work: (bench: Bench) => unknown,
  counts: boolean,
): void {
  const took = bench.took.get(name) ?? [];
  bench.took.set(name, took);
  for (let call = 0; call < CALLS_PER_ROUND; call += 1) {
    bench.atMs += CALL_EVERY_MS;
    bench.calls += 1;
    const fromMs = performance.now();
    work(bench);
    if (counts) took.push((performance.now() - fromMs) * 1000);
  }
  // What only reserved is in flight still; it ends outside the measured time, as the log is moved.
  bench.ledger.transact(() => {
    for (let call = bench.calls - CALLS_PER_ROUND - 2; call <= bench.calls; call += 1) {
      bench.ledger.settle(`call-${call}`, { units: UNITS, atMs: bench.atMs, sent: true });
    }
  });
  bench.connection.pragma('wal_checkpoint(TRUNCATE)');
}

function admit(bench: Bench): void {
  const outcome = bench.ledger.reserve({
    reservationId: `call-${bench.calls}`,
    rules: RULES,
    agent: 'bench',
    units: UNITS,
    ceiling: UNITS,
    exact: false,
    sinceMs: bench.atMs,
    interactive: true,
    atMs: bench.atMs,
    behind: null,
  });
  if (outcome.kind !== 'admitted') throw new Error('the bench ran into a limit');
  if (outcome.starts) bench.ledger.dateStart(`call-${bench.calls}`, bench.atMs);
}

function print(benches: readonly Bench[]): void {
  console.log('| one transaction | events in the day | p50 | p99 | p50 over smallest |');
  console.log('|---|--:|--:|--:|--:|');
  for (const name of Object.keys(WAYS)) {
    const smallest = percentile(benches[0]?.took.get(name) ?? [], 0.5);
    for (const { size, took } of benches) {
      const sample = took.get(name) ?? [];
      const p50 = percentile(sample, 0.5);
      const p99 = percentile(sample, 0.99);
      console.log(
        `| ${name} | ${size.toLocaleString('en-US')} | ${p50.toFixed(1)} us | ${p99.toFixed(1)} us | ` +
          `${(p50 / smallest).toFixed(2)} |`,
      );
    }
  }
}

function percentile(sample: readonly number[], part: number): number {
  const sorted = sample.toSorted((a, b) => a - b);
  return sorted[Math.floor((sorted.length - 1) * part)] ?? 0;
}
