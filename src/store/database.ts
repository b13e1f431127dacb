import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import Database from 'better-sqlite3';
import { ProxyError } from '../errors.ts';

export type Connection = Database.Database;

/**
 * Lock waits block the event loop, so they are kept short and tried again asynchronously; measured:
 * a lock held 300 ms elsewhere froze the loop for 301 ms with a long timeout.
 */
const BUSY_TIMEOUT_MS = 4;
/** Start-up may wait: another process may be migrating. */
const OPEN_BUSY_TIMEOUT_MS = 5_000;

const MIGRATIONS_DIRECTORY = fileURLToPath(new URL('../../migrations/', import.meta.url));

/**
 * Opens and migrates the database, creating file and directories. `:memory:` is private to the
 * connection. Throws DATABASE_UNAVAILABLE with the path and what to do when the file is newer than
 * this headgate, locked, read-only or not a database.
 */
export function openDatabase(path: string): Connection {
  let connection: Connection | undefined;
  try {
    if (path !== ':memory:') mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    connection = new Database(path, { timeout: OPEN_BUSY_TIMEOUT_MS });
    connection.pragma('journal_mode = WAL');
    connection.pragma('synchronous = NORMAL');
    connection.pragma('foreign_keys = ON');
    // Checkpoints run in a worker (store/checkpoint-worker.ts), never inside an admission.
    connection.pragma('wal_autocheckpoint = 0');
    migrate(connection, path);
    connection.pragma(`busy_timeout = ${BUSY_TIMEOUT_MS}`);
    return connection;
  } catch (error) {
    connection?.close();
    if (error instanceof ProxyError) throw error;
    throw unusable(path, error);
  }
}

/** The migrations shipped with this headgate, in order: file name and SQL. */
export function readMigrations(): readonly { name: string; sql: string }[] {
  return readdirSync(MIGRATIONS_DIRECTORY)
    .filter((name) => /^\d{4}_.*\.sql$/.test(name))
    .toSorted()
    .map((name) => ({ name, sql: readFileSync(`${MIGRATIONS_DIRECTORY}${name}`, 'utf8') }));
}

function migrate(connection: Connection, path: string): void {
  const migrations = readMigrations();
  if (userVersion(connection) === migrations.length) return;
  connection
    .transaction(() => {
      // Read again under the lock: another process may have migrated meanwhile.
      const from = userVersion(connection);
      if (from > migrations.length) {
        throw new ProxyError(
          'DATABASE_UNAVAILABLE',
          `the database ${path} was written by a newer headgate (schema ${from}, this one knows ` +
            `${migrations.length}). Update headgate, or name another file in storage.path.`,
          { where: 'storage.path' },
        );
      }
      for (const { sql } of migrations.slice(from)) connection.exec(sql);
      connection.pragma(`user_version = ${migrations.length}`);
    })
    .immediate();
}

function userVersion(connection: Connection): number {
  return Number(connection.pragma('user_version', { simple: true }));
}

/** An error of SQLite or the file system as DATABASE_UNAVAILABLE, with what to do. */
export function unusable(path: string, cause: unknown): ProxyError {
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : '';
  const message = cause instanceof Error ? cause.message : String(cause);
  let what = `cannot be opened (${message}). Check the path and its permissions`;
  if (code.startsWith('SQLITE_BUSY') || code.startsWith('SQLITE_LOCKED')) {
    what = 'is locked by another program. Stop that program, or name another file';
  } else if (code.startsWith('SQLITE_READONLY') || code === 'EROFS' || code === 'EACCES') {
    what = 'cannot be written. Make the file and its directory writable, or name another file';
  } else if (code === 'SQLITE_NOTADB' || code.startsWith('SQLITE_CORRUPT')) {
    what =
      'is not a database or is damaged. Move it away to start with empty counters, or name another file';
  }
  return new ProxyError('DATABASE_UNAVAILABLE', `the database ${path} ${what} in storage.path.`, {
    where: 'storage.path',
    cause,
  });
}

/** Whether an error only says that another connection holds the lock. */
export function isBusy(error: unknown): boolean {
  return (
    error instanceof Database.SqliteError &&
    (error.code.startsWith('SQLITE_BUSY') || error.code.startsWith('SQLITE_LOCKED'))
  );
}
