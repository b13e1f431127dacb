import { basename, join } from 'node:path';
import { confined } from './place.ts';
import { isUnchanged, watchFile, type Watched } from './signature.ts';
import { readRegistry } from '../read-session.ts';
import { decodeText } from '../text.ts';

/** An entry has about 300 bytes; MassGen never removes one. */
const REGISTRY_BYTES_MAX = 4 * 1024 * 1024;

/** MassGen's registry of sessions, read anew when it has changed. */
export class Registry {
  readonly #home: string | null;
  #watched: readonly Watched[] = [];
  #ids: ReadonlyMap<string, string> = new Map();

  /** `home` is where `.massgen/sessions.json` is; null to do without. */
  constructor(home: string | null) {
    this.#home = home;
  }

  /** To be called before a listing, so that its logs cost no look at the registry each. */
  refresh(): void {
    if (this.#home === null || isUnchanged(this.#watched)) return;
    const top = join(this.#home, '.massgen');
    this.#watched = watchFile(top, 'sessions.json');
    const bytes = confined(top)?.read('sessions.json', REGISTRY_BYTES_MAX)?.bytes;
    this.#ids = bytes === undefined ? new Map() : readRegistry(decodeText(bytes).text);
  }

  /** The session id of a log directory; null when it is not registered. */
  idOf(directory: string): string | null {
    return this.#ids.get(basename(directory)) ?? null;
  }
}
