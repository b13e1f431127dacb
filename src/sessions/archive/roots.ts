import { createHash } from 'node:crypto';
import { readdirSync, realpathSync } from 'node:fs';
import { join, resolve } from 'node:path';

/** A directory below a root, or the root itself, that may be a log or hold some. */
export interface Place {
  /** Absolute and resolved. */
  readonly root: string;
  readonly directory: string;
  /** As users name it. */
  readonly name: string;
}

/** Directories of one root that are looked at. Of more, the last by name, which are the newest. */
const PLACES_MAX = 20_000;

/** headgate's own turns of logs that are not its own, in its directory of records. */
const BESIDE = '.beside';

/** The roots that exist, resolved, each once, in the order given; the records come last. */
export function existingRoots(roots: readonly string[], recordDirectory: string): string[] {
  const found = [...roots, recordDirectory].flatMap((root) => resolved(root) ?? []);
  return [...new Set(found)];
}

/** Absolute and resolved; null for what is not there. */
export function resolved(path: string): string | null {
  try {
    return realpathSync(path);
  } catch {
    return null;
  }
}

/** The directories in a root. */
export function placesIn(root: string): readonly Place[] {
  return directoriesIn(root).map((name) => ({ root, directory: join(root, name), name }));
}

/** Where headgate keeps its own turns of a log, whether or not there are any. */
export function besideOf(recordDirectory: string, directory: string, file: string | null): string {
  const key = file === null ? directory : `${directory}#${file}`;
  const hash = createHash('sha256').update(key).digest('hex').slice(0, 16);
  return join(resolve(recordDirectory), BESIDE, hash);
}

/** Names of the records of turns beside logs that exist. */
export function besideNames(recordDirectory: string): ReadonlySet<string> {
  return new Set(directoriesIn(join(resolve(recordDirectory), BESIDE)));
}

/** Whether a directory is, or is in, the records beside logs, which are no sessions of their own. */
export function isBeside(recordDirectory: string, directory: string): boolean {
  const top = resolved(join(recordDirectory, BESIDE));
  return top !== null && (directory === top || directory.startsWith(`${top}/`));
}

function directoriesIn(path: string): readonly string[] {
  try {
    const entries = readdirSync(path, { withFileTypes: true });
    // A link to a directory in the same root would be listed twice, one out of it must not be.
    const names = entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
    return names
      .filter((name) => name !== BESIDE)
      .toSorted()
      .slice(-PLACES_MAX);
  } catch {
    return [];
  }
}
