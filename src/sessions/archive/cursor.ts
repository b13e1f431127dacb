import { ProxyError } from '../../errors.ts';
import type { Catalogued } from './listing.ts';

/**
 * Where a page ends: the time of its last session and what orders sessions of the same time. A page
 * goes on after that place in the order, so that newer sessions do not shift it.
 */
export function cursorOf({ row, log }: Catalogued): string {
  return Buffer.from(JSON.stringify([row.updatedAtMs, log.beside.slice(-16)])).toString(
    'base64url',
  );
}

/**
 * Index of the first session after the cursor; 0 without one.
 *
 * @throws ProxyError BAD_REQUEST for what is no cursor.
 */
export function startAfter(logs: readonly Catalogued[], cursor: string | null): number {
  if (cursor === null) return 0;
  const [atMs, tie] = parseCursor(cursor);
  const index = logs.findIndex(
    ({ row, log }) =>
      row.updatedAtMs < atMs || (row.updatedAtMs === atMs && log.beside.slice(-16) > tie),
  );
  return index < 0 ? logs.length : index;
}

function parseCursor(cursor: string): readonly [number, string] {
  try {
    const parsed: unknown = JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8'));
    const parts: readonly unknown[] = Array.isArray(parsed) ? parsed : [];
    const [atMs, tie] = parts;
    if (typeof atMs === 'number' && typeof tie === 'string') return [atMs, tie];
  } catch {
    // Said below: what cannot be read is no cursor.
  }
  throw new ProxyError(
    'BAD_REQUEST',
    'cursor is none that a listing has given; leave it out to start from the newest session.',
    { where: 'cursor' },
  );
}
