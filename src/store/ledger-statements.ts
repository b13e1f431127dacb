import type { CooldownKind } from '../quota/ledger.ts';
import type { Connection } from './database.ts';

export interface PartitionRow {
  readonly partition_id: number;
  readonly held_requests: number;
  readonly held_input_tokens: number;
  readonly held_usd_micros: number;
  readonly running: number;
  readonly parked_until_ms: number;
  readonly adjusted: number;
}

export interface ReservationRow {
  readonly reservation_id: string;
  readonly partition_id: number;
  readonly agent: string;
  /** Null while the call is held and not yet dated. */
  readonly event_key: number | null;
  readonly requests: number;
  readonly input_tokens: number;
  readonly usd_micros: number;
}

interface HeadRow {
  readonly since_ms: number;
  readonly interactive: number;
  readonly requests: number;
  readonly input_tokens: number;
  readonly usd_micros: number;
}

const RESERVATION =
  'SELECT reservation_id, partition_id, agent, event_key, requests, input_tokens, usd_micros ' +
  'FROM reservation';

/** Every statement of the ledger, prepared once per connection. */
export function prepareLedger(connection: Connection) {
  return {
    ...partitionStatements(connection),
    ...reservationStatements(connection),
    ...startStatements(connection),
    ...cooldownStatements(connection),
    ...headStatements(connection),
  };
}

function partitionStatements(connection: Connection) {
  const rest = [
    `INSERT INTO agent_seen (partition_id, agent, seen_at_ms)
     SELECT @to, agent, seen_at_ms FROM agent_seen WHERE partition_id = @from
     ON CONFLICT DO UPDATE SET seen_at_ms = max(seen_at_ms, excluded.seen_at_ms)`,
    'DELETE FROM agent_seen WHERE partition_id = @from',
    'UPDATE agent_start SET partition_id = @to WHERE partition_id = @from',
    `INSERT INTO cooldown (partition_id, kind, until_ms, reason)
     SELECT @to, kind, until_ms, reason FROM cooldown WHERE partition_id = @from
     ON CONFLICT DO UPDATE SET until_ms = excluded.until_ms, reason = excluded.reason
     WHERE until_ms < excluded.until_ms`,
    'DELETE FROM cooldown WHERE partition_id = @from',
    'UPDATE OR IGNORE limit_adjustment SET partition_id = @to WHERE partition_id = @from',
    'DELETE FROM limit_adjustment WHERE partition_id = @from',
    'DELETE FROM queue_head WHERE partition_id = @from',
    'DELETE FROM quota_partition WHERE partition_id = @from',
  ].map((sql) => connection.prepare<[{ from: number; to: number }]>(sql));
  return {
    insertPartition: connection.prepare<[string, string]>(
      'INSERT OR IGNORE INTO quota_partition (project, model) VALUES (?, ?)',
    ),
    findPartition: connection.prepare<[string, string], { partition_id: number }>(
      'SELECT partition_id FROM quota_partition WHERE project = ? AND model = ?',
    ),
    partition: connection.prepare<[number], PartitionRow>(
      `SELECT partition_id, held_requests, held_input_tokens, held_usd_micros, running,
         parked_until_ms, adjusted FROM quota_partition WHERE partition_id = ?`,
    ),
    partitions: connection.prepare<[], { project: string; model: string }>(
      'SELECT project, model FROM quota_partition ORDER BY project, model',
    ),
    partitionIds: connection.prepare<[], { partition_id: number }>(
      'SELECT partition_id FROM quota_partition',
    ),
    changePartition: connection.prepare(
      `UPDATE quota_partition SET held_requests = held_requests + @requests,
         held_input_tokens = held_input_tokens + @input_tokens,
         held_usd_micros = held_usd_micros + @usd_micros, running = running + @running
       WHERE partition_id = @partition_id`,
    ),
    mergeHeld: connection.prepare<[number, number]>(
      `UPDATE quota_partition SET
         held_requests = quota_partition.held_requests + old.held_requests,
         held_input_tokens = quota_partition.held_input_tokens + old.held_input_tokens,
         held_usd_micros = quota_partition.held_usd_micros + old.held_usd_micros,
         running = quota_partition.running + old.running,
         parked_until_ms = max(quota_partition.parked_until_ms, old.parked_until_ms),
         adjusted = max(quota_partition.adjusted, old.adjusted)
       FROM quota_partition AS old
       WHERE old.partition_id = ? AND quota_partition.partition_id = ?`,
    ),
    mergeRest: (from: number, to: number) =>
      rest.map((statement) => () => statement.run({ from, to })),
  };
}

