import { ProxyError } from '../errors.ts';

/** What one method and path of the Gemini API is to the quota. */
export interface Endpoint {
  /** Whether the call takes quota. Everything else is passed straight through. */
  readonly counted: boolean;
  /** The verb, as metric label; `pass` for what is not counted. */
  readonly method: EndpointMethod;
  /** Decoded, without `models/`; null where the path does not name one. */
  readonly model: string | null;
  /** Where the model is: `none` for what is not counted, and for Live, whose first frame names it. */
  readonly modelIn: 'path' | 'body' | 'none';
  /**
   * How the answer comes: server-sent events, one JSON array in pieces, as the body's `stream` says,
   * or in one piece.
   */
  readonly streams: 'sse' | 'array' | 'body' | 'no';
  readonly surface: 'gemini' | 'openai' | 'interactions' | 'pass';
  /**
   * Sending it twice has no effect beyond cost, so it may be sent again even after a 5xx. After a
   * 429 every counted call with a JSON body may be: it was refused before any work began.
   */
  readonly resendable: boolean;
}

/** The calls that are counted, and `pass`: a bounded set that may label a metric. */
export type EndpointMethod =
  | 'generateContent'
  | 'streamGenerateContent'
  | 'embedContent'
  | 'batchEmbedContents'
  | 'predict'
  | 'predictLongRunning'
  | 'interactions'
  | 'chat.completions'
  | 'embeddings'
  | 'images.generations'
  | 'live'
  | 'pass';

/** A request target without our own prefixes, and what they said. */
export interface StrippedPath {
  /** Path and query for the upstream, byte for byte, with exactly one leading slash. */
  readonly path: string;
  readonly agentName: string | null;
  readonly sessionName: string | null;
}

/** Names become metric labels, rows and (of sessions) directories, hence the narrow set. */
export const NAME_PATTERN = /^[A-Za-z0-9._:@-]{1,64}$/;

const GEMINI_PREFIXES = ['/v1/', '/v1beta/', '/v1alpha/', '/upload/', '/download/', '/ws/'];

/**
 * Removes `/agents/NAME` and `/sessions/NAME/record` (in this order, each optional) and makes a
 * doubled leading slash one. Throws BAD_REQUEST when a name, percent-decoded, is not made of 1 to 64
 * of `A-Z a-z 0-9 . _ : @ -`.
 */
export function stripPrefixes(rawUrl: string): StrippedPath {
  const { path, agent, session } = splitPrefixes(rawUrl);
  return {
    path,
    agentName: agent === null ? null : decodeName(agent, 'the agent name in /agents/NAME'),
    sessionName:
      session === null ? null : decodeName(session, 'the session name in /sessions/NAME/record'),
  };
}

/** Whether the request target, without our prefixes, belongs to the Gemini API. Never throws. */
export function isGeminiPath(rawUrl: string): boolean {
  const { path } = splitPrefixes(rawUrl);
  return GEMINI_PREFIXES.some((prefix) => path.startsWith(prefix));
}

/**
 * What a call is. `path` is what `stripPrefixes` returned. It is matched with `%3A`, `%2F` and the
 * like decoded; what is forwarded stays raw. Throws MODEL_MISSING or BAD_REQUEST for a counted path
 * whose model is absent or malformed, so that the mistake costs no quota.
 */
export function classify(method: string, path: string): Endpoint {
  const queryAt = path.indexOf('?');
  const rawPath = queryAt === -1 ? path : path.slice(0, queryAt);
  const query = queryAt === -1 ? '' : path.slice(queryAt + 1);
  const decoded = decodeAscii(rawPath)
    .replace(/\/{2,}/g, '/')
    .replace(/(.)\/$/, '$1');

  if (LIVE_PATH.test(decoded)) return LIVE;
  // Everything that makes a model work is a POST; polling and listing are not.
  if (method.toUpperCase() !== 'POST') return PASS;

  const verb = VERB_PATH.exec(decoded);
  if (verb !== null) return ofVerb(verb, rawPath, query);
  const rest = /^\/v1(?:beta|alpha)?\/(.+)$/.exec(decoded)?.[1] ?? '';
  if (rest === 'interactions') return INTERACTIONS;
  if (rest === 'openai/chat/completions') return CHAT;
  if (rest === 'openai/embeddings') return EMBEDDINGS;
  if (rest === 'openai/images/generations') return IMAGES;
  return PASS;
}

const PASS: Endpoint = {
  counted: false,
  method: 'pass',
  model: null,
  modelIn: 'none',
  streams: 'no',
  surface: 'pass',
  resendable: false,
};

const LIVE: Endpoint = { ...PASS, counted: true, method: 'live', surface: 'gemini' };

/** Not resendable after a 5xx: interactions are stored on the server unless told otherwise. */
const INTERACTIONS: Endpoint = {
  ...PASS,
  counted: true,
  method: 'interactions',
  modelIn: 'body',
  streams: 'body',
  surface: 'interactions',
};

