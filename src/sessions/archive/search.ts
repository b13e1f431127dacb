import { basename, dirname, join, relative, sep } from 'node:path';
import { ProxyError } from '../../errors.ts';
import { LogCatalogue, type CatalogueOptions } from './catalogue.ts';
import { newestChat } from './chats.ts';
import type { Catalogued, Listing } from './listing.ts';
import { confined, contentsOf, inventoryOf, logAround } from './place.ts';
import { besideOf, existingRoots, isBeside, placesIn, resolved } from './roots.ts';
import { nearestStore, ownerByContent, STORE_FORMAT, storeBeside } from './stores.ts';
import { resolveInside } from '../confined-directory.ts';
import { sessionIdOf } from '../read-session.ts';
import { readerFor } from '../readers/readers.ts';
import type { SessionLog } from '../session.ts';
import { keyOf } from './session-index.ts';

export interface FoundLog {
  readonly log: SessionLog;
  /** For people: "the newest of 12 sessions", "by its session id". */
  readonly foundBy: string;
}

/** What stands at a path. */
type Target =
  | {
      readonly kind: 'log';
      readonly directory: string;
      readonly file: string | null;
      readonly format: string;
      readonly isInner: boolean;
    }
  | { readonly kind: 'directory'; readonly directory: string };

/** Directories between a root and a log that is a file: project, `chats`. */
const FILE_DEPTH_MAX = 3;

/** Finds the log that is meant by a name or a path. */
export class LogSearch {
  readonly #options: CatalogueOptions;
  readonly #catalogue: LogCatalogue;
  readonly #listing: () => Promise<Listing>;

  constructor(options: CatalogueOptions, catalogue: LogCatalogue, listing: () => Promise<Listing>) {
    this.#options = options;
    this.#catalogue = catalogue;
    this.#listing = listing;
  }

