import type { WindowLog } from '../quota/admission.ts';
import type { QuotaPolicy } from '../quota/policy.ts';
import type { Units } from '../quota/units.ts';
import { count, NO_UNITS } from '../quota/units.ts';
import type { TimeWindow } from '../quota/window.ts';
import { leavesAtMs, spanMs, windowKey } from '../quota/window.ts';
import type { Connection } from './database.ts';

/**
 * The log of dated units of each partition, and the windows over it.
 *
 *        tail_key of the day      tail_key of the minute            newest
 *   ──────────┼──────────────────────────┼────────────────────────────▶ event_key
 *    left     │◀──────────── totals of the day window ───────────────▶│
 *                                        │◀── of the minute window ──▶│
 *
 * Each window keeps running totals of what is behind its tail. Reading one costs a seek, however
 * many events it holds.
 */

/** Room for 1,024 events of one partition in one millisecond; the next one moves to the next. */
const KEYS_PER_MS = 1024;

/** Rows that one transaction moves or reads at most, so that none blocks the loop for long. */
export const ROWS_PER_TRANSACTION_MAX = 500;

/** Rows read at a time when it is asked when units leave; the first few nearly always tell. */
const ROWS_PER_READ = 20;

interface EventRow {
  readonly event_key: number;
  readonly requests: number;
  readonly rejected: number;
  readonly input_tokens: number;
  readonly output_tokens: number;
  readonly usd_micros: number;
}

interface WindowRow extends Omit<EventRow, 'event_key'> {
  readonly window_key: string;
  readonly tail_key: number;
}

/** A window over one partition's log, as its row stands now. */
interface OpenWindow {
  readonly window: TimeWindow;
  readonly guardMs: number;
  readonly key: string;
  tailKey: number;
  units: Units;
  nextFreeAtMs: number | null;
  /** What has been read so far of what leaves next, and up to which event. */
  readonly leaving: { readonly atMs: number; readonly units: Units }[];
  leavingKey: number;
}

export interface EventLog {
  /** Gives access to the windows of policies, each brought up to now when first asked for. */
  open(partitionId: number, at: LogInstant): OpenLog;
  /** Adds units dated `atMs` (never before a window's tail) and returns the event's key. */
  append(partitionId: number, atMs: number, units: Units): number;
  /** Replaces the units of an event, in every window that still holds it. */
  replace(partitionId: number, eventKey: number, units: Units): void;
  /** Deletes up to 500 events dated before `beforeMs`. Returns how many. */
  prune(partitionId: number, beforeMs: number): number;
  /** Appends all events of one partition to another and returns old and new keys. */
  move(fromId: number, toId: number): ReadonlyMap<number, number>;
}

/** Now on the timeline, and how far ahead of it the upstream's clock is. */
export interface LogInstant {
  readonly atMs: number;
  readonly upstreamOffsetMs: number;
}

export type OpenLog = (policy: QuotaPolicy) => WindowLog;