function reservationStatements(connection: Connection) {
  return {
    insertReservation: connection.prepare(
      `INSERT INTO reservation (reservation_id, partition_id, process_id, agent, requests,
         input_tokens, usd_micros, reserved_at_ms)
       VALUES (@reservation_id, @partition_id, @process_id, @agent, @requests, @input_tokens,
         @usd_micros, @reserved_at_ms)`,
    ),
    reservation: connection.prepare<[string], ReservationRow>(
      `${RESERVATION} WHERE reservation_id = ?`,
    ),
    reservationsOf: connection.prepare<[number], ReservationRow>(
      `${RESERVATION} WHERE process_id = ?`,
    ),
    reservationsIn: connection.prepare<[number], ReservationRow>(
      `${RESERVATION} WHERE partition_id = ?`,
    ),
    setEventKey: connection.prepare<[number, string]>(
      'UPDATE reservation SET event_key = ? WHERE reservation_id = ?',
    ),
    moveReservation: connection.prepare<[number, number | null, string]>(
      'UPDATE reservation SET partition_id = ?, event_key = ? WHERE reservation_id = ?',
    ),
    deleteReservation: connection.prepare<[string]>(
      'DELETE FROM reservation WHERE reservation_id = ?',
    ),
  };
}

function startStatements(connection: Connection) {
  return {
    seen: connection.prepare<[number, string], { seen_at_ms: number }>(
      'SELECT seen_at_ms FROM agent_seen WHERE partition_id = ? AND agent = ?',
    ),
    see: connection.prepare<[number, string, number]>(
      `INSERT INTO agent_seen (partition_id, agent, seen_at_ms) VALUES (?, ?, ?)
       ON CONFLICT DO UPDATE SET seen_at_ms = max(seen_at_ms, excluded.seen_at_ms)`,
    ),
    seeAgain: connection.prepare<[number, number, string, number]>(
      `UPDATE agent_seen SET seen_at_ms = ?
       WHERE partition_id = ? AND agent = ? AND seen_at_ms < ?`,
    ),
    starts: connection.prepare<[number, number], { started_at_ms: number; pending: number }>(
      `SELECT started_at_ms, pending FROM agent_start
       WHERE partition_id = ? AND (started_at_ms > ? OR pending = 1) ORDER BY started_at_ms`,
    ),
    insertStart: connection.prepare<[string, number, number]>(
      `INSERT INTO agent_start (reservation_id, partition_id, started_at_ms, pending)
       VALUES (?, ?, ?, 1)`,
    ),
    deleteStarts: connection.prepare<[number]>(
      'DELETE FROM agent_start WHERE pending = 0 AND started_at_ms < ?',
    ),
    deleteSeen: connection.prepare<[number]>('DELETE FROM agent_seen WHERE seen_at_ms < ?'),
    /** Only the first time: a call sent again does not start its agent again. */
    dateStart: connection.prepare<[number, string]>(
      `UPDATE agent_start SET started_at_ms = ?, pending = 0
       WHERE reservation_id = ? AND pending = 1`,
    ),
    deleteStart: connection.prepare<[string]>(
      'DELETE FROM agent_start WHERE reservation_id = ? AND pending = 1',
    ),
  };
}

function cooldownStatements(connection: Connection) {
  return {
    cooldowns: connection.prepare<
      [number, number],
      { kind: CooldownKind; until_ms: number; reason: string }
    >(
      `SELECT kind, until_ms, reason FROM cooldown WHERE partition_id = ? AND until_ms > ?
       ORDER BY until_ms DESC`,
    ),
    park: connection.prepare<[number, string, number, string]>(
      `INSERT INTO cooldown (partition_id, kind, until_ms, reason) VALUES (?, ?, ?, ?)
       ON CONFLICT DO UPDATE SET until_ms = excluded.until_ms, reason = excluded.reason
       WHERE until_ms < excluded.until_ms`,
    ),
    parkPartition: connection.prepare<[number, number]>(
      `UPDATE quota_partition SET parked_until_ms = max(parked_until_ms, ?)
       WHERE partition_id = ?`,
    ),
    unpark: connection.prepare<[number, string | null, string | null]>(
      'DELETE FROM cooldown WHERE partition_id = ? AND (? IS NULL OR kind = ?)',
    ),
    unparkPartition: connection.prepare<[number, number]>(
      `UPDATE quota_partition SET parked_until_ms =
         coalesce((SELECT max(until_ms) FROM cooldown WHERE partition_id = ?), 0)
       WHERE partition_id = ?`,
    ),
  };
}

function headStatements(connection: Connection) {
  return {
    heads: connection.prepare<[number, number, number], HeadRow>(
      `SELECT since_ms, interactive, requests, input_tokens, usd_micros
       FROM queue_head JOIN process USING (process_id)
       WHERE partition_id = ? AND process_id <> ? AND lease_at_ms > ?`,
    ),
    publishHead: connection.prepare(
      `INSERT OR REPLACE INTO queue_head (process_id, partition_id, since_ms, interactive,
         requests, input_tokens, usd_micros)
       VALUES (@process_id, @partition_id, @since_ms, @interactive, @requests, @input_tokens,
         @usd_micros)`,
    ),
    deleteHead: connection.prepare<[number, number]>(
      'DELETE FROM queue_head WHERE process_id = ? AND partition_id = ?',
    ),
    deleteHeadsOf: connection.prepare<[number]>('DELETE FROM queue_head WHERE process_id = ?'),
  };
}
