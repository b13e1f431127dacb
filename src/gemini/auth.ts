import { setHeader } from './headers.ts';
import type { FlatHeaders } from './headers.ts';
import { isSecretParameter, withoutSecrets } from './secret-shapes.ts';

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

/** A call's path with its query, and its headers. */
export interface Credentialed {
  readonly path: string;
  readonly headers: FlatHeaders;
}

/** Parameters that the API reads a credential from. */
const KEY_PARAMETERS: ReadonlySet<string> = new Set(['key', 'access_token']);

const NO_KEY: ClientKey = { key: null, form: 'none' };

/**
 * Reads the credential that counts: of several the first of `readKeys`, and the placeholder only
 * where nothing else is.
 */
export function readKey(path: string, headers: FlatHeaders): ClientKey {
  const keys = readKeys(path, headers);
  // What the OpenAI paths do not look at cannot stand in for the placeholder that they do look at.
  const first = keys[0] ?? NO_KEY;
  if (first.form === 'bearer' && isOpenAiPath(path)) return first;
  return keys.find(({ key }) => key !== PLACEHOLDER_KEY) ?? first;
}

/**
 * Every credential of a call: x-goog-api-key, ?key=, Authorization, ?access_token=, each as often as
 * it is there. The OpenAI paths look at Authorization alone, which comes first there.
 */
export function readKeys(path: string, headers: FlatHeaders): ClientKey[] {
  const inHeader: ClientKey[] = [];
  const inAuthorization: ClientKey[] = [];
  for (let at = 0; at + 1 < headers.length; at += 2) {
    const name = headers[at]?.toLowerCase();
    const value = headers[at + 1] ?? '';
    if (name === 'x-goog-api-key' && value.trim() !== '') {
      inHeader.push({ key: value.trim(), form: 'header' });
    } else if (name === 'authorization') {
      const key = keyInAuthorization(value);
      if (key !== null) inAuthorization.push(key);
    }
  }
  const inQuery = queryValues(path, 'key').map((key) => ({ key, form: 'query' as const }));
  const tokens = queryValues(path, 'access_token').map((key) => ({ key, form: 'token' as const }));
  return isOpenAiPath(path)
    ? [...inAuthorization, ...inHeader, ...inQuery, ...tokens]
    : [...inHeader, ...inQuery, ...inAuthorization, ...tokens];
}

/** The call without those of its credentials that `isUnwanted` names, in whatever form they came. */
export function withoutKeys(
  { path, headers }: Credentialed,
  isUnwanted: (key: string) => boolean,
): { path: string; headers: string[] } {
  const kept: string[] = [];
  for (let at = 0; at + 1 < headers.length; at += 2) {
    const name = headers[at] ?? '';
    const value = headers[at + 1] ?? '';
    const lower = name.toLowerCase();
    const key =
      lower === 'x-goog-api-key'
        ? value.trim()
        : lower === 'authorization'
          ? (keyInAuthorization(value)?.key ?? '')
          : '';
    if (key === '' || !isUnwanted(key)) kept.push(name, value);
  }
  const bare = mapQuery(path, (name, pair) =>
    KEY_PARAMETERS.has(name) && isUnwanted(valueOf(pair)) ? null : pair,
  );
  return { path: bare, headers: kept };
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
  return { path: withoutParameters(path, KEY_PARAMETERS), headers: withKey };
}

/** The URL as it may be logged, with nothing in it that opens anything. */
export function redactUrl(path: string): string {
  return withoutSecrets(
    mapQuery(path, (name, pair) =>
      isSecretParameter(name) ? `${pair.split('=', 1)[0] ?? ''}=[redacted]` : pair,
    ),
  );
}

/** The values of a parameter of the query, decoded; empty ones say nothing and are left out. */
export function queryValues(path: string, wanted: string): string[] {
  const values: string[] = [];
  if (!path.includes('?')) return values;
  mapQuery(path, (name, pair) => {
    if (name === wanted && valueOf(pair) !== '') values.push(valueOf(pair));
    return pair;
  });
  return values;
}

/** The path without the parameters of these names; every other byte of it stays. */
export function withoutParameters(path: string, names: ReadonlySet<string>): string {
  return mapQuery(path, (name, pair) => (names.has(name) ? null : pair));
}

function isOpenAiPath(path: string): boolean {
  return /^\/+v[^/]*(?:\/|%2f)+openai(?:[/?]|%2f|$)/i.test(path);
}

function keyInAuthorization(value: string): ClientKey | null {
  const match = /^\s*(bearer|token)\s+(\S+)\s*$/i.exec(value);
  if (match === null) return null;
  const [, scheme = '', key = ''] = match;
  return { key, form: scheme.toLowerCase() === 'bearer' ? 'bearer' : 'token' };
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

function valueOf(pair: string): string {
  return decode(pair.slice(pair.indexOf('=') + 1));
}

function decode(raw: string): string {
  try {
    return decodeURIComponent(raw);
  } catch {
    return raw;
  }
}