export function createEventLog(connection: Connection): EventLog {
  const statements = prepare(connection);

  function openWindow(
    partitionId: number,
    policy: QuotaPolicy,
    row: WindowRow | undefined,
    at: LogInstant,
  ): OpenWindow {
    const { window, guardMs } = policy;
    const key = windowKey(window, guardMs);
    const found = row ?? rebuild(partitionId, key, window, guardMs, at.atMs);
    const open: OpenWindow = {
      window,
      guardMs,
      key,
      tailKey: found.tail_key,
      units: toUnits(found),
      nextFreeAtMs: null,
      leaving: [],
      leavingKey: 0,
    };
    expire(partitionId, open, at);
    open.leavingKey = open.tailKey;
    return open;
  }

  /** A window not kept until now is summed up once; a little too much, which then expires. */
  function rebuild(
    partitionId: number,
    key: string,
    window: TimeWindow,
    guardMs: number,
    atMs: number,
  ): WindowRow {
    // A nominal day or month may be an hour short of the real one.
    const slackMs = window.kind === 'sliding' ? 0 : 3_600_000;
    const tailKey = Math.max(0, (atMs - spanMs(window) - slackMs - 2 * guardMs) * KEYS_PER_MS - 1);
    const sums = statements.sums.get(partitionId, tailKey);
    const row = { window_key: key, tail_key: tailKey, ...(sums ?? toColumns(NO_UNITS)) };
    statements.insertWindow.run({ partition_id: partitionId, ...row });
    return row;
  }

  function expire(partitionId: number, open: OpenWindow, at: LogInstant): void {
    let { tailKey } = open;
    let left: Units = NO_UNITS;
    for (let rows = 0; rows <= ROWS_PER_TRANSACTION_MAX; rows += 1) {
      const next = statements.next.get(partitionId, tailKey);
      if (next === undefined) break;
      const leavesMs = leaves(open, next.event_key, at);
      if (leavesMs > at.atMs || rows === ROWS_PER_TRANSACTION_MAX) {
        // A full slice: the rest leaves in the next transaction, so let that be at once.
        open.nextFreeAtMs = Math.max(leavesMs, at.atMs);
        break;
      }
      tailKey = next.event_key;
      left = add(left, next, 1);
    }
    if (tailKey === open.tailKey) return;
    open.tailKey = tailKey;
    open.units = add(open.units, toColumns(left), -1);
    statements.moveTail.run({
      partition_id: partitionId,
      window_key: open.key,
      tail_key: tailKey,
      ...toColumns(open.units),
    });
  }

  /** The oldest dated units and when they leave; read in pieces, as far as somebody asks. */
  function leaving(partitionId: number, open: OpenWindow, at: LogInstant, index: number) {
    const known = open.leaving[index];
    if (known !== undefined || open.leaving.length >= ROWS_PER_TRANSACTION_MAX) return known;
    for (const row of statements.walk.all(partitionId, open.leavingKey)) {
      open.leavingKey = row.event_key;
      open.leaving.push({ atMs: leaves(open, row.event_key, at), units: toUnits(row) });
    }
    return open.leaving[index];
  }

  function windowLog(partitionId: number, open: OpenWindow, at: LogInstant): WindowLog {
    const lengthMs = spanMs(open.window);
    return {
      logged: open.units,
      nextFreeAtMs: open.nextFreeAtMs,
      freeAtMs(unit, amount) {
        let left = 0;
        let leavesMs = Infinity;
        for (let index = 0; index < ROWS_PER_TRANSACTION_MAX; index += 1) {
          const next = leaving(partitionId, open, at, index);
          if (next === undefined) return Infinity;
          left += count(next.units, unit, lengthMs);
          leavesMs = next.atMs;
          if (left >= amount) break;
        }
        // Not enough within the slice: look again when that much has left.
        return leavesMs;
      },
      leftBy(unit, untilMs) {
        let left = 0;
        for (let index = 0; index < ROWS_PER_TRANSACTION_MAX; index += 1) {
          const next = leaving(partitionId, open, at, index);
          if (next === undefined || next.atMs > untilMs) break;
          left += count(next.units, unit, lengthMs);
        }
        return left;
      },
    };
  }

  /** The first free key of a millisecond; the next one's when it is full. */
  function freeKey(partitionId: number, atMs: number): number {
    const lowest = atMs * KEYS_PER_MS;
    const last = statements.lastBefore.get(partitionId, lowest + KEYS_PER_MS)?.event_key ?? 0;
    if (last + 1 === lowest + KEYS_PER_MS) return freeKey(partitionId, atMs + 1);
    return Math.max(lowest, last + 1);
  }

  function append(partitionId: number, atMs: number, units: Units): number {
    const eventKey = freeKey(partitionId, atMs);
    statements.insertEvent.run({
      partition_id: partitionId,
      event_key: eventKey,
      ...toColumns(units),
    });
    statements.shift.run({ partition_id: partitionId, event_key: eventKey, ...toColumns(units) });
    return eventKey;
  }

  return {
    open(partitionId, at) {
      const rows = statements.windows.all(partitionId);
      const opened = new Map<string, OpenWindow>();
      return (policy) => {
        const key = windowKey(policy.window, policy.guardMs);
        let open = opened.get(key);
        if (open === undefined) {
          const row = rows.find((candidate) => candidate.window_key === key);
          open = openWindow(partitionId, policy, row, at);
          opened.set(key, open);
        }
        return windowLog(partitionId, open, at);
      };
    },
    append,
    replace(partitionId, eventKey, units) {
      const before = statements.event.get(partitionId, eventKey);
      if (before === undefined) return;
      const change = add(units, before, -1);
      if (Object.values(change).every((value) => value === 0)) return;
      const key = { partition_id: partitionId, event_key: eventKey };
      statements.updateEvent.run({ ...key, ...toColumns(units) });
      statements.shift.run({ ...key, ...toColumns(change) });
    },
    prune(partitionId, beforeMs) {
      const slice = statements.oldest.get(partitionId, beforeMs * KEYS_PER_MS);
      if (slice === undefined || slice.last_key === null) return 0;
      // A window that still holds them is idle or no longer configured. It is summed up anew if it
      // is ever asked for again.
      statements.deleteWindows.run(partitionId, slice.last_key);
      return statements.deleteEvents.run(partitionId, slice.last_key).changes;
    },
    move(fromId, toId) {
      const keys = new Map<number, number>();
      for (const row of statements.allEvents.all(fromId)) {
        keys.set(
          row.event_key,
          append(toId, Math.floor(row.event_key / KEYS_PER_MS), toUnits(row)),
        );
      }
      statements.deleteAllEvents.run(fromId);
      statements.deleteAllWindows.run(fromId);
      return keys;
    },
  };
}

function leaves(open: OpenWindow, eventKey: number, { upstreamOffsetMs }: LogInstant): number {
  const atMs = Math.floor(eventKey / KEYS_PER_MS);
  return leavesAtMs(open.window, atMs, { guardMs: open.guardMs, upstreamOffsetMs });
}

