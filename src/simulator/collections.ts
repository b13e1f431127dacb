import { badRequest } from './google-error.ts';
import { text } from './json.ts';
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
import { countTokens } from './tokenizer.ts';
import type { Upload } from './uploads.ts';

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
  ['cachedContents', 'cachedContents'],
]);

/** Verbs after a colon that answer with an operation; the others answer with nothing. */
const LONG_VERBS: ReadonlySet<string> = new Set(['importFile']);
/** How long a cache is kept when nothing is said of it. */
const CACHE_LIFE_S = 3600;

/** Everything that is created, listed, read, changed and deleted, and takes no quota. */
export class Collections {
  readonly #entries = new Map<string, Entry>();
  /** By the name of their operation. */
  readonly #responses = new Map<string, object>();
  #last = 0;

  /** By its full name. */
  has(name: string): boolean {
    return this.#entries.has(name);
  }

  /** What a file that was sent to a store of searches has become: a document, by an operation. */
  takeDocument(store: string, upload: Upload, wallMs: number): ResourceAnswer {
    const { displayName, display_name, customMetadata, mimeType } = upload.metadata;
    this.#last += 1;
    const id = `sim${String(this.#last).padStart(6, '0')}`;
    const now = new Date(wallMs).toISOString();
    const document = {
      name: `${store}/documents/${id}`,
      displayName: displayName ?? display_name ?? '',
      ...(customMetadata === undefined ? {} : { customMetadata }),
      mimeType: mimeType ?? upload.mime,
      sizeBytes: String(upload.bytes),
      state: 'STATE_ACTIVE',
      createTime: now,
      updateTime: now,
    };
    keep(this.#entries, document.name, document);
    const name = `${store}/upload/operations/${id}`;
    keep(this.#responses, name, { parent: store, documentName: document.name });
    return ok({ name });
  }

  /** Null for a path that is in none of the collections. */
  answer(request: ResourceRequest, segments: readonly string[]): ResourceAnswer | null {
    if (!LISTS.has(segments[0] ?? '')) return null;
    const [path = '', verb] = splitVerb(segments.join('/'));
    const parts = path.split('/');
    if (verb !== undefined) return this.#act(request, path, verb);
    const collection = parts.at(-1) ?? '';
    // An operation of a store is done as soon as anybody asks.
    if (parts.at(-2) === 'operations') {
      return ok({ name: path, done: true, response: this.#responses.get(path) ?? {} });
    }
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
    const asked = objectIn(body);
    const own = path === 'cachedContents' ? cacheOf(asked, wallMs) : asked;
    const entry = { ...own, name, createTime: now, updateTime: now };
    keep(this.#entries, name, entry);
    return entry;
  }

  #one({ method, body, target, wallMs }: ResourceRequest, name: string): ResourceAnswer {
    const entry = this.#entries.get(name);
    if (entry === undefined) return notFound();
    if (isRead(method)) return ok(entry);
    if (method === 'PATCH') {
      const updateTime = new Date(wallMs).toISOString();
      const asked = objectIn(body);
      const isCache = name.startsWith('cachedContents/');
      const own = isCache ? lifeOf(asked, wallMs) : asked;
      const changed = { ...entry, ...own, name, updateTime };
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

/** A cache tells how large it is, and not what is in it. */
function cacheOf(asked: Readonly<Record<string, unknown>>, wallMs: number): object {
  const { model, displayName } = asked;
  const usageMetadata = { totalTokenCount: countTokens(asked) };
  const shown = displayName === undefined ? { model } : { model, displayName };
  return {
    expireTime: expiry(wallMs, CACHE_LIFE_S),
    ...shown,
    ...lifeOf(asked, wallMs),
    usageMetadata,
  };
}

/** Until when it is to be kept, where that is asked for. */
function lifeOf({ ttl, expireTime }: Readonly<Record<string, unknown>>, wallMs: number): object {
  const seconds = /^(\d+(?:\.\d+)?)s$/.exec(text(ttl) ?? '')?.[1];
  if (seconds !== undefined) return { expireTime: expiry(wallMs, Number(seconds)) };
  return expireTime === undefined ? {} : { expireTime };
}

function expiry(wallMs: number, seconds: number): string {
  return new Date(wallMs + seconds * 1000).toISOString();
}

function splitVerb(path: string): readonly string[] {
  const at = path.lastIndexOf(':');
  return at === -1 ? [path] : [path.slice(0, at), path.slice(at + 1)];
}

function isRead(method: string): boolean {
  return method === 'GET' || method === 'HEAD';
}
