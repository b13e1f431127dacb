import type { IncomingHttpHeaders } from 'node:http';
import { JSON_TYPE, whole } from './answer.ts';
import { errorBody, GOOGLE_ERRORS, modelNotFound } from './google-error.ts';
import { field, text } from './json.ts';
import type { Target } from './route.ts';
import { matches, rowOf, type Scenario } from './scenario.ts';

export interface ResourceRequest {
  readonly method: string;
  readonly target: Target;
  readonly headers: IncomingHttpHeaders;
  /** The body, or its beginning where `bytes` is more. */
  readonly body: Buffer;
  readonly bytes: number;
  readonly wallMs: number;
}

export interface ResourceAnswer {
  readonly status: number;
  readonly contentType: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly pieces: readonly string[];
}

interface StoredFile {
  readonly name: string;
  readonly [key: string]: unknown;
}

/** Most files, uploads and interactions remembered; the oldest go first. */
const REMEMBERED_MAX = 1000;
const FILE_LIFE_MS = 48 * 3_600_000;

/** What has no quota: models, files, operations, interactions that were begun before. */
export class Resources {
  readonly #files = new Map<string, StoredFile>();
  readonly #uploads = new Map<string, { bytes: number; mime: string; display: string }>();
  readonly #interactions = new Map<string, unknown>();
  #last = 0;

  /** Keeps an interaction for later GETs. */
  remember(id: string, interaction: unknown): void {
    keep(this.#interactions, id, interaction);
  }

  answer(request: ResourceRequest, scenario: Scenario, ownUrl: string): ResourceAnswer {
    const { method, target } = request;
    const [first = '', ...segments] = target.path.split('/').slice(1);
    if (first === 'upload') return this.#upload(request, ownUrl);
    const isGet = method === 'GET' || method === 'HEAD';
    const [kind, id, ...below] = segments;
    if (isGet && kind === 'models' && below.length === 0) {
      return modelAnswer(scenario, id, target.query, first);
    }
    if (isGet && kind === 'openai' && id === 'models') return openaiModels(scenario, below[0]);
    if (isGet && (kind === 'operations' || below[0] === 'operations')) {
      return ok({ name: segments.join('/'), done: true, response: {} });
    }
    if (kind === 'files') return this.#file(method, id);
    if (kind === 'interactions' && id !== undefined) return this.#interaction(method, id);
    return notFound();
  }

  #interaction(method: string, id: string): ResourceAnswer {
    const interaction = this.#interactions.get(id);
    if (interaction === undefined) return notFound();
    if (method === 'DELETE') this.#interactions.delete(id);
    return method === 'DELETE' ? ok({}) : ok(interaction);
  }

  #file(method: string, id: string | undefined): ResourceAnswer {
    if (id === undefined) return ok({ files: [...this.#files.values()] });
    const file = this.#files.get(id);
    if (file === undefined) return notFound();
    if (method === 'DELETE') this.#files.delete(id);
    return method === 'DELETE' ? ok({}) : ok(file);
  }

  /** The resumable protocol: start, then pieces, the last of them with `finalize`. */
  #upload(request: ResourceRequest, ownUrl: string): ResourceAnswer {
    const { headers, target } = request;
    const command = String(headers['x-goog-upload-command'] ?? '');
    const id = target.query.get('upload_id');
    if (id === null) {
      const mime = String(
        headers['x-goog-upload-header-content-type'] ?? 'application/octet-stream',
      );
      const upload = { bytes: 0, mime, display: displayName(request.body) };
      if (command !== 'start') {
        return this.#finish({ ...upload, bytes: request.bytes }, request, ownUrl);
      }
      const uploadId = this.#nextId();
      keep(this.#uploads, uploadId, upload);
      return empty({
        'x-goog-upload-status': 'active',
        'x-goog-upload-url': `${ownUrl}${target.path}?upload_id=${uploadId}&upload_protocol=resumable`,
        'x-goog-upload-chunk-granularity': '8388608',
      });
    }
    const upload = this.#uploads.get(id);
    if (upload === undefined) return notFound();
    if (command === 'cancel') {
      this.#uploads.delete(id);
      return empty({ 'x-goog-upload-status': 'cancelled' });
    }
    upload.bytes += request.bytes;
    if (!command.includes('finalize')) {
      const received = String(upload.bytes);
      return empty({ 'x-goog-upload-status': 'active', 'x-goog-upload-size-received': received });
    }
    this.#uploads.delete(id);
    return this.#finish(upload, request, ownUrl);
  }

  #finish(
    upload: { readonly bytes: number; readonly mime: string; readonly display: string },
    { wallMs }: ResourceRequest,
    ownUrl: string,
  ): ResourceAnswer {
    const id = this.#nextId();
    const file: StoredFile = {
      name: `files/${id}`,
      ...(upload.display === '' ? {} : { displayName: upload.display }),
      mimeType: upload.mime,
      sizeBytes: String(upload.bytes),
      createTime: new Date(wallMs).toISOString(),
      updateTime: new Date(wallMs).toISOString(),
      expirationTime: new Date(wallMs + FILE_LIFE_MS).toISOString(),
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

export function notFound(): ResourceAnswer {
  return {
    status: 404,
    contentType: JSON_TYPE,
    pieces: [errorBody(GOOGLE_ERRORS.notFound, 'object')],
  };
}

function ok(value: unknown): ResourceAnswer {
  return { status: 200, ...whole(value) };
}

function empty(headers: Readonly<Record<string, string>>): ResourceAnswer {
  return { status: 200, contentType: 'text/plain; charset=utf-8', headers, pieces: [] };
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
    const error = modelNotFound(id, version, 'getModel');
    return { status: 404, contentType: JSON_TYPE, pieces: [errorBody(error, 'object')] };
  }
  const names = modelNames(scenario);
  const from = Number(query.get('pageToken') ?? 0) || 0;
  const size = Math.max(1, Number(query.get('pageSize') ?? 50) || 50);
  const models = names.slice(from, from + size).map((name) => modelEntry(scenario, name));
  const more = from + size < names.length ? { nextPageToken: String(from + size) } : {};
  return ok({ models, ...more });
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

function openaiModels(scenario: Scenario, id: string | undefined): ResourceAnswer {
  if (id !== undefined) return ok(openaiModel(id));
  return ok({ object: 'list', data: modelNames(scenario).map(openaiModel) });
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

function displayName(body: Buffer): string {
  try {
    const file = field(JSON.parse(body.toString('utf8')), 'file');
    return text(field(file, 'display_name', 'displayName')) ?? '';
  } catch {
    return '';
  }
}

function keep<T>(map: Map<string, T>, key: string, value: T): void {
  map.set(key, value);
  const oldest = map.size > REMEMBERED_MAX ? map.keys().next().value : undefined;
  if (oldest !== undefined) map.delete(oldest);
}
