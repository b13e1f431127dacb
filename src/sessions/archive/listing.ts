import type { SessionLog } from '../session.ts';
import { keyOf, type SessionIndexRow } from './session-index.ts';
import { STORE_FORMAT } from './stores.ts';

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
  // Gemini CLI leaves a chat without a question behind whenever it resumes one: newer, and empty.
  const chats = new Map<string, Catalogued>();
  for (const one of sorted.toReversed()) {
    const { format, sessionId, turns } = one.row;
    const known = sessionId === null ? undefined : chats.get(sessionId);
    if (format !== 'gemini-cli' || sessionId === null) continue;
    if (turns > 0 || known === undefined || known.row.turns === 0) chats.set(sessionId, one);
  }
  const logs = sorted.filter((one) => {
    const { format, sessionId } = one.row;
    let other: Catalogued | undefined;
    if (format === STORE_FORMAT) other = owners.get(one.row.directory);
    if (format === 'gemini-cli' && sessionId !== null) {
      const listed = chats.get(sessionId);
      if (listed !== one) other = listed;
    }
    if (other !== undefined) insteadOf.set(keyOf(one.row), other);
    return other === undefined;
  });
  return { logs, insteadOf };
}