  async find(requested: string): Promise<FoundLog> {
    const name = requested.replace(/\/+$/, '');
    if (name === 'latest') return this.#latest();
    const targets = this.#roots().flatMap((root) => {
      const target = this.#inRoot(root, name);
      return target === null ? [] : [{ root, target }];
    });
    const logs = targets.filter(({ target }) => target.kind === 'log');
    const [first, second] = logs;
    if (first?.target.kind === 'log') {
      const how = first.target.isInner ? 'by a path inside it' : 'by its name';
      const also =
        second === undefined ? '' : `, in ${first.root}; ${second.root} has one of this name too`;
      return this.#found(first.target, first.root, `${how}${also}`);
    }
    const known = await this.#byId(name);
    if (known !== null) return known;
    for (const { root, target } of targets) {
      const newest = await this.#newestIn(target.directory, root);
      if (newest !== null) return newest;
    }
    const [there] = targets;
    if (there !== undefined) throw unreadable(requested, there.target.directory);
    throw await this.#notFound(requested);
  }

  /** `path` is absolute. */
  async findPath(path: string): Promise<FoundLog> {
    const real = resolved(path);
    if (real === null) throw await this.#notFound(path);
    const isDirectory = confined(real) !== null;
    const around = logAround(isDirectory ? real : dirname(real), null);
    const root =
      this.#roots().find((one) => real === one || real.startsWith(`${one}${sep}`)) ?? null;
    if (!isDirectory) {
      const file = fileTarget(real);
      if (file !== null) return this.#found(file, root, 'by its path');
    }
    if (around !== null) {
      const { path: directory, format } = around;
      const isInner = directory !== real;
      const target = { kind: 'log', directory, file: null, format, isInner } as const;
      return this.#found(target, root, isInner ? 'by a path inside it' : 'by its path');
    }
    const newest = isDirectory ? await this.#newestIn(real, root) : null;
    if (newest !== null) return newest;
    throw unreadable(path, real);
  }

  async #latest(): Promise<FoundLog> {
    const { logs } = await this.#listing();
    // One without a turn cannot be continued: a tool was started and asked nothing.
    const newest = logs.find(({ row }) => row.turns > 0) ?? logs[0];
    if (newest === undefined) throw await this.#notFound('latest');
    return { log: newest.log, foundBy: newestOf(logs.length) };
  }

  #roots(): readonly string[] {
    return existingRoots(this.#options.roots(), this.#options.recordDirectory());
  }

  #inRoot(root: string, name: string): Target | null {
    const directory = resolveInside(root, name);
    if (directory === null) return this.#fileInRoot(root, name) ?? rootItself(root, name);
    if (isBeside(this.#options.recordDirectory(), directory)) return null;
    const around = logAround(directory, root);
    if (around === null) return { kind: 'directory', directory };
    const { path, format } = around;
    return { kind: 'log', directory: path, file: null, format, isInner: path !== directory };
  }

  #fileInRoot(root: string, name: string): Target | null {
    const segments = name.split('/');
    if (!/\.jsonl?$/.test(name) || segments.length > FILE_DEPTH_MAX) return null;
    for (let depth = 0; depth < segments.length; depth++) {
      const top = segments.slice(0, depth).join('/');
      const directory = depth === 0 ? root : resolveInside(root, top);
      if (directory === null || isBeside(this.#options.recordDirectory(), directory)) return null;
      const target = logFile(directory, segments.slice(depth).join('/'));
      if (target !== null) return target;
    }
    return null;
  }

  /** By session id, the name of a session store, or the file name of a chat. */
  async #byId(name: string): Promise<FoundLog | null> {
    const { logs, insteadOf } = await this.#listing();
    const roots = this.#roots();
    const order = ({ row }: Catalogued): number => roots.indexOf(row.root);
    const inOrder = logs.toSorted((a, b) => order(a) - order(b));
    const matches: readonly [string, (one: Catalogued) => boolean][] = [
      ['by its session id', ({ row }) => row.sessionId === name],
      ['by its session store', ({ log }) => log.store !== null && basename(log.store) === name],
      ['by its file name', ({ log }) => log.file !== null && basename(log.file) === name],
    ];
    for (const [foundBy, test] of matches) {
      const [first, second] = inOrder.filter(test);
      if (first === undefined) continue;
      const also = second === undefined ? '' : `, in ${first.row.root}; there are others with it`;
      return { log: first.log, foundBy: `${foundBy}${also}` };
    }
    for (const [key, log] of insteadOf) {
      if (basename(key) === name) return { log: log.log, foundBy: 'by its file name' };
    }
    return null;
  }

  /** The log at a target with its session store; of a store that belongs to a log, that log. */
  async #found(
    target: Extract<Target, { kind: 'log' }>,
    root: string | null,
    foundBy: string,
  ): Promise<FoundLog> {
    const { directory, format } = target;
    const file = target.file === null ? null : currentFile(directory, target.file, format);
    if (format === STORE_FORMAT) {
      const { insteadOf } = await this.#listing();
      const owner = insteadOf.get(directory)?.log ?? this.#ownerBeside(directory, root);
      if (owner !== null) return { log: owner, foundBy: 'by its session store' };
    }
    const log = this.#logAt(directory, file, format, root);
    if (format !== 'massgen') return { log, foundBy };
    const known = this.#catalogue.idOf(directory);
    const own = confined(directory);
    const id =
      known ?? (own === null ? null : sessionIdOf(own)) ?? this.#catalogue.registryId(directory);
    let store = root === null ? storeBeside(log, id) : null;
    store ??= id === null ? await this.#adopted(directory) : this.#storeInRoots(id, directory);
    return { log: { ...log, store }, foundBy };
  }

  /** Logs that do not name their store are only matched with one by a whole listing. */
  async #adopted(directory: string): Promise<string | null> {
    if (this.#catalogue.idOf(directory) === null) return null;
    const { logs } = await this.#listing();
    return logs.find(({ log }) => keyOf(log) === directory)?.log.store ?? null;
  }

  #storeInRoots(id: string, directory: string): string | null {
    const stores = this.#roots().flatMap((root) => {
      const path = /^[^/\\]+$/.test(id) ? resolveInside(root, id) : null;
      return path !== null && contentsOf(path).format === STORE_FORMAT ? [path] : [];
    });
    return nearestStore(directory, stores);
  }

  /** The log of a session store that lies where MassGen puts it, but in no root. */
  #ownerBeside(store: string, root: string | null): SessionLog | null {
    if (root !== null) return null;
    const id = basename(store);
    const parent = dirname(dirname(store));
    for (const base of [join(parent, 'massgen_logs'), join(parent, '.massgen', 'massgen_logs')]) {
      const logs = placesIn(base).flatMap(({ directory }) => {
        const format = contentsOf(directory).format;
        return format === 'massgen' ? [this.#logAt(directory, null, format, null)] : [];
      });
      const named = logs.findLast(({ directory }) => {
        const own = confined(directory);
        const told = own === null ? null : sessionIdOf(own);
        return (told ?? this.#catalogue.registryId(directory)) === id;
      });
      const owner = named ?? ownerByContent(store, logs);
      if (owner !== null) return { ...owner, store };
    }
    return null;
  }

  #logAt(directory: string, file: string | null, format: string, root: string | null): SessionLog {
    const path = file === null ? directory : join(directory, file);
    const name = root === null ? path : relative(root, path) || basename(root);
    const beside = besideOf(this.#options.recordDirectory(), directory, file);
    return { name, root, directory, file, format, store: null, beside };
  }

  /** The newest of the logs in a directory that is none itself; null without any. */
  async #newestIn(directory: string, root: string | null): Promise<FoundLog | null> {
    const isRoot = this.#roots().includes(directory);
    const catalogue = new LogCatalogue({
      ...this.#options,
      roots: () => [directory],
      index: { read: () => [], put: () => undefined, remove: () => undefined },
    });
    const { logs } = isRoot ? await this.#listing() : await catalogue.refresh();
    const inside = logs.filter(({ row }) => row.root === directory);
    const [newest] = inside;
    if (newest === undefined) return null;
    const foundBy = `${newestOf(inside.length)} in ${directory}`;
    if (isRoot) return { log: newest.log, foundBy };
    const { file, format } = newest.log;
    const target = {
      kind: 'log',
      directory: newest.log.directory,
      file,
      format,
      isInner: false,
    } as const;
    return this.#found(target, root, foundBy);
  }

  async #notFound(requested: string): Promise<ProxyError> {
    const { logs } = await this.#listing();
    const roots = [...this.#options.roots(), this.#options.recordDirectory()].map((root) => {
      const real = resolved(root);
      const inside = logs.filter(({ row }) => row.root === real);
      const newest = inside[0]?.log.name ?? null;
      return { root, exists: real !== null, sessions: inside.length, newest };
    });
    const what =
      requested === 'latest'
        ? 'There is no session in any of the session roots.'
        : `There is no session ${quoted(requested)} in the session roots: no directory, no path and no session id of this name.`;
    const advice =
      logs.length === 0
        ? 'Add the directory that holds your sessions to sessions.roots, or start headgate with --sessions DIR.'
        : 'GET /sessions and `headgate sessions list` show the names there are; a directory elsewhere is added with sessions.roots or --sessions DIR.';
    return new ProxyError('NOT_FOUND', `${what} ${advice}`, {
      where: 'logDir',
      details: { roots },
    });
  }
}

