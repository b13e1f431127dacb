import { readlinkSync } from 'node:fs';
import { hostname } from 'node:os';
import type { TimelineAnchor } from '../quota/timeline.ts';
import type { Connection } from './database.ts';

/** The daemons that work on this file, and the time axis they share. */
export interface ProcessStore {
  /** Adds this process and returns its id, never used before. */
  register(atMs: number): number;
  /** Renews this process's lease. False when another process has taken it for dead. */
  renew(processId: number, atMs: number): boolean;
  remove(processId: number): void;
  /** Processes whose lease is older than `leaseMs`, or whose pid is known to be gone. */
  dead(ownId: number, atMs: number, leaseMs: number): readonly number[];
  /** Whether any other process has renewed its lease within `leaseMs`. */
  othersLive(ownId: number, atMs: number, leaseMs: number): boolean;
  readAnchor(): TimelineAnchor | null;
  writeAnchor(anchor: TimelineAnchor): void;
}

interface ProcessRow {
  readonly process_id: number;
  readonly pid: number;
  readonly pid_scope: string;
  readonly lease_at_ms: number;
}

interface AnchorRow {
  readonly boot_id: string;
  readonly base_ms: number;
  readonly suspended_ms: number;
  readonly upstream_offset_ms: number;
  readonly last_ms: number;
  readonly last_wall_ms: number;
}

export function createProcessStore(connection: Connection, bootId: string): ProcessStore {
  const scope = pidScope(bootId);
  const insert = connection.prepare<[number, string, number, number]>(
    'INSERT INTO process (pid, pid_scope, started_at_ms, lease_at_ms) VALUES (?, ?, ?, ?)',
  );
  const renew = connection.prepare<[number, number]>(
    'UPDATE process SET lease_at_ms = ? WHERE process_id = ?',
  );
  const remove = connection.prepare<[number]>('DELETE FROM process WHERE process_id = ?');
  const others = connection.prepare<[number], ProcessRow>(
    'SELECT process_id, pid, pid_scope, lease_at_ms FROM process WHERE process_id <> ?',
  );
  const anchor = connection.prepare<[], AnchorRow>('SELECT * FROM clock_anchor');
  const setAnchor = connection.prepare(
    `INSERT OR REPLACE INTO clock_anchor (anchor_id, boot_id, base_ms, suspended_ms,
       upstream_offset_ms, last_ms, last_wall_ms)
     VALUES (1, @bootId, @baseMs, @suspendedMs, @upstreamOffsetMs, @lastMs, @lastWallMs)`,
  );
  return {
    register: (atMs) => Number(insert.run(process.pid, scope, atMs, atMs).lastInsertRowid),
    renew: (processId, atMs) => renew.run(atMs, processId).changes > 0,
    remove(processId) {
      remove.run(processId);
    },
    dead: (ownId, atMs, leaseMs) =>
      others
        .all(ownId)
        .filter(
          (row) =>
            row.lease_at_ms <= atMs - leaseMs ||
            (row.pid_scope === scope && row.pid !== process.pid && !isAlive(row.pid)),
        )
        .map((row) => row.process_id),
    othersLive: (ownId, atMs, leaseMs) =>
      others.all(ownId).some((row) => row.lease_at_ms > atMs - leaseMs),
    readAnchor() {
      const row = anchor.get();
      if (row === undefined) return null;
      return {
        bootId: row.boot_id,
        baseMs: row.base_ms,
        suspendedMs: row.suspended_ms,
        upstreamOffsetMs: row.upstream_offset_ms,
        lastMs: row.last_ms,
        lastWallMs: row.last_wall_ms,
      };
    },
    writeAnchor(value) {
      setAnchor.run({ ...value, suspendedMs: Math.floor(value.suspendedMs) });
    },
  };
}

/** Pids mean something only within one boot and one pid namespace of one host. */
function pidScope(bootId: string): string {
  let namespace = hostname();
  try {
    namespace = readlinkSync('/proc/self/ns/pid');
  } catch {
    // Not Linux: there are no pid namespaces, the host name tells enough.
  }
  return `${bootId} ${namespace}`;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}
