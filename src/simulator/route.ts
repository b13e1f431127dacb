import type { ErrorShape, QuotaFamily } from './google-error.ts';

/** The calls that have a quota. */
export type CallKind =
  | 'generate'
  | 'countTokens'
  | 'embed'
  | 'batchEmbed'
  | 'predict'
  | 'predictLong'
  | 'chat'
  | 'openaiEmbed'
  | 'openaiImage'
  | 'interaction';

export interface Route {
  readonly kind: CallKind;
  /** As the API names it, for logs and for the 404 of an unknown model. */
  readonly method: string;
  readonly version: string;
  /** From the path; null where the body names it. */
  readonly model: string | null;
  /** Of the path and the query; a body may still ask for a stream. */
  readonly shape: 'json' | 'sse' | 'array';
}

export interface Target {
  /** Decoded, with a doubled leading slash made one. */
  readonly path: string;
  readonly query: URLSearchParams;
}

/** @returns null when the path is not valid percent-encoding. */
export function targetOf(url: string): Target | null {
  const at = url.indexOf('?');
  const raw = at < 0 ? url : url.slice(0, at);
  const query = new URLSearchParams(at < 0 ? '' : url.slice(at + 1));
  try {
    return { path: decodeURIComponent(raw).replace(/^\/{2,}/, '/'), query };
  } catch {
    return null;
  }
}

/** @returns null for everything that has no quota. */
export function routeOf(httpMethod: string, { path, query }: Target): Route | null {
  if (httpMethod !== 'POST') return null;
  const inPath = MODEL_PATH.exec(path);
  if (inPath !== null) {
    const [, version = '', collection = '', id = '', method = ''] = inPath;
    // A tuned model is another model than the one of the same id.
    const model = collection === 'models' ? id : `${collection}/${id}`;
    const kind = MODEL_METHODS.get(method);
    if (kind === undefined) return null;
    const isStream = method === 'streamGenerateContent';
    const isSse = (query.get('alt') ?? query.get('$alt')) === 'sse';
    const shape = isStream ? (isSse ? 'sse' : 'array') : 'json';
    return { kind, method, version, model, shape };
  }
  const inBody = BODY_PATH.exec(path);
  if (inBody === null) return null;
  const [, version = '', method = ''] = inBody;
  const kind = BODY_METHODS.get(method);
  return kind === undefined ? null : { kind, method, version, model: null, shape: 'json' };
}

export function errorShapeOf(route: Route): ErrorShape {
  if (route.kind === 'interaction') return 'interaction';
  return route.shape === 'array' || isOpenai(route) ? 'array' : 'object';
}

export function quotaFamilyOf(route: Route): QuotaFamily {
  if (route.kind === 'countTokens') return 'countTokens';
  return ['embed', 'batchEmbed', 'openaiEmbed'].includes(route.kind) ? 'embed' : 'generate';
}

/** The OpenAI-compatible paths take the key as a bearer token and nothing else. */
export function isOpenai(route: Route): boolean {
  return route.kind === 'chat' || route.kind === 'openaiEmbed' || route.kind === 'openaiImage';
}

const MODEL_PATH = /^\/(v1|v1beta|v1alpha)\/(models|tunedModels|dynamic)\/([^/:]+):(\w+)$/;
const BODY_PATH = /^\/(v1|v1beta|v1alpha)\/(interactions|openai\/.+)$/;

const MODEL_METHODS: ReadonlyMap<string, CallKind> = new Map([
  ['generateContent', 'generate'],
  ['streamGenerateContent', 'generate'],
  ['countTokens', 'countTokens'],
  ['embedContent', 'embed'],
  ['batchEmbedContents', 'batchEmbed'],
  ['predict', 'predict'],
  ['predictLongRunning', 'predictLong'],
]);

const BODY_METHODS: ReadonlyMap<string, CallKind> = new Map([
  ['interactions', 'interaction'],
  ['openai/chat/completions', 'chat'],
  ['openai/embeddings', 'openaiEmbed'],
  ['openai/images/generations', 'openaiImage'],
]);
