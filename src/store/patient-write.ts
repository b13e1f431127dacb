import { isBusy, unusable, type Connection } from './database.ts';

/**
 * How long a write waits for another process, ms. Sessions are written in a thread of their own, where
 * waiting holds up nobody's calls.
 */
const PATIENCE_MS = 1_000;

/**
 * Runs one transaction and waits for the lock, in the calling thread. `durable`: it is on the disk
 * when this returns, even if the power fails; other commits may be lost then.
 *
 * @throws ProxyError DATABASE_UNAVAILABLE when the lock is not to be had; other errors of SQLite as
 * they are.
 */
export function writePatiently<T>(
  connection: Connection,
  run: () => T,
  { durable = false }: { readonly durable?: boolean } = {},
): T {
  const timeoutMs = Number(connection.pragma('busy_timeout', { simple: true }));
  const synchronous = Number(connection.pragma('synchronous', { simple: true }));
  connection.pragma(`busy_timeout = ${PATIENCE_MS}`);
  if (durable) connection.pragma('synchronous = FULL');
  try {
    return connection.transaction(run).immediate();
  } catch (error) {
    throw isBusy(error) ? unusable(connection.name, error) : error;
  } finally {
    connection.pragma(`busy_timeout = ${timeoutMs}`);
    if (durable) connection.pragma(`synchronous = ${synchronous}`);
  }
}
