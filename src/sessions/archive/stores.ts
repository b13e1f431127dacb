import { basename, dirname, join } from 'node:path';
import { timeInName } from './entry.ts';
import { contentsOf } from './place.ts';
import { placesIn } from './roots.ts';
import { resolveInside } from '../confined-directory.ts';
import { readSession } from '../read-session.ts';
import type { SessionLog } from '../session.ts';

/** The format of MassGen's session stores, which belong to a log where one has their id. */
export const STORE_FORMAT = 'massgen-session-store';

/** A log is made when MassGen starts, its store at the first question, up to a day later. */
const DELAY_MS_MAX = 24 * 3_600_000;
/** Logs or stores that are read to find the other half of one. */
const CANDIDATES_MAX = 20;

/** The store whose path has the most in common with the log's; null of none. */
export function nearestStore(directory: string, stores: readonly string[]): string | null {
  const shared = (store: string): number => {
    let common = directory;
    while (!store.startsWith(join(common, '/')) && common !== dirname(common)) {
      common = dirname(common);
    }
    return common.length;
  };
  return stores.reduce<string | null>(
    (best, store) => (best === null || shared(store) > shared(best) ? store : best),
    null,
  );
}

/**
 * The session store of a log where MassGen puts it: in its working directory, which is three levels
 * up, or two up to 0.0.24. Null where there is none.
 */
export function storeBeside(log: SessionLog, id: string | null): string | null {
  const up = dirname(dirname(log.directory));
  const places = [dirname(up), up].flatMap((working) => [
    join(working, '.massgen', 'sessions'),
    join(working, 'sessions'),
    join(working, '.massgen', 'memory_test_sessions'),
  ]);
  for (const place of places) {
    const found =
      id === null
        ? placesIn(place)
            .slice(-CANDIDATES_MAX)
            .find(
              ({ directory }) => isStore(directory) && ownerByContent(directory, [log]) !== null,
            )?.directory
        : /^[^/\\]+$/.test(id)
          ? resolveInside(place, id)
          : null;
    if (found && isStore(found)) return found;
  }
  return null;
}

/**
 * The log that a session store belongs to though it does not name it: made shortly before the store,
 * and every question of the store was asked in it. Null when none fits, or more than one.
 */
export function ownerByContent(store: string, logs: readonly SessionLog[]): SessionLog | null {
  const madeAtMs = timeInName(store);
  if (madeAtMs === null) return null;
  const candidates = logs.filter(({ directory }) => {
    const delayMs = madeAtMs - (timeInName(directory) ?? Infinity);
    return delayMs >= 0 && delayMs <= DELAY_MS_MAX;
  });
  if (candidates.length === 0) return null;
  const asked = questionsOf({
    name: basename(store),
    root: null,
    directory: store,
    file: null,
    format: STORE_FORMAT,
    store: null,
    beside: '',
  });
  const owners = candidates.slice(-CANDIDATES_MAX).filter((log) => {
    const known = questionsOf(log);
    return asked.size > 0 && [...asked].every((question) => known.has(question));
  });
  return owners.length === 1 ? (owners[0] ?? null) : null;
}

function isStore(directory: string): boolean {
  return contentsOf(directory).format === STORE_FORMAT;
}

function questionsOf(log: SessionLog): ReadonlySet<string> {
  try {
    const { turns } = readSession(log);
    return new Set(turns.flatMap((turn) => turn.question?.trim() ?? []));
  } catch {
    // Gone meanwhile: what cannot be read is no owner.
    return new Set();
  }
}