function unreadable(requested: string, directory: string): ProxyError {
  return new ProxyError(
    'SESSION_UNREADABLE',
    `${quoted(requested)} is there but is no session log: ${inventoryOf(directory)}. A MassGen log ` +
      'has turn_N directories, final/ or coordination_events.json; a session store has ' +
      'turn_N/metadata.json; Gemini CLI keeps chats/session-*.json. Name such a directory.',
    { where: 'logDir' },
  );
}

function newestOf(count: number): string {
  return count === 1 ? 'the only session' : `the newest of ${count} sessions`;
}

/** A name that fits in a message. */
function quoted(name: string): string {
  return JSON.stringify(name.length > 200 ? `${name.slice(0, 200)}…` : name);
}

function rootItself(root: string, name: string): Target | null {
  if (name !== basename(root)) return null;
  const around = logAround(root, root);
  if (around === null) return null;
  return { kind: 'log', directory: root, file: null, format: around.format, isInner: false };
}

function fileTarget(path: string): Extract<Target, { kind: 'log' }> | null {
  let directory = dirname(path);
  for (let depth = 1; depth < FILE_DEPTH_MAX; depth++) {
    const target = logFile(directory, relative(directory, path));
    if (target !== null) return target;
    directory = dirname(directory);
  }
  return null;
}

function logFile(directory: string, file: string): Extract<Target, { kind: 'log' }> | null {
  const inside = contentsOf(directory).files.includes(file) ? confined(directory) : null;
  const format = inside === null ? null : readerFor(inside, file)?.format;
  return format ? { kind: 'log', directory, file, format, isInner: false } : null;
}

/** Of a chat that was continued, the file that holds all of it. */
function currentFile(directory: string, file: string, format: string): string {
  const project = format === 'gemini-cli' ? confined(directory) : null;
  return project === null ? file : newestChat(project, file);
}
