import { Collections } from './collections.ts';
import { modelNotFound } from './google-error.ts';
import { Interactions } from './interactions.ts';
import { legacyAnswer } from './legacy-answer.ts';
import { Operations } from './operations.ts';
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
import { matches, rowOf, type Scenario } from './scenario.ts';
import { sha256HashOf, Uploads } from './uploads.ts';

interface StoredFile {
  readonly name: string;
  readonly [key: string]: unknown;
}

const FILE_LIFE_MS = 48 * 3_600_000;

/** What has no quota: models, files, batches, stores, what was begun before, and all the rest. */
export class Resources {
  readonly #files = new Map<string, StoredFile>();
  readonly #collections = new Collections();
  readonly interactions = new Interactions();
  readonly operations = new Operations();
  readonly uploads = new Uploads();
  #last = 0;

  answer(request: ResourceRequest, scenario: Scenario, ownUrl: string): ResourceAnswer {
    const { method, target } = request;
    const [first = '', ...segments] = target.path.split('/').slice(1);
    if (first === 'upload') return this.#upload(request, ownUrl);
    const [kind, id, ...below] = segments;
    if (kind === 'openai') return openaiAnswer(request, scenario, segments.slice(1));
    if (kind === 'models') return this.#model(request, scenario, ownUrl);
    if (kind === 'batches' && below.length === 0) return this.operations.batch(request, id);
    if (kind === 'interactions') return this.interactions.answer(request, segments.slice(1));
    if (kind === 'files') {
      const film = id === undefined ? null : this.operations.film(id.replace(/:download$/, ''));
      return film ?? this.#file(method, id);
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

  #file(method: string, id: string | undefined): ResourceAnswer {
    if (id === undefined) return ok({ files: [...this.#files.values()] });
    const file = this.#files.get(id);
    if (file === undefined) return notFound();
    if (method === 'DELETE') this.#files.delete(id);
    return method === 'DELETE' ? ok({}) : ok(file);
  }

  #upload(request: ResourceRequest, ownUrl: string): ResourceAnswer {
    const upload = this.uploads.take(request, { ownUrl, nextId: () => this.#nextId() });
    if ('status' in upload) return upload;
    const { wallMs } = request;
    const id = this.#nextId();
    const file: StoredFile = {
      name: `files/${id}`,
      ...(upload.display === '' ? {} : { displayName: upload.display }),
      mimeType: upload.mime,
      sizeBytes: String(upload.bytes),
      createTime: new Date(wallMs).toISOString(),
      updateTime: new Date(wallMs).toISOString(),
      expirationTime: new Date(wallMs + FILE_LIFE_MS).toISOString(),
      sha256Hash: sha256HashOf(upload),
      uri: `${ownUrl}/v1beta/files/${id}`,
      state: 'ACTIVE',
      source: 'UPLOADED',
    };
    keep(this.#files, id, file);
    return { ...ok({ file }), headers: { 'x-goog-upload-status': 'final' } };
  }

  #nextId(): string {
    this.#last += 1;
    return `sim${String(this.#last).padStart(9, '0')}`;
  }
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
  if (kind !== 'videos' || id !== '' || method !== 'POST') return notFound('array');
  const created_at = Math.floor(wallMs / 1000);
  const { model = null } = objectIn(body);
  return openaiOk({ id: 'video-1', object: 'video', status: 'processing', model, created_at });
}

const OPENAI_LISTS: ReadonlySet<string> = new Set(['files', 'batches', 'videos']);

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