const CHAT: Endpoint = {
  ...PASS,
  counted: true,
  method: 'chat.completions',
  modelIn: 'body',
  streams: 'body',
  surface: 'openai',
  resendable: true,
};

const EMBEDDINGS: Endpoint = { ...CHAT, method: 'embeddings', streams: 'no' };

/**
 * Of the paths below `openai/images` the one that Google has. Edits and variations of OpenAI's own API
 * are forms, not JSON: nothing in them could be read, so they pass, and Google says 404.
 */
const IMAGES: Endpoint = {
  ...CHAT,
  method: 'images.generations',
  streams: 'no',
  resendable: false,
};

/** BidiGenerateContent, BidiGenerateContentConstrained and BidiGenerateMusic. */
const LIVE_PATH = /^\/ws\/[^/]*\.GenerativeService[./]Bidi[A-Za-z]+$/;

/**
 * The verbs that take a model's quota of the minute. Not among them, and passed: countTokens, with a
 * quota of its own; batchGenerateContent and asyncBatchEmbedContent, whose quotas are those of batches;
 * and what PaLM left behind (generateAnswer, generateMessage, generateText, embedText,
 * countMessageTokens).
 */
const VERB_PATH =
  /^\/(v1(?:beta|alpha)?)\/(.*):(generateContent|streamGenerateContent|embedContent|batchEmbedContents|predict|predictLongRunning)$/s;

const MODEL_ID = /^[A-Za-z0-9._-]+$/;

function ofVerb(match: RegExpExecArray, rawPath: string, query: string): Endpoint {
  const [, version = '', resource = '', verb = ''] = match;
  // Sound because the pattern admits nothing else.
  const method = verb as EndpointMethod;
  return {
    counted: true,
    method,
    model: modelOf(version, resource, verb, rawPath),
    modelIn: 'path',
    streams: method !== 'streamGenerateContent' ? 'no' : asksForSse(query) ? 'sse' : 'array',
    surface: 'gemini',
    resendable: method !== 'predict' && method !== 'predictLongRunning',
  };
}

/**
 * `models/x` and `publishers/google/models/x` are x; other collections keep their name, since
 * `tunedModels/x` is not the model x. Which model it was made of, `rate_limits.aliases` can say.
 */
function modelOf(version: string, resource: string, verb: string, rawPath: string): string {
  const match = /^(?:publishers\/[^/]+\/)?(models|tunedModels|dynamic)(?:\/(.*))?$/s.exec(resource);
  const fix = `write /${version}/models/MODEL:${verb}, for example /${version}/models/gemini-2.5-flash:${verb}`;
  const shown = rawPath.slice(0, 200);
  if (resource === '' || (match !== null && (match[2] ?? '').trim() === '')) {
    throw new ProxyError('MODEL_MISSING', `The path ${shown} names no model; ${fix}.`, {
      where: 'path',
    });
  }
  const [, collection = '', id = ''] = match ?? [];
  if (!MODEL_ID.test(id)) {
    throw new ProxyError(
      'BAD_REQUEST',
      `The path ${shown} does not name a model of the form models/MODEL (letters, digits, dot, dash, underscore); ${fix}.`,
      { where: 'path' },
    );
  }
  return collection === 'models' ? id : `${collection}/${id}`;
}

function asksForSse(query: string): boolean {
  return query.split('&').some((pair) => /^\$?alt=sse$/i.test(decodeAscii(pair)));
}

/**
 * Decodes what stands for an ASCII character and leaves the rest, so that it never fails: a path that
 * does not decode must not slip past the count.
 */
function decodeAscii(raw: string): string {
  if (!raw.includes('%')) return raw;
  return raw.replace(/%([0-7][0-9A-Fa-f])/g, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
}

interface SplitPath {
  readonly path: string;
  /** As written, still percent-encoded. */
  readonly agent: string | null;
  readonly session: string | null;
}

function splitPrefixes(rawUrl: string): SplitPath {
  let path = oneLeadingSlash(rawUrl);
  const agent = /^\/agents\/([^/?]*)(?=[/?]|$)/.exec(path);
  if (agent !== null) path = oneLeadingSlash(path.slice(agent[0].length));
  const session = /^\/sessions\/([^/?]*)\/record(?=[/?]|$)/.exec(path);
  if (session !== null) path = oneLeadingSlash(path.slice(session[0].length));
  return { path, agent: agent?.[1] ?? null, session: session?.[1] ?? null };
}

function oneLeadingSlash(path: string): string {
  return `/${path.replace(/^\/+/, '')}`;
}

function decodeName(raw: string, field: string): string {
  let name: string | null;
  try {
    name = decodeURIComponent(raw);
  } catch {
    name = null;
  }
  if (name === null || !NAME_PATTERN.test(name) || name === '.' || name === '..') {
    throw new ProxyError(
      'BAD_REQUEST',
      `${field} is "${raw.slice(0, 100)}"; use 1 to 64 letters, digits, or any of . _ : @ -`,
      { where: field },
    );
  }
  return name;
}
