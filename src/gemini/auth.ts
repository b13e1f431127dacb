import { headerValue, setHeader } from './headers.ts';
import type { FlatHeaders } from './headers.ts';

/** What SDKs that insist on a key may send instead of one: headgate puts the configured key there. */
export const PLACEHOLDER_KEY = 'headgate';

/** The client's credential and how it was sent. */
export interface ClientKey {
  readonly key: string | null;
  /**
   * `header` is x-goog-api-key, `query` is ?key=, `bearer` an Authorization: Bearer (an API key or an
   * OAuth token), `token` an ephemeral token (Authorization: Token, or ?access_token=).
   */
  readonly form: 'header' | 'query' | 'bearer' | 'token' | 'none';
}

/** Query parameters whose values are secrets: an upload_id lets its holder write the file. */
const SECRET_PARAMETERS: ReadonlySet<string> = new Set(['key', 'access_token', 'upload_id']);

/** Reads the credential; of several, the header wins over the query, that over Authorization. */
export function readKey(path: string, headers: FlatHeaders): ClientKey {
  const header = headerValue(headers, 'x-goog-api-key')?.trim();
  if (header !== undefined && header !== '') return { key: header, form: 'header' };
  const query = queryValue(path, 'key');
  if (query !== null && query !== '') return { key: query, form: 'query' };
  const authorization = /^\s*(bearer|token)\s+(\S+)\s*$/i.exec(
    headerValue(headers, 'authorization') ?? '',
  );
  if (authorization !== null) {
    const [, scheme = '', key = ''] = authorization;
    return { key, form: scheme.toLowerCase() === 'bearer' ? 'bearer' : 'token' };
  }
  const token = queryValue(path, 'access_token');
  if (token !== null && token !== '') return { key: token, form: 'token' };
  return { key: null, form: 'none' };
}

/**
 * The call with `key` as its only credential, whatever form the client's own had. The OpenAI paths
 * take only a Bearer, and `/v1beta/models` only x-goog-api-key.
 */
export function injectKey(
  path: string,
  headers: FlatHeaders,
  key: string,
): { path: string; headers: string[] } {
  const bare = setHeader(setHeader(headers, 'x-goog-api-key', null), 'authorization', null);
  const withKey = isOpenAiPath(path)
    ? setHeader(bare, 'authorization', `Bearer ${key}`)
    : setHeader(bare, 'x-goog-api-key', key);
  return { path: withoutParameters(path, new Set(['key', 'access_token'])), headers: withKey };
}

/** The URL as it may be logged. */
export function redactUrl(path: string): string {
  return mapQuery(path, (name, pair) =>
    SECRET_PARAMETERS.has(name) ? `${pair.split('=', 1)[0] ?? ''}=REDACTED` : pair,
  );
}

function isOpenAiPath(path: string): boolean {
  return /^\/+v[^/]*(?:\/|%2f)+openai(?:[/?]|%2f|$)/i.test(path);
}

function queryValue(path: string, wanted: string): string | null {
  let value: string | null = null;
  mapQuery(path, (name, pair) => {
    if (name === wanted) value ??= decode(pair.slice(pair.indexOf('=') + 1));
    return pair;
  });
  return value;
}

function withoutParameters(path: string, names: ReadonlySet<string>): string {
  return mapQuery(path, (name, pair) => (names.has(name) ? null : pair));
}

/** Rewrites the query pair by pair and leaves every other byte; null drops a pair. */
function mapQuery(path: string, map: (name: string, pair: string) => string | null): string {
  const queryAt = path.indexOf('?');
  if (queryAt === -1) return path;
  const pairs = path
    .slice(queryAt + 1)
    .split('&')
    .map((pair) => (pair.includes('=') ? map(decode(pair.split('=', 1)[0] ?? ''), pair) : pair))
    .filter((pair) => pair !== null);
  const bare = path.slice(0, queryAt);
  return pairs.length === 0 ? bare : `${bare}?${pairs.join('&')}`;
}

function decode(raw: string): string {
  try {
    return decodeURIComponent(raw);
  } catch {
    return raw;
  }
}
