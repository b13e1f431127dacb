import { createHash } from 'node:crypto';
import { basename } from 'node:path';
import {
  besideIsUnchanged,
  entryOf,
  firstQuestionOf,
  readEntry,
  versionOf,
  type Entry,
} from './entry.ts';
import { listingOf, type Catalogued, type Listing } from './listing.ts';
import { Pace } from './pace.ts';
import { confined } from './place.ts';
import { Registry } from './registry.ts';
import { besideNames, existingRoots, resolved } from './roots.ts';
import { LogScan, nameOf, type Found } from './scan.ts';
import { isUnchanged, type Watched } from './signature.ts';
import { nearestStore, ownerByContent, STORE_FORMAT } from './stores.ts';
import { sessionIdOf } from '../read-session.ts';
import type { SessionLog } from '../session.ts';
import { keyOf, type SessionIndex, type SessionIndexRow } from './session-index.ts';

/** Rows that are kept back to be written in one transaction. */
const ROWS_BETWEEN_WRITES = 50;
/** First questions that are held in memory, 2 MB at most. */
const QUESTIONS_MAX = 10_000;

export interface CatalogueOptions {
  /** Directories to look in; they may be absent. In order: the first one that has a name wins. */
  readonly roots: () => readonly string[];
  /** headgate's own records, one more root. */
  readonly recordDirectory: () => string;
  readonly index: SessionIndex;
  /** Where `.massgen/sessions.json` is; null to do without. */
  readonly home: string | null;
  /** Lets other work go on. Default setImmediate. */
  readonly yieldNow?: () => Promise<void>;
}

/** All logs in the roots, as far as they have changed since the last time read anew. */
export class LogCatalogue {
  readonly #options: CatalogueOptions;
  readonly #known = new Map<string, Entry>();
  readonly #scan: LogScan;
  readonly #pace: Pace;
  readonly #registry: Registry;
  readonly #questions = new Map<string, { signature: string; question: string | null }>();
  readonly #unowned = new Map<string, string>();
  #isLoaded = false;
  #changed: SessionIndexRow[] = [];

  constructor(options: CatalogueOptions) {
    this.#options = options;
    this.#pace = new Pace(options.yieldNow);
    this.#scan = new LogScan(options.recordDirectory, this.#pace);
    this.#registry = new Registry(options.home);
  }

