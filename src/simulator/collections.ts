import { badRequest } from './google-error.ts';
import {
  failure,
  keep,
  notFound,
  objectIn,
  ok,
  pageOf,
  type ResourceAnswer,
  type ResourceRequest,
} from './resource-answer.ts';

/** A thing that was created, with its full name. */
interface Entry {
  readonly name: string;
  readonly [key: string]: unknown;
}

/** Which collections there are, and what their lists are called; they are kept, and mean nothing. */
const LISTS: ReadonlyMap<string, string> = new Map([
  ['tunedModels', 'tunedModels'],
  ['tuningJobs', 'tuningJobs'],
  ['permissions', 'permissions'],
  ['corpora', 'corpora'],
  ['documents', 'documents'],
  ['chunks', 'chunks'],
  ['fileSearchStores', 'fileSearchStores'],
  ['agents', 'agents'],
  ['environments', 'environments'],
  ['triggers', 'triggers'],
  ['executions', 'executions'],
  ['credentials', 'credentials'],
  ['voices', 'voices'],
  ['webhooks', 'webhooks'],
  ['decisions', 'decisions'],
  ['auth_tokens', 'authTokens'],
]);

/** Verbs after a colon that answer with an operation; the others answer with nothing. */
const LONG_VERBS: ReadonlySet<string> = new Set(['importFile']);

/** Everything that is created, listed, read, changed and deleted, and takes no quota. */
export class Collections {
  readonly #entries = new Map<string, Entry>();
  #last = 0;

  /** Null for a path that is in none of the collections. */
  answer(request: ResourceRequest, segments: readonly string[]): ResourceAnswer | null {
    if (!LISTS.has(segments[0] ?? '')) return null;
    const [path = '', verb] = splitVerb(segments.join('/'));
    const parts = path.split('/');
    if (verb !== undefined) return this.#act(request, path, verb);
    const collection = parts.at(-1) ?? '';
    // An operation of a store is done as soon as anybody asks.
    if (parts.at(-2) === 'operations') return ok({ name: path, done: true, response: {} });
    if (parts.length % 2 === 1) return this.#all(request, path, collection);
    return this.#one(request, path);
  }

  #all(request: ResourceRequest, path: string, collection: string): ResourceAnswer {
    const list = LISTS.get(collection);
    if (list === undefined) return notFound();
    const parent = path.split('/').slice(0, -1).join('/');
    if (parent !== '' && !this.#entries.has(parent)) return notFound();
    if (request.method === 'POST') return ok(this.#create(request, path));
    if (!isRead(request.method)) return notFound();
    const depth = path.split('/').length + 1;
    const own = this.#below(path).filter(({ name }) => name.split('/').length === depth);
    return pageOf(list, own, request.target.query);
  }

  #create({ body, wallMs }: ResourceRequest, path: string): Entry {
    this.#last += 1;
    const now = new Date(wallMs).toISOString();
    const name = `${path}/sim${String(this.#last).padStart(6, '0')}`;
    const entry = { ...objectIn(body), name, createTime: now, updateTime: now };
    keep(this.#entries, name, entry);
    return entry;
  }

  #one({ method, body, target, wallMs }: ResourceRequest, name: string): ResourceAnswer {
    const entry = this.#entries.get(name);
    if (entry === undefined) return notFound();
    if (isRead(method)) return ok(entry);
    if (method === 'PATCH') {
      const updateTime = new Date(wallMs).toISOString();
      const changed = { ...entry, ...objectIn(body), name, updateTime };
      this.#entries.set(name, changed);
      return ok(changed);
    }
    if (method !== 'DELETE') return notFound();
    const below = this.#below(name);
    if (below.length > 0 && target.query.get('force') !== 'true') {
      return failure(badRequest(`${name} is not empty; delete it with force=true.`));
    }
    for (const gone of [entry, ...below]) this.#entries.delete(gone.name);
    return ok({});
  }

  #below(name: string): readonly Entry[] {
    return [...this.#entries.values()].filter((entry) => entry.name.startsWith(`${name}/`));
  }

  #act({ method }: ResourceRequest, name: string, verb: string): ResourceAnswer {
    if (method !== 'POST' || !this.#entries.has(name)) return notFound();
    if (!LONG_VERBS.has(verb)) return ok({});
    this.#last += 1;
    return ok({ name: `${name}/operations/sim${this.#last}` });
  }
}

function splitVerb(path: string): readonly string[] {
  const at = path.lastIndexOf(':');
  return at === -1 ? [path] : [path.slice(0, at), path.slice(at + 1)];
}

function isRead(method: string): boolean {
  return method === 'GET' || method === 'HEAD';
}
