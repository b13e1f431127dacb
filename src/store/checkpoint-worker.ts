import { parentPort, workerData } from 'node:worker_threads';
import Database from 'better-sqlite3';

/**
 * Moves the write-ahead log into the database file whenever it is told to, off the main thread: a
 * PASSIVE checkpoint never makes a writer wait, but it reads and writes pages and syncs the file.
 */
if (typeof workerData === 'string') {
  const connection = new Database(workerData, { timeout: 1_000 });
  parentPort?.on('message', () => {
    connection.pragma('wal_checkpoint(PASSIVE)');
  });
}
