import type { AdmissionFacts } from '../quota/admission.ts';
import {
  findBlocks,
  headsAhead,
  START_SPAN_MS,
  START_TRANSIT_MS,
  windowStates,
} from '../quota/admission.ts';
import { expectedAtMs } from '../quota/forecast.ts';
import type {
  Cooldown,
  HeadClaim,
  LedgerStore,
  PublishedHead,
  ReserveOutcome,
  ReserveRequest,
} from '../quota/ledger.ts';
import { LedgerBusyError } from '../quota/ledger.ts';
import type { Partition, QuotaRules } from '../quota/policy.ts';
import type { Units } from '../quota/units.ts';
import { NO_UNITS } from '../quota/units.ts';
import type { Connection } from './database.ts';
import { isBusy } from './database.ts';
import type { EventLog } from './event-log.ts';
import { createEventLog } from './event-log.ts';
import type { PartitionRow, ReservationRow } from './ledger-statements.ts';
import { prepareLedger } from './ledger-statements.ts';
import type { LimitStore } from './limit-store.ts';
import { createLimitStore } from './limit-store.ts';

/** An agent's last call is written down at most this often. */
const SEEN_MS_STEP = 5_000;
/** A published head counts while its process has renewed its lease within this time. */
export const LEASE_MS = 10_000;

export interface SqliteLedgerOptions {
  readonly connection: Connection;
  /** This process's row in the process table. */
  readonly processId: number;
  /** Upstream's clock minus the timeline, ms. */
  readonly upstreamOffsetMs: () => number;
  /** Whether other processes hold a lease on this file; then their heads are looked at. */
  readonly othersLive: () => boolean;
}

export interface SqliteLedger extends LedgerStore {
  readonly eventLog: EventLog;
  /** This process goes on under another id, its former lease having been taken over. */
  useProcess(processId: number): void;
  /** Deletes a slice of the units that no window needs: dated before `beforeMs`. */
  prune(beforeMs: number): void;
  /** Settles at their ceilings, dated `atMs`, all reservations of a process that has died. */
  reap(processId: number, atMs: number): number;
}

