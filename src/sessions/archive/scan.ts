import { basename } from 'node:path';
import { confined, contentsOf, contentsOfRoot, hasTop, type Contents } from './place.ts';
import type { Pace } from './pace.ts';
import { besideOf, placesIn, type Place } from './roots.ts';
import { isUnchanged, watchDirectory, watchFile, type Watched } from './signature.ts';
import { readerFor } from '../readers/readers.ts';
import { keyOf } from './session-index.ts';

/** What a place was when it was last looked at, and what tells that it still is. */
export interface Look extends Contents {
  readonly watched: readonly Watched[];
}

/** A log on the disk, before it is known whether it has changed. */
export interface Found {
  readonly place: Place;
  readonly file: string | null;
  readonly format: string;
  readonly own: readonly Watched[];
  readonly key: string;
  readonly beside: string;
}

/** Paths of records that are kept. */
const BESIDES_MAX = 20_000;

/** Finds the logs in the roots, and looks only at places that have changed since the last time. */
export class LogScan {
  readonly #recordDirectory: () => string;
  readonly #pace: Pace;
  readonly #looks = new Map<string, Look>();
  readonly #besides = new Map<string, string>();

  constructor(recordDirectory: () => string, pace: Pace) {
    this.#recordDirectory = recordDirectory;
    this.#pace = pace;
  }

  /** Takes over what was known of a log before. */
  recall(key: string, format: string, watched: readonly Watched[]): void {
    this.#looks.set(key, { watched, format, files: [] });
  }

  /** Roots as `existingRoots` gives them. */
  async find(roots: readonly string[]): Promise<Found[]> {
    const found: Found[] = [];
    const seen = new Set<string>();
    for (const root of roots) {
      const top = { root, directory: root, name: basename(root) };
      const isLog = this.#look(top, seen, found);
      for (const place of isLog ? [] : placesIn(root)) {
        this.#look(place, seen, found);
        if (this.#pace.compared()) await this.#pace.rest();
      }
    }
    for (const directory of this.#looks.keys()) {
      if (!seen.has(directory)) this.#looks.delete(directory);
    }
    return found;
  }

  /** Whether the place is a log itself. A place that two roots lead to is of the first one. */
  #look(place: Place, seen: Set<string>, found: Found[]): boolean {
    if (seen.has(place.directory)) return false;
    seen.add(place.directory);
    const known = this.#looks.get(place.directory);
    const look = lookAt(place, known);
    if (look !== known) {
      this.#looks.set(place.directory, look);
      this.#pace.read();
    }
    const add = (file: string | null, format: string, own: readonly Watched[]): void => {
      const key = keyOf({ directory: place.directory, file });
      found.push({ place, file, format, own, key, beside: this.#besideOf(place.directory, file) });
    };
    if (look.format !== null) add(null, look.format, look.watched);
    for (const file of look.files) {
      const { format, watched } = this.#lookAtFile(place.directory, file, seen);
      if (format !== null) add(file, format, watched);
    }
    return look.format !== null;
  }

  #lookAtFile(directory: string, file: string, seen: Set<string>): Look {
    const key = keyOf({ directory, file });
    seen.add(key);
    const known = this.#looks.get(key);
    if (known !== undefined && isUnchanged(known.watched)) return known;
    const watched = watchFile(directory, file);
    const inside = confined(directory);
    const reader = inside === null ? null : readerFor(inside, file);
    // A log that was recognised once and is damaged now stays one, to be read with a warning.
    const look = { watched, format: reader?.format ?? known?.format ?? null, files: [] };
    this.#looks.set(key, look);
    return look;
  }

  /** Kept, because a hash of every path is a tenth of a listing. */
  #besideOf(directory: string, file: string | null): string {
    const top = this.#recordDirectory();
    const key = `${top}\n${keyOf({ directory, file })}`;
    const kept = this.#besides.get(key);
    if (kept !== undefined) return kept;
    if (this.#besides.size >= BESIDES_MAX) this.#besides.clear();
    const beside = besideOf(top, directory, file);
    this.#besides.set(key, beside);
    return beside;
  }
}

/** Looks at a place anew when it has changed. */
function lookAt({ root, directory }: Place, known: Look | undefined): Look {
  if (known !== undefined && isUnchanged(known.watched)) return known;
  if (directory !== root) return { watched: watchDirectory(directory), ...contentsOf(directory) };
  // Of a root full of logs, its own time tells of everything that is a file in it.
  const watched = hasTop(root) ? watchDirectory(root) : watchFile(root, '.');
  return { watched, ...contentsOfRoot(root) };
}

/** As users name it: the path relative to its root. */
export function nameOf({ place, file }: Found): string {
  if (file === null) return place.name;
  return place.directory === place.root ? file : `${place.name}/${file}`;
}
