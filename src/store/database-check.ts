import { accessSync, constants, statfsSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import Database from 'better-sqlite3';
import { ProxyError } from '../errors.ts';
import { readMigrations, unusable } from './database.ts';

/** A database as it lies on the disk. */
export interface DatabaseCheck {
  /** False when there is no file yet; `serve` makes one. */
  readonly exists: boolean;
  readonly bytes: number;
  /** Schema of the file and of this headgate: smaller is migrated at the next start. */
  readonly schema: number;
  readonly schemaKnown: number;
  /** What SQLite found damaged, at most three lines; null where it was not looked for. */
  readonly damage: readonly string[] | null;
  /** Room on its disk, in bytes, for who is not root. */
  readonly freeBytes: number;
}

/** SQLite reads every page: about a second for a gigabyte. */
const CHECKED_BYTES_MAX = 1_073_741_824;
/** A daemon holds the lock for some ms at a time. */
const LOCK_MS_MAX = 2_000;

/**
 * Looks at the database without starting anything: takes no lease, migrates nothing, writes nothing,
 * but takes the write lock for a moment. Throws DATABASE_UNAVAILABLE, with what to do, when it is
 * newer, locked, read-only, or no database, or where none could be made.
 */
export function checkDatabase(path: string): DatabaseCheck {
  const schemaKnown = readMigrations().length;
  const bytes = sizeOf(path);
  if (bytes === null) {
    checkDirectory(path, dirname(path));
    const freeBytes = freeBytesAt(path);
    return { exists: false, bytes: 0, schema: 0, schemaKnown, damage: null, freeBytes };
  }
  let connection: Database.Database | undefined;
  try {
    accessSync(path, constants.R_OK | constants.W_OK);
    connection = new Database(path, { fileMustExist: true, timeout: LOCK_MS_MAX });
    const schema = Number(connection.pragma('user_version', { simple: true }));
    connection.exec('BEGIN IMMEDIATE; ROLLBACK');
    if (schema > schemaKnown) {
      throw new ProxyError(
        'DATABASE_UNAVAILABLE',
        `the database ${path} was written by a newer headgate (schema ${schema}, this one knows ` +
          `${schemaKnown}). Update headgate, or name another file in storage.path.`,
        { where: 'storage.path' },
      );
    }
    const damage = bytes > CHECKED_BYTES_MAX ? null : damageOf(connection);
    return { exists: true, bytes, schema, schemaKnown, damage, freeBytes: freeBytesAt(path) };
  } catch (error) {
    if (error instanceof ProxyError) throw error;
    throw unusable(path, error);
  } finally {
    connection?.close();
  }
}

function damageOf(connection: Database.Database): string[] {
  const lines = connection.pragma('quick_check(3)');
  if (!Array.isArray(lines)) return [];
  return lines
    .map((line: unknown) =>
      typeof line === 'object' && line !== null && 'quick_check' in line
        ? String(line.quick_check)
        : '',
    )
    .filter((line) => line !== 'ok' && line !== '');
}

function sizeOf(path: string): number | null {
  try {
    return statSync(path).size;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null;
    throw unusable(path, error);
  }
}

/** Of the disk that holds, or will hold, the file. */
function freeBytesAt(path: string): number {
  try {
    const { bavail, bsize } = statfsSync(path);
    return bavail * bsize;
  } catch (error) {
    if (dirname(path) === path) throw unusable(path, error);
    return freeBytesAt(dirname(path));
  }
}

/** The nearest directory that exists must take a new entry. */
function checkDirectory(path: string, directory: string): void {
  try {
    accessSync(directory, constants.W_OK | constants.X_OK);
  } catch (error) {
    const isMissing = error instanceof Error && 'code' in error && error.code === 'ENOENT';
    const above = dirname(directory);
    if (!isMissing || above === directory) throw unusable(path, error);
    checkDirectory(path, above);
  }
}