  async refresh(): Promise<Listing> {
    const { roots, recordDirectory } = this.#options;
    this.#load();
    this.#registry.refresh();
    const existing = existingRoots(roots(), recordDirectory());
    const found = await this.#scan.find(existing);
    const besides = besideNames(recordDirectory());
    const stores = new Map<string, Entry[]>();
    for (const one of found.filter(({ format }) => format === STORE_FORMAT)) {
      const entry = this.#entry(one, besides, null);
      if (entry === null) continue;
      const id = basename(entry.row.directory);
      stores.set(id, [...(stores.get(id) ?? []), entry]);
      if (this.#pace.compared()) await this.#pace.rest();
    }
    const logs = found.filter(({ format }) => format !== STORE_FORMAT);
    for (const one of logs) {
      this.#entry(one, besides, stores);
      if (this.#pace.compared()) await this.#pace.rest();
    }
    await this.#adopt(logs, stores);
    this.#forget(found, existing);
    this.#write();
    return listingOf(found.flatMap((one) => this.#catalogued(one) ?? []));
  }

  /** The first question of a log, null where it has none; undefined when it has to be read. */
  heldQuestion({ row }: Catalogued): string | null | undefined {
    const held = this.#questions.get(keyOf(row));
    return held?.signature === row.signature ? held.question : undefined;
  }

  readQuestion({ log, row }: Catalogued): string | null {
    const entry = this.#known.get(keyOf(row));
    if (entry === undefined) return null;
    const store = entry.store === null ? null : (this.#known.get(entry.store) ?? null);
    this.#read(log, entry.own, row.root, store, row.sessionId);
    this.#write();
    return this.#questions.get(keyOf(row))?.question ?? null;
  }

  /** The session id of an unchanged log; undefined when it has to be read for it. */
  idOf(directory: string): string | null | undefined {
    const entry = this.#known.get(directory);
    if (entry === undefined || !isUnchanged(entry.own)) return undefined;
    return entry.row.sessionId ?? this.#registry.idOf(directory);
  }

  /** The id that MassGen's registry tells for a log directory. */
  registryId(directory: string): string | null {
    this.#registry.refresh();
    return this.#registry.idOf(directory);
  }

  #load(): void {
    if (this.#isLoaded) return;
    this.#isLoaded = true;
    for (const row of this.#options.index.read(null)) {
      const entry = entryOf(row);
      if (entry === null) continue;
      this.#known.set(keyOf(row), entry);
      this.#scan.recall(keyOf(row), row.format, entry.own);
    }
  }

  /** The entry of a log: the kept one while nothing has changed. `stores` is null for a store. */
  #entry(
    found: Found,
    besides: ReadonlySet<string>,
    stores: ReadonlyMap<string, readonly Entry[]> | null,
  ): Entry | null {
    const { place, own } = found;
    const kept = this.#known.get(found.key);
    const isSame =
      kept !== undefined &&
      kept.own === own &&
      besideIsUnchanged(kept, besides.has(basename(found.beside)));
    const registered = stores === null ? null : this.#registry.idOf(place.directory);
    const storeOf = (id: string | null): Entry | null =>
      id === null || stores === null ? null : nearest(place.directory, stores.get(id) ?? []);
    if (isSame) {
      const store = storeOf(kept.row.sessionId ?? registered);
      const version = store === null ? null : versionOf(store);
      if (kept.store === (store?.row.directory ?? null) && kept.storeVersion === version) {
        return this.#moved(kept, found);
      }
    }
    const directory = found.format === 'massgen' ? confined(place.directory) : null;
    const id = directory === null ? registered : (sessionIdOf(directory) ?? registered);
    const store = storeOf(id);
    return this.#read(logOf(found, store), own, place.root, store, id);
  }

  #read(
    log: SessionLog,
    own: readonly Watched[],
    root: string,
    store: Entry | null,
    sessionId: string | null = null,
  ): Entry | null {
    this.#pace.read();
    const read = readEntry(log, own, { root, sessionId, store });
    if (read === null) {
      this.#known.delete(keyOf(log));
      return null;
    }
    const { entry, session } = read;
    this.#known.set(keyOf(entry.row), entry);
    this.#changed.push(entry.row);
    if (this.#changed.length >= ROWS_BETWEEN_WRITES) this.#write();
    this.#keepQuestion(entry.row, firstQuestionOf(session));
    return entry;
  }

  #keepQuestion(row: SessionIndexRow, question: string | null): void {
    const oldest = this.#questions.keys().next().value;
    if (this.#questions.size >= QUESTIONS_MAX && oldest !== undefined) {
      this.#questions.delete(oldest);
    }
    this.#questions.set(keyOf(row), { signature: row.signature, question });
  }

  /** The same log may be reached through another root than last time. */
  #moved(entry: Entry, found: Found): Entry {
    const { root } = found.place;
    const name = nameOf(found);
    if (entry.row.root === root && entry.row.name === name) return entry;
    const moved = { ...entry, row: { ...entry.row, root, name } };
    this.#known.set(found.key, moved);
    this.#changed.push(moved.row);
    return moved;
  }

  /** Up to 0.1.0 a log does not name its session store: there they are matched by their questions. */
  async #adopt(
    logs: readonly Found[],
    stores: ReadonlyMap<string, readonly Entry[]>,
  ): Promise<void> {
    const owned = new Set(logs.map(({ key }) => this.#known.get(key)?.store));
    const orphans = [...stores.values()].flat().filter(({ row }) => !owned.has(row.directory));
    if (orphans.length === 0) return;
    const nameless = logs.filter(({ key }) => {
      const row = this.#known.get(key)?.row;
      return row?.format === 'massgen' && row.sessionId === null;
    });
    const hash = createHash('sha256');
    for (const { key } of nameless) hash.update(this.#known.get(key)?.row.signature ?? '');
    const circumstances = hash.digest('hex');
    for (const store of orphans) {
      const { directory, signature } = store.row;
      const asked = `${signature}${circumstances}`;
      if (this.#unowned.get(directory) === asked) continue;
      const candidates = nameless.map((found) => logOf(found, null));
      const owner = ownerByContent(directory, candidates);
      const found = nameless.find((one) => one.place.directory === owner?.directory);
      if (found === undefined) {
        this.#unowned.set(directory, asked);
      } else {
        const id = basename(directory);
        this.#read(logOf(found, store), found.own, found.place.root, store, id);
      }
      await this.#pace.rest();
    }
  }

  /** Removes what has vanished; rows of roots that are not ours belong to other processes. */
  #forget(found: readonly Found[], roots: readonly string[]): void {
    const here = new Set(found.map(({ key }) => key));
    const ours = new Map(roots.map((root) => [root, true]));
    const gone: SessionIndexRow[] = [];
    for (const [key, { row }] of this.#known) {
      if (here.has(key)) continue;
      if (!ours.has(row.root)) ours.set(row.root, resolved(row.root) === null);
      if (ours.get(row.root) === true) gone.push(row);
    }
    for (const row of gone) {
      this.#known.delete(keyOf(row));
      this.#questions.delete(keyOf(row));
      this.#unowned.delete(row.directory);
    }
    this.#options.index.remove(gone);
  }

  #write(): void {
    const rows = this.#changed;
    this.#changed = [];
    if (rows.length > 0) this.#options.index.put(rows);
  }

  #catalogued(found: Found): Catalogued | null {
    const entry = this.#known.get(found.key);
    if (entry === undefined) return null;
    const sessionId = entry.row.sessionId ?? this.#registry.idOf(found.place.directory);
    const log = { ...logOf(found, null), format: entry.row.format, store: entry.store };
    return { log, row: { ...entry.row, sessionId } };
  }
}

function nearest(directory: string, stores: readonly Entry[]): Entry | null {
  const path = nearestStore(
    directory,
    stores.map(({ row }) => row.directory),
  );
  return stores.find(({ row }) => row.directory === path) ?? null;
}

function logOf(found: Found, store: Entry | null): SessionLog {
  const { place, file, format, beside } = found;
  const { root, directory } = place;
  const name = nameOf(found);
  return { name, root, directory, file, format, store: store?.row.directory ?? null, beside };
}
