import { Collections } from './collections.ts';
import { type FileContext, Files, placeOf } from './files.ts';
import { modelNotFound } from './google-error.ts';
import { Interactions } from './interactions.ts';
import { legacyAnswer } from './legacy-answer.ts';
import { Operations } from './operations.ts';
import {
  failure,
  notFound,
  objectIn,
  ok,
  pageOf,
  type ResourceAnswer,
  type ResourceRequest,
} from './resource-answer.ts';
import type { Target } from './route.ts';
import { matches, rowOf, type Scenario } from './scenario.ts';
import { type Upload, Uploads } from './uploads.ts';

/** What has no quota: models, files, batches, stores, what was begun before, and all the rest. */
export class Resources {
  readonly #files = new Files();
  readonly #collections = new Collections();
  readonly interactions = new Interactions();
  readonly operations = new Operations();
  readonly uploads = new Uploads();
  #last = 0;

  answer(request: ResourceRequest, scenario: Scenario, ownUrl: string): ResourceAnswer {
    const { method, target } = request;
    const path = target.path.replace(/^\/download\//, '/');
    const [first = '', ...segments] = path.split('/').slice(1);
    if (first === 'upload') return this.#upload(request, scenario, ownUrl);
    const [kind, id, ...below] = segments;
    if (kind === 'openai') return openaiAnswer(request, scenario, segments.slice(1));
    if (kind === 'models') return this.#model(request, scenario, ownUrl);
    if (kind === 'batches' && below.length === 0) return this.operations.batch(request, id);
    if (kind === 'interactions') return this.interactions.answer(request, segments.slice(1));
    if (kind === 'files:register' && method === 'POST') {
      return this.#files.register(request, this.#fileContext(request, ownUrl));
    }
    if (kind === 'files') {
      const output = id === undefined ? null : this.operations.output(id.replace(/:download$/, ''));
      if (output !== null) return redirected(target, scenario, ownUrl) ?? output;
      return this.#files.answer(request, id);
    }
    if (kind === 'environments' && below[0] === 'files' && isRead(method)) {
      return this.#files.inEnvironment(segments.join('/'));
    }
    if (kind === 'operations' && isRead(method)) {
      return ok({ name: segments.join('/'), done: true, response: {} });
    }
    return this.#collections.answer(request, segments) ?? notFound();
  }

  /** Models themselves, what they have under way, and their verbs that have no quota of a minute. */
  #model(request: ResourceRequest, scenario: Scenario, ownUrl: string): ResourceAnswer {
    const { method, target, wallMs } = request;
    const [version = '', , id, kind, operation, ...more] = target.path.split('/').slice(1);
    if (method === 'POST' && id !== undefined && kind === undefined) {
      const [model = '', verb = ''] = id.split(':');
      const isBatch = verb === 'batchGenerateContent' || verb === 'asyncBatchEmbedContent';
      if (isBatch) return this.operations.beginBatch(request, model);
      return legacyAnswer(request, verb) ?? notFound();
    }
    if (!isRead(method)) return notFound();
    if (kind === undefined) return modelAnswer(scenario, id, target.query, version);
    if (kind !== 'operations' || operation === undefined || more.length > 0) return notFound();
    return this.operations.video(`models/${id}/operations/${operation}`, wallMs, ownUrl);
  }

  #upload(request: ResourceRequest, scenario: Scenario, ownUrl: string): ResourceAnswer {
    const { target, intake = null } = request;
    const place = placeOf(target.path);
    const [kind, id = ''] = place.split(/[/:]/);
    const isThere = kind === 'files' || this.#collections.has(`${kind}/${id}`);
    if (intake === null || !isThere) return notFound();
    return this.uploads.answer(request, intake, {
      ownUrl,
      granularity: scenario.upload_granularity,
      nextId: () => this.#nextId(),
      complete: (upload) => this.#complete(upload, this.#fileContext(request, ownUrl)),
    });
  }

  #complete(upload: Upload, context: FileContext): ResourceAnswer {
    const place = placeOf(upload.path);
    if (place === 'files') return this.#files.uploaded(upload, context);
    if (/^environments\/[^/]+\/files\/./.test(place)) return this.#files.placed(upload, context);
    const store = /^(fileSearchStores\/[^/]+):uploadToFileSearchStore$/.exec(place)?.[1];
    return store === undefined
      ? notFound()
      : this.#collections.takeDocument(store, upload, context.wallMs);
  }

  #fileContext({ wallMs }: ResourceRequest, ownUrl: string): FileContext {
    return { ownUrl, wallMs, nextId: () => this.#nextId() };
  }

  #nextId(): string {
    this.#last += 1;
    return `sim${String(this.#last).padStart(9, '0')}`;
  }
}

