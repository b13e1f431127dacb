import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { isIP, isIPv4 } from 'node:net';

import { ProxyError } from '../errors.ts';
import {
  type Credentialed,
  injectKey,
  PLACEHOLDER_KEY,
  readKeys,
  withoutKeys,
} from '../gemini/auth.ts';
import { headerValue } from '../gemini/headers.ts';
import { hasPass, withoutPass } from './address-pass.ts';

/** Who may call. Asked for at every request, so that a reload takes effect at once. */
export interface GuardSettings {
  /** The host that headgate listens on, as configured. */
  readonly listenHost: string;
  /** Further names under which clients may call, with or without a port. */
  readonly allowedHosts: readonly string[];
  /** Origins of web pages that may call, such as `http://localhost:3000`. */
  readonly allowedOrigins: readonly string[];
  /** What callers must present; null asks for nothing. */
  readonly token: string | null;
}

/** The parts of a request that tell where it came from. */
export interface Caller {
  readonly method: string;
  readonly headers: IncomingHttpHeaders;
}

/**
 * Refuses a `Host` that is not ours, and a web page of another site. headgate adds the user's key to
 * what it forwards, so without this any page open in a browser could spend it: directly, or, where
 * the browser forbids that, by pointing a name of its own at 127.0.0.1 (DNS rebinding).
 *
 * Throws HOST_NOT_ALLOWED or ORIGIN_NOT_ALLOWED.
 */
export function checkSource({ method, headers }: Caller, settings: GuardSettings): void {
  const { host, origin } = headers;
  // Only HTTP/1.0 may leave it out, and no browser speaks that.
  if (host !== undefined && !isHostAllowed(host, settings)) {
    throw new ProxyError(
      'HOST_NOT_ALLOWED',
      `The host "${host.slice(0, 200)}" is not one of headgate's; add it to admin.allowed_hosts if it is.`,
      { where: 'host' },
    );
  }
  if (origin !== undefined) {
    if (settings.allowedOrigins.includes(origin) || isSameOrigin(origin, host)) return;
    throw foreignOrigin(`Pages of ${origin.slice(0, 200)}`, 'origin');
  }
  const site = headers['sec-fetch-site'];
  if (site === undefined || site === 'same-origin' || site === 'none') return;
  // Following a link to the page from elsewhere changes nothing and shows the other site nothing.
  const isLink =
    headers['sec-fetch-mode'] === 'navigate' && headers['sec-fetch-dest'] === 'document';
  if (isLink && method === 'GET') return;
  throw foreignOrigin('Pages of another site', 'sec-fetch-site');
}

/** Own routes. Throws UNAUTHORIZED unless the token is there, where one is configured. */
export function checkToken({ headers }: Caller, { token }: GuardSettings): void {
  if (token === null) return;
  const bearer = /^\s*bearer\s+(\S+)\s*$/i.exec(headers.authorization ?? '')?.[1];
  const own = headers['x-headgate-token'];
  const given = (typeof own === 'string' ? own : null) ?? bearer ?? null;
  if (given !== null && isSame(given, token)) return;
  throw new ProxyError(
    'UNAUTHORIZED',
    given === null
      ? 'This headgate asks for a token; send "Authorization: Bearer TOKEN" with the value of admin.token.'
      : 'The token is not the value of admin.token.',
    { where: 'authorization' },
  );
}

/** Whether `text` is the token that callers must present, which must never leave for the upstream. */
export function isToken(text: string, { token }: GuardSettings): boolean {
  return token !== null && isSame(text, token);
}

/**
 * Gemini paths. Where a token is configured it must come as x-headgate-token, or in place of the API
 * key in any of its forms, for SDKs can send nothing else; an address that headgate handed out brings
 * a pass instead. Returns the call as it goes on: without token and pass, which are not the upstream's
 * to know, and with the placeholder where the token stood for the key. Throws UNAUTHORIZED.
 */
export function admitGemini(
  { method, path, headers }: { readonly method: string } & Credentialed,
  { token }: GuardSettings,
): Credentialed {
  const bare = { path: withoutPass(path), headers };
  if (token === null) return bare;
  const isOurs = (key: string): boolean => isSame(key, token);
  const keys = readKeys(path, headers);
  const others = keys.filter(({ key }) => key === null || !isOurs(key));
  const usesTokenAsKey = others.length < keys.length;
  const own = headerValue(headers, 'x-headgate-token');
  const isAdmitted =
    usesTokenAsKey ||
    (own !== null && isOurs(own)) ||
    hasPass(method, path, token) ||
    // A browser sends no credential with its preflight, which spends nothing.
    method === 'OPTIONS';
  if (!isAdmitted) {
    throw new ProxyError(
      'UNAUTHORIZED',
      'This headgate asks for a token; send the value of admin.token as the API key, or as x-headgate-token beside a key of your own.',
      { where: 'x-goog-api-key' },
    );
  }
  if (!usesTokenAsKey) return bare;
  return others.length === 0
    ? injectKey(bare.path, headers, PLACEHOLDER_KEY)
    : withoutKeys(bare, isOurs);
}

/** Whether an address to listen on can be reached from this machine only. */
export function isLoopback(host: string): boolean {
  const name = bareHost(host);
  if (name === 'localhost' || name.endsWith('.localhost') || name === '::1') return true;
  return isIPv4(name) && name.startsWith('127.');
}

function isHostAllowed(host: string, { listenHost, allowedHosts }: GuardSettings): boolean {
  const name = bareHost(host);
  if (isLoopback(name) || name === bareHost(listenHost)) return true;
  // Rebinding needs a name. Whoever listens on all addresses is called by any of them.
  if (isWildcard(listenHost) && isIP(name) !== 0) return true;
  const full = host.toLowerCase();
  return allowedHosts.some((allowed) => {
    const lower = allowed.toLowerCase();
    return lower === full || lower === name;
  });
}

function isWildcard(listenHost: string): boolean {
  const name = bareHost(listenHost);
  return name === '0.0.0.0' || name === '::';
}

/** Lower case, without port, brackets and the root's dot. */
function bareHost(host: string): string {
  const lower = host.trim().toLowerCase();
  const bracketed = /^\[([^\]]*)\](?::\d+)?$/.exec(lower)?.[1];
  if (bracketed !== undefined) return bracketed;
  // A bare IPv6 address has several colons and no port.
  const name = isIP(lower) === 6 ? lower : lower.replace(/:\d*$/, '');
  return name.replace(/\.$/, '');
}

function isSameOrigin(origin: string, host: string | undefined): boolean {
  if (host === undefined) return false;
  const authority = /^https?:\/\/(.+)$/.exec(origin.toLowerCase())?.[1];
  return authority === host.toLowerCase();
}

function foreignOrigin(who: string, where: string): ProxyError {
  return new ProxyError(
    'ORIGIN_NOT_ALLOWED',
    `${who} may not call headgate from a browser; add the origin to admin.allowed_origins if it may.`,
    { where },
  );
}

/** Takes the same time wherever the difference is; hashing makes the lengths equal. */
function isSame(given: string, expected: string): boolean {
  return timingSafeEqual(digest(given), digest(expected));
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
