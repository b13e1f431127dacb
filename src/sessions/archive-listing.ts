import type { SessionLog } from './session.ts';
import { keyOf, type SessionIndexRow } from './session-index.ts';
import { STORE_FORMAT } from './archive-stores.ts';

/** One log of the listing. */
export interface Catalogued {
  readonly log: SessionLog;
  readonly row: SessionIndexRow;
}

export interface Listing {
  /** Newest first. */
  readonly logs: readonly Catalogued[];
  /** For each session store and each older twin that is not listed itself, the log that is. */
  readonly insteadOf: ReadonlyMap<string, Catalogued>;
}

export function listingOf(all: readonly Catalogued[]): Listing {
  const sorted = all.toSorted(
    (a, b) => b.row.updatedAtMs - a.row.updatedAtMs || (a.log.beside < b.log.beside ? -1 : 1),
  );
  const insteadOf = new Map<string, Catalogued>();
  const owners = new Map(sorted.flatMap((one) => (one.log.store ? [[one.log.store, one]] : [])));
  const chats = new Map<string, Catalogued>();
  const logs = sorted.filter((one) => {
    const { format, sessionId } = one.row;
    let other: Catalogued | undefined;
    if (format === STORE_FORMAT) other = owners.get(one.row.directory);
    if (format === 'gemini-cli' && sessionId !== null) {
      other = chats.get(sessionId);
      if (other === undefined) chats.set(sessionId, one);
    }
    if (other !== undefined) insteadOf.set(keyOf(one.row), other);
    return other === undefined;
  });
  return { logs, insteadOf };
}
