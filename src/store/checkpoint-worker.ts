import { workerData } from 'node:worker_threads';
import Database from 'better-sqlite3';

/**
 * Moves the write-ahead log into the database file, off the main thread: a PASSIVE checkpoint never
 * makes a writer wait, but it reads and writes pages and syncs the file.
 */
const CHECKPOINT_INTERVAL_MS = 2_000;

if (typeof workerData === 'string') {
  const connection = new Database(workerData, { timeout: 1_000 });
  setInterval(() => {
    connection.pragma('wal_checkpoint(PASSIVE)');
  }, CHECKPOINT_INTERVAL_MS);
}