function toUnits(row: Omit<EventRow, 'event_key'>): Units {
  return {
    requests: row.requests,
    rejected: row.rejected,
    inputTokens: row.input_tokens,
    outputTokens: row.output_tokens,
    usdMicros: row.usd_micros,
  };
}

function toColumns(units: Units): Omit<EventRow, 'event_key'> {
  return {
    requests: units.requests,
    rejected: units.rejected,
    input_tokens: units.inputTokens,
    output_tokens: units.outputTokens,
    usd_micros: units.usdMicros,
  };
}

function add(units: Units, row: Omit<EventRow, 'event_key'>, sign: 1 | -1): Units {
  return {
    requests: units.requests + sign * row.requests,
    rejected: units.rejected + sign * row.rejected,
    inputTokens: units.inputTokens + sign * row.input_tokens,
    outputTokens: units.outputTokens + sign * row.output_tokens,
    usdMicros: units.usdMicros + sign * row.usd_micros,
  };
}

const COLUMNS = 'requests, rejected, input_tokens, output_tokens, usd_micros';
const VALUES = '@requests, @rejected, @input_tokens, @output_tokens, @usd_micros';
const ASSIGN =
  'requests = @requests, rejected = @rejected, input_tokens = @input_tokens, ' +
  'output_tokens = @output_tokens, usd_micros = @usd_micros';

/** A function of its own, so that every statement is prepared exactly once. */
function prepare(connection: Connection) {
  const events = `SELECT event_key, ${COLUMNS} FROM usage_event`;
  return {
    next: connection.prepare<[number, number], EventRow>(
      `${events} WHERE partition_id = ? AND event_key > ? ORDER BY event_key LIMIT 1`,
    ),
    walk: connection.prepare<[number, number], EventRow>(
      `${events} WHERE partition_id = ? AND event_key > ? ORDER BY event_key
       LIMIT ${ROWS_PER_READ}`,
    ),
    event: connection.prepare<[number, number], EventRow>(
      `${events} WHERE partition_id = ? AND event_key = ?`,
    ),
    allEvents: connection.prepare<[number], EventRow>(`${events} WHERE partition_id = ?`),
    lastBefore: connection.prepare<[number, number], { event_key: number }>(
      `SELECT event_key FROM usage_event WHERE partition_id = ? AND event_key < ?
       ORDER BY event_key DESC LIMIT 1`,
    ),
    sums: connection.prepare<[number, number], Omit<EventRow, 'event_key'>>(
      `SELECT coalesce(sum(requests), 0) AS requests, coalesce(sum(rejected), 0) AS rejected,
         coalesce(sum(input_tokens), 0) AS input_tokens,
         coalesce(sum(output_tokens), 0) AS output_tokens,
         coalesce(sum(usd_micros), 0) AS usd_micros
       FROM usage_event WHERE partition_id = ? AND event_key > ?`,
    ),
    insertEvent: connection.prepare(
      `INSERT INTO usage_event (partition_id, event_key, ${COLUMNS})
       VALUES (@partition_id, @event_key, ${VALUES})`,
    ),
    updateEvent: connection.prepare(
      `UPDATE usage_event SET ${ASSIGN}
       WHERE partition_id = @partition_id AND event_key = @event_key`,
    ),
    /** Adds a change to every window whose tail is before the event. */
    shift: connection.prepare(
      `UPDATE quota_window SET requests = requests + @requests, rejected = rejected + @rejected,
         input_tokens = input_tokens + @input_tokens,
         output_tokens = output_tokens + @output_tokens, usd_micros = usd_micros + @usd_micros
       WHERE partition_id = @partition_id AND tail_key < @event_key`,
    ),
    windows: connection.prepare<[number], WindowRow>(
      `SELECT window_key, tail_key, ${COLUMNS} FROM quota_window WHERE partition_id = ?`,
    ),
    insertWindow: connection.prepare(
      `INSERT INTO quota_window (partition_id, window_key, tail_key, ${COLUMNS})
       VALUES (@partition_id, @window_key, @tail_key, ${VALUES})`,
    ),
    moveTail: connection.prepare(
      `UPDATE quota_window SET tail_key = @tail_key, ${ASSIGN}
       WHERE partition_id = @partition_id AND window_key = @window_key`,
    ),
    deleteWindows: connection.prepare<[number, number]>(
      'DELETE FROM quota_window WHERE partition_id = ? AND tail_key < ?',
    ),
    oldest: connection.prepare<[number, number], { last_key: number | null }>(
      `SELECT max(event_key) AS last_key FROM (
         SELECT event_key FROM usage_event WHERE partition_id = ? AND event_key < ?
         ORDER BY event_key LIMIT ${ROWS_PER_TRANSACTION_MAX})`,
    ),
    deleteEvents: connection.prepare<[number, number]>(
      'DELETE FROM usage_event WHERE partition_id = ? AND event_key <= ?',
    ),
    deleteAllEvents: connection.prepare<[number]>('DELETE FROM usage_event WHERE partition_id = ?'),
    deleteAllWindows: connection.prepare<[number]>(
      'DELETE FROM quota_window WHERE partition_id = ?',
    ),
  };
}
