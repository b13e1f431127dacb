import { resolve } from 'node:path';
import { ProxyError } from '../../errors.ts';
import { LogCatalogue, type CatalogueOptions } from './catalogue.ts';
import type { Listing } from './listing.ts';
import { cursorOf, startAfter } from './cursor.ts';
import { LogSearch, type FoundLog } from './search.ts';
import type { SessionSummary } from '../contracts.ts';
import { readSession } from '../read-session.ts';
import type { Session, SessionLog } from '../session.ts';

export type ArchiveOptions = CatalogueOptions;
export type { FoundLog } from './search.ts';

/** Sessions of one page, and the most that is asked for at once. */
const LIMIT_MAX = 1_000;

/**
 * Past conversations on the disk: what there is, and which one is meant.
 *
 *   roots ─▶ places ─▶ changed? ─▶ read ─▶ index      (list, `latest`, session ids)
 *   name  ─▶ path below a root, or id, or chat file ─▶ log with its session store
 */
export class Archive {
  readonly #catalogue: LogCatalogue;
  readonly #search: LogSearch;
  readonly #yieldNow: () => Promise<void>;
  #running: Promise<Listing> | null = null;
  #waiting: Promise<Listing> | null = null;

  constructor(options: ArchiveOptions) {
    this.#catalogue = new LogCatalogue(options);
    this.#search = new LogSearch(options, this.#catalogue, () => this.#refresh());
    this.#yieldNow = options.yieldNow ?? (() => new Promise((go) => setImmediate(go)));
  }

  /**
   * Sessions by the time of their last turn, newest first. `limit` 1 to 1,000.
   *
   * @throws ProxyError BAD_REQUEST for a cursor that no listing has given.
   */
  async list({
    limit,
    cursor,
  }: {
    limit: number;
    cursor: string | null;
  }): Promise<{ sessions: SessionSummary[]; nextCursor: string | null }> {
    const { logs } = await this.#refresh();
    const from = startAfter(logs, cursor);
    const page = logs.slice(from, from + Math.min(Math.max(1, Math.trunc(limit)), LIMIT_MAX));
    const sessions: SessionSummary[] = [];
    for (const one of page) {
      const { row, log } = one;
      const held = this.#catalogue.heldQuestion(one);
      if (held === undefined) await this.#yieldNow();
      sessions.push({
        log,
        sessionId: row.sessionId,
        turns: row.turns,
        agents: row.agents,
        models: row.models,
        firstQuestion: held === undefined ? this.#catalogue.readQuestion(one) : held,
        updatedAtMs: row.updatedAtMs,
        warnings: row.warnings,
      });
    }
    const last = page.at(-1);
    const isMore = from + page.length < logs.length;
    return { sessions, nextCursor: isMore && last !== undefined ? cursorOf(last) : null };
  }

  /**
   * The log that a name means: `latest`, a directory name or a path below a root, also one that ends
   * inside the log, a session id, or the file name of a Gemini CLI chat. Nothing outside the roots is
   * ever opened, and what is outside looks like what is not there.
   *
   * @throws ProxyError NOT_FOUND with the roots and what is in them, SESSION_UNREADABLE when there is
   * a directory of that name that is no session log.
   */
  find(requested: string): Promise<FoundLog> {
    return this.#search.find(requested);
  }

  /**
   * The log at a path anywhere: a directory, one inside a log, one full of logs (its newest), or the
   * file of a Gemini CLI chat. For the command line, which may read what its user may.
   *
   * @throws ProxyError NOT_FOUND, SESSION_UNREADABLE.
   */
  findPath(path: string): Promise<FoundLog> {
    return this.#search.findPath(resolve(path));
  }

  /**
   * A path, relative ones from `cwd`, or else a name as `find` takes it.
   *
   * @throws ProxyError NOT_FOUND, SESSION_UNREADABLE.
   */
  async findAnywhere(requested: string, cwd: string): Promise<FoundLog> {
    if (requested === 'latest') return this.find(requested);
    try {
      return await this.findPath(resolve(cwd, requested));
    } catch (error) {
      if (!(error instanceof ProxyError) || resolve(requested) === requested) throw error;
      try {
        return await this.find(requested);
      } catch (other) {
        // There is something at the path: what is wrong with it is the better answer.
        throw error.reason === 'SESSION_UNREADABLE' ? error : other;
      }
    }
  }

  /**
   * Everything that is known of a session.
   *
   * @throws ProxyError NOT_FOUND or SESSION_UNREADABLE when the log has vanished meanwhile.
   */
  read(log: SessionLog): Session {
    const session = readSession(log);
    const sessionId = session.sessionId ?? this.#catalogue.registryId(log.directory);
    return sessionId === session.sessionId ? session : { ...session, sessionId };
  }

  /**
   * A listing that began after this call: what was on the disk before is in it. Calls that come while
   * one is under way share the next one.
   */
  #refresh(): Promise<Listing> {
    if (this.#running === null) return this.#start();
    this.#waiting ??= this.#running.then(
      () => this.#start(),
      () => this.#start(),
    );
    return this.#waiting;
  }

  #start(): Promise<Listing> {
    this.#waiting = null;
    const run = this.#catalogue.refresh().finally(() => {
      if (this.#waiting === null) this.#running = null;
    });
    this.#running = run;
    return run;
  }
}