/** The ledger on SQLite. All methods are synchronous and short; see LedgerStore for their meaning. */
export function createSqliteLedger(options: SqliteLedgerOptions): SqliteLedger {
  const { connection, upstreamOffsetMs, othersLive } = options;
  let { processId } = options;
  const statements = prepareLedger(connection);
  const eventLog = createEventLog(connection);
  /** Made once: making one costs as much as a statement. */
  const run = connection.transaction((work: () => unknown) => work());
  const ids = new Map<string, number>();
  const limits: LimitStore = createLimitStore(connection, partitionId);

  function partitionId(partition: Partition): number {
    return partitionRow(partition).partition_id;
  }

  function rememberedId(partition: Partition): number {
    const name = `${partition.project}\n${partition.model}`;
    const known = ids.get(name);
    if (known !== undefined) return known;
    statements.insertPartition.run(partition.project, partition.model);
    const row = statements.findPartition.get(partition.project, partition.model);
    if (row === undefined) throw new Error(`partition ${name} was not stored`);
    ids.set(name, row.partition_id);
    return row.partition_id;
  }

  function partitionRow(partition: Partition): PartitionRow {
    const row = statements.partition.get(rememberedId(partition));
    if (row !== undefined) return row;
    // Merged away by another process. Ids are never given twice, so it was not another partition.
    ids.delete(`${partition.project}\n${partition.model}`);
    const again = statements.partition.get(rememberedId(partition));
    if (again === undefined) throw new Error('a stored partition was not found');
    return again;
  }

  function readFacts(
    rules: QuotaRules,
    agent: string | null,
    atMs: number,
  ): AdmissionFacts & { row: PartitionRow; seenAtMs: number } {
    const row = partitionRow(rules.partition);
    const id = row.partition_id;
    const isAsked = agent !== null && rules.start !== null;
    const seenAtMs = isAsked ? (statements.seen.get(id, agent)?.seen_at_ms ?? 0) : 0;
    return {
      row,
      seenAtMs,
      rules,
      atMs,
      held: {
        ...NO_UNITS,
        requests: row.held_requests,
        inputTokens: row.held_input_tokens,
        usdMicros: row.held_usd_micros,
      },
      running: row.running,
      windowLog: eventLog.open(id, { atMs, upstreamOffsetMs: upstreamOffsetMs() }),
      adjustment: limits.read(id, row.adjusted === 1),
      cooldowns: row.parked_until_ms > atMs ? cooldowns(id, atMs) : [],
      starts: readStarts(rules, id, seenAtMs, atMs),
    };
  }

  function readStarts(rules: QuotaRules, id: number, seenAtMs: number, atMs: number) {
    const started = rules.start === null || seenAtMs > atMs - rules.start.idleMs;
    if (started) return { started, pending: false, atMs: [] };
    const spanMs = Math.max(START_SPAN_MS, rules.start?.cooldownMs ?? 0) + START_TRANSIT_MS;
    const rows = statements.starts.all(id, atMs - spanMs);
    return {
      started,
      pending: rows.some((start) => start.pending === 1),
      atMs: rows.map((start) => start.started_at_ms),
    };
  }

  function cooldowns(id: number, atMs: number): Cooldown[] {
    return statements.cooldowns
      .all(id, atMs)
      .map(({ kind, until_ms, reason }) => ({ kind, untilMs: until_ms, reason }));
  }

  function reserve(request: ReserveRequest): ReserveOutcome {
    const { rules, agent, atMs, ceiling } = request;
    const facts = readFacts(rules, agent, atMs);
    const { blocks, tooLarge } = findBlocks(facts, {
      ceiling,
      exact: request.exact,
      heads: rules.enforce ? headsOf(request, facts.row.partition_id) : [],
    });
    if (rules.enforce) {
      if (tooLarge !== null) return { kind: 'too_large', ...tooLarge };
      const longest = blocks[0];
      if (longest !== undefined) return { kind: 'blocked', blocks, retryAtMs: longest.freeAtMs };
    }
    const id = facts.row.partition_id;
    const starts = !facts.starts.started;
    changePartition(id, ceiling, 1);
    statements.insertReservation.run({
      reservation_id: request.reservationId,
      partition_id: id,
      process_id: processId,
      agent,
      requests: ceiling.requests,
      input_tokens: ceiling.inputTokens,
      usd_micros: ceiling.usdMicros,
      reserved_at_ms: atMs,
    });
    if (starts) statements.insertStart.run(request.reservationId, id, atMs);
    else if (rules.start !== null && facts.seenAtMs < atMs - SEEN_MS_STEP) {
      statements.see.run(id, agent, atMs);
    }
    // As it stands with this call in it, for the RateLimit header.
    const windows = windowStates({ ...facts, held: addHeld(facts.held, ceiling) });
    return { kind: 'admitted', windows, starts, ignored: blocks };
  }

  /** The calls that this one must not delay: our own head, and older heads of other processes. */
  function headsOf(request: ReserveRequest, id: number): HeadClaim[] {
    const own = request.behind === null ? [] : [request.behind];
    if (!othersLive()) return own;
    const published = statements.heads.all(id, processId, request.atMs - LEASE_MS).map(toHead);
    return [...own, ...headsAhead(published, request)];
  }

  /** Adds a call to the partition's units in flight, or takes it out again. */
  function changePartition(id: number, units: Units, sign: 1 | -1): void {
    statements.changePartition.run({
      partition_id: id,
      requests: sign * units.requests,
      input_tokens: sign * units.inputTokens,
      usd_micros: sign * units.usdMicros,
      running: sign,
    });
  }

  function unhold(row: ReservationRow, running: 0 | -1): void {
    const undated = row.event_key === null;
    statements.changePartition.run({
      partition_id: row.partition_id,
      requests: undated ? -row.requests : 0,
      input_tokens: undated ? -row.input_tokens : 0,
      usd_micros: undated ? -row.usd_micros : 0,
      running,
    });
  }

  /** The bytes of the agent's first call have left: only now has it started. */
  function dateStart(row: ReservationRow, atMs: number): void {
    if (statements.dateStart.run(atMs, row.reservation_id).changes === 0) return;
    statements.see.run(row.partition_id, row.agent, atMs);
  }

  function end(row: ReservationRow, units: Units, atMs: number): void {
    unhold(row, -1);
    if (row.event_key === null) eventLog.append(row.partition_id, atMs, units);
    else eventLog.replace(row.partition_id, row.event_key, units);
    statements.deleteReservation.run(row.reservation_id);
  }

  return {
    eventLog,
    useProcess(id) {
      processId = id;
    },
    prune(beforeMs) {
      for (const { partition_id: id } of statements.partitionIds.all()) {
        eventLog.prune(id, beforeMs);
      }
      statements.deleteStarts.run(beforeMs);
      statements.deleteSeen.run(beforeMs);
    },
    transact(work) {
      try {
        // It returns what `work` does, whose type one function for all cannot know.
        return run.immediate(work) as ReturnType<typeof work>;
      } catch (error) {
        // What was rolled back may have been a new partition.
        ids.clear();
        if (isBusy(error)) throw new LedgerBusyError('the database is locked', { cause: error });
        throw error;
      }
    },
    reserve,
    date(reservationId, atMs) {
      const row = statements.reservation.get(reservationId);
      if (row === undefined || row.event_key !== null) return;
      unhold(row, 0);
      const eventKey = eventLog.append(row.partition_id, atMs, toCeiling(row));
      statements.setEventKey.run(eventKey, reservationId);
    },
    dateStart(reservationId, atMs) {
      const row = statements.reservation.get(reservationId);
      if (row !== undefined) dateStart(row, atMs);
    },
    settle(reservationId, { units, atMs, sent }) {
      const row = statements.reservation.get(reservationId);
      if (row === undefined) return;
      end(row, units, atMs);
      if (sent) dateStart(row, atMs);
      else statements.deleteStart.run(reservationId);
      statements.seeAgain.run(atMs, row.partition_id, row.agent, atMs - SEEN_MS_STEP);
    },
    charge(partition, units, atMs) {
      eventLog.append(partitionId(partition), atMs, units);
    },
    release(reservationId) {
      const row = statements.reservation.get(reservationId);
      if (row === undefined) return;
      unhold(row, -1);
      if (row.event_key !== null) eventLog.replace(row.partition_id, row.event_key, NO_UNITS);
      statements.deleteReservation.run(reservationId);
      // Its bytes never left, so its agent has not started; the next call of the agent will.
      statements.deleteStart.run(reservationId);
    },
    reap(deadProcessId, atMs) {
      const rows = statements.reservationsOf.all(deadProcessId);
      for (const row of rows) {
        end(row, toCeiling(row), atMs);
        dateStart(row, atMs);
      }
      statements.deleteHeadsOf.run(deadProcessId);
      return rows.length;
    },
    windows(rules, atMs) {
      const facts = readFacts(rules, null, atMs);
      const id = facts.row.partition_id;
      const starts = statements.starts.all(id, atMs - START_SPAN_MS);
      return {
        windows: windowStates(facts),
        cooldowns: facts.cooldowns,
        running: facts.running,
        lastStartAtMs: starts.at(-1)?.started_at_ms ?? null,
        starts: starts.length,
      };
    },
    expectedAtMs: (rules, needed, atMs) => expectedAtMs(readFacts(rules, null, atMs), needed),
    isStarted(partition, agent, idleMs, atMs) {
      const seen = statements.seen.get(partitionId(partition), agent);
      return seen !== undefined && seen.seen_at_ms > atMs - idleMs;
    },
    park(partition, { kind, untilMs, reason }) {
      const id = partitionId(partition);
      statements.park.run(id, kind, untilMs, reason);
      statements.parkPartition.run(untilMs, id);
    },
    unpark(partition, kind) {
      const id = partitionId(partition);
      statements.unpark.run(id, kind, kind);
      statements.unparkPartition.run(id, id);
    },
    learnLimit: limits.learn,
    overrideLimit: limits.override,
    resetLimits: limits.reset,
    adjustedLimits: limits.all,
    mergePartitions(from, to) {
      const fromRow = statements.findPartition.get(from.project, from.model);
      if (fromRow === undefined) return;
      const fromId = fromRow.partition_id;
      const toId = partitionId(to);
      if (fromId === toId) return;
      const keys = eventLog.move(fromId, toId);
      for (const row of statements.reservationsIn.all(fromId)) {
        const eventKey = row.event_key === null ? null : (keys.get(row.event_key) ?? null);
        statements.moveReservation.run(toId, eventKey, row.reservation_id);
      }
      statements.mergeHeld.run(fromId, toId);
      for (const statement of statements.mergeRest(fromId, toId)) statement();
      ids.delete(`${from.project}\n${from.model}`);
    },
    partitions: () => statements.partitions.all(),
    publishHead(partition, head) {
      const id = partitionId(partition);
      if (head === null) {
        statements.deleteHead.run(processId, id);
        return;
      }
      statements.publishHead.run({
        process_id: processId,
        partition_id: id,
        since_ms: head.sinceMs,
        interactive: head.interactive ? 1 : 0,
        requests: head.ceiling.requests,
        input_tokens: head.ceiling.inputTokens,
        usd_micros: head.ceiling.usdMicros,
      });
    },
  };
}

function addHeld(held: Units, ceiling: Units): Units {
  return {
    ...held,
    requests: held.requests + ceiling.requests,
    inputTokens: held.inputTokens + ceiling.inputTokens,
    usdMicros: held.usdMicros + ceiling.usdMicros,
  };
}

function toCeiling(row: ReservationRow): Units {
  return {
    ...NO_UNITS,
    requests: row.requests,
    inputTokens: row.input_tokens,
    usdMicros: row.usd_micros,
  };
}

function toHead(row: {
  since_ms: number;
  interactive: number;
  requests: number;
  input_tokens: number;
  usd_micros: number;
}): PublishedHead {
  return {
    sinceMs: row.since_ms,
    interactive: row.interactive === 1,
    ceiling: {
      ...NO_UNITS,
      requests: row.requests,
      inputTokens: row.input_tokens,
      usdMicros: row.usd_micros,
    },
  };
}