/** Whether a download was sent on to this address, which needs no key beside it. */
export function hasToken({ path, query }: Target): boolean {
  return path.startsWith('/download/') && query.has('token');
}

/**
 * Where a download lies instead, as the API may send one on; null where it lies here. What is asked
 * for with a token has been sent on once.
 */
function redirected(
  target: Target,
  { downloads }: Scenario,
  ownUrl: string,
): ResourceAnswer | null {
  if (downloads === 'direct' || hasToken(target)) return null;
  const own = new URL(ownUrl);
  const other = own.hostname === 'localhost' ? '127.0.0.1' : 'localhost';
  const origin = downloads === 'redirect' ? ownUrl : `http://${other}:${own.port}`;
  const location = `${origin}/download${target.path.replace(/^\/download/, '')}?alt=media&token=sim`;
  return {
    status: 302,
    contentType: 'text/html; charset=UTF-8',
    headers: { location },
    pieces: [],
  };
}

function modelAnswer(
  scenario: Scenario,
  id: string | undefined,
  query: URLSearchParams,
  version: string,
): ResourceAnswer {
  if (id !== undefined) {
    const isUnknown = scenario.unknown_models.some((pattern) => matches(pattern, id));
    if (!isUnknown) return ok(modelEntry(scenario, id));
    return failure(modelNotFound(id, version, 'getModel'));
  }
  const entries = modelNames(scenario).map((name) => modelEntry(scenario, name));
  return pageOf('models', entries, query);
}

function modelEntry(scenario: Scenario, id: string): object {
  return {
    name: `models/${id}`,
    version: '001',
    displayName: id,
    inputTokenLimit: rowOf(scenario, id).max_input_tokens,
    outputTokenLimit: 65_536,
    supportedGenerationMethods: id.includes('embedding')
      ? ['embedContent', 'countTokens']
      : ['generateContent', 'countTokens', 'createCachedContent', 'batchGenerateContent'],
  };
}

/** Models, and what OpenAI's SDKs keep beside them; its errors are arrays. */
function openaiAnswer(
  { method, body, wallMs }: ResourceRequest,
  scenario: Scenario,
  [kind, ...rest]: readonly string[],
): ResourceAnswer {
  const id = rest.join('/').replace(/^models\//, '');
  if (kind === 'models' && isRead(method)) {
    const isUnknown = scenario.unknown_models.some((pattern) => matches(pattern, id));
    if (isUnknown) return failure(modelNotFound(id, 'main', 'getModel'), 'array');
    if (id !== '') return openaiOk(openaiModel(id));
    return openaiOk({ object: 'list', data: modelNames(scenario).map(openaiModel) });
  }
  if (OPENAI_LISTS.has(kind ?? '') && id === '' && isRead(method)) {
    return openaiOk({ object: 'list', data: [], has_more: false });
  }
  const object = OPENAI_LISTS.get(kind ?? '');
  if (object === undefined) return notFound('array');
  // What was begun on this surface is done as soon as anybody asks.
  if (isRead(method)) return openaiOk({ id, object, status: 'completed' });
  if (id !== '' || method !== 'POST') return notFound('array');
  const created_at = Math.floor(wallMs / 1000);
  const { model = null } = objectIn(body);
  return openaiOk({ id: `${object}-1`, object, status: 'processing', model, created_at });
}

/** What OpenAI's SDKs call one of each list. */
const OPENAI_LISTS: ReadonlyMap<string, string> = new Map([
  ['files', 'file'],
  ['batches', 'batch'],
  ['videos', 'video'],
]);

function openaiOk(value: unknown): ResourceAnswer {
  return { status: 200, contentType: 'application/json', pieces: [JSON.stringify(value)] };
}

function openaiModel(id: string): object {
  return { id: `models/${id}`, object: 'model', owned_by: 'google' };
}

/** The ids a scenario names; a pattern stands for no model in particular. */
function modelNames(scenario: Scenario): string[] {
  const { aliases, models } = scenario;
  const ids = Object.keys(models).filter((name) => !name.includes('*'));
  return [...new Set([...ids, ...Object.keys(aliases), ...Object.values(aliases)])].sort();
}

function isRead(method: string): boolean {
  return method === 'GET' || method === 'HEAD';
}
