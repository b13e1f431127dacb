/**
 * Flat header lists: name, value, name, value, as received, so that order, case and duplicates
 * survive a trip through the proxy.
 */
export type FlatHeaders = readonly string[];

/** RFC 9110 section 7.6.1, and the names that old agents use in its place. */
const HOP_BY_HOP: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

/**
 * Request headers that describe the hop to us: who we are (host), how the body was framed here, and
 * what other proxies in front of us told. The upstream has no use for a loopback address.
 */
const REQUEST_ONLY: ReadonlySet<string> = new Set([
  'host',
  'content-length',
  'expect',
  'forwarded',
]);

/** These speak of the upstream's origin (another port, forced TLS) and would lead clients past us. */
const RESPONSE_ONLY: ReadonlySet<string> = new Set(['alt-svc', 'strict-transport-security']);

/**
 * The headers that go on to the other side, in their order. Dropped are hop-by-hop headers, those
 * that `connection` names, `proxy-*`; from a request also host, framing, `x-forwarded-*`, our own
 * `x-headgate-*` and an empty cookie; from an answer `alt-svc` and `strict-transport-security`.
 */
export function endToEnd(headers: FlatHeaders, direction: 'request' | 'response'): string[] {
  const named = namedByConnection(headers);
  const kept: string[] = [];
  for (let at = 0; at + 1 < headers.length; at += 2) {
    const name = headers[at] ?? '';
    const value = headers[at + 1] ?? '';
    const lower = name.toLowerCase();
    if (HOP_BY_HOP.has(lower) || named.has(lower) || lower.startsWith('proxy-')) continue;
    if (direction === 'request' ? isOfRequestHop(lower, value) : RESPONSE_ONLY.has(lower)) continue;
    kept.push(name, value);
  }
  return kept;
}

/** The first value of `name` (any case), or null. */
export function headerValue(headers: FlatHeaders, name: string): string | null {
  const wanted = name.toLowerCase();
  for (let at = 0; at + 1 < headers.length; at += 2) {
    if (headers[at]?.toLowerCase() === wanted) return headers[at + 1] ?? '';
  }
  return null;
}

/**
 * A copy in which `name` (any case) appears once, with `value`, where its first occurrence stood or
 * at the end. A null value removes it.
 */
export function setHeader(headers: FlatHeaders, name: string, value: string | null): string[] {
  const wanted = name.toLowerCase();
  const result: string[] = [];
  let written = value === null;
  for (let at = 0; at + 1 < headers.length; at += 2) {
    const present = headers[at] ?? '';
    if (present.toLowerCase() !== wanted) {
      result.push(present, headers[at + 1] ?? '');
    } else if (!written && value !== null) {
      result.push(present, value);
      written = true;
    }
  }
  if (!written && value !== null) result.push(name, value);
  return result;
}

function namedByConnection(headers: FlatHeaders): ReadonlySet<string> {
  const named = new Set<string>();
  for (let at = 0; at + 1 < headers.length; at += 2) {
    if (headers[at]?.toLowerCase() !== 'connection') continue;
    for (const option of (headers[at + 1] ?? '').split(',')) named.add(option.trim().toLowerCase());
  }
  return named;
}

function isOfRequestHop(lower: string, value: string): boolean {
  return (
    REQUEST_ONLY.has(lower) ||
    lower.startsWith('x-forwarded-') ||
    lower.startsWith('x-headgate-') ||
    (lower === 'cookie' && value.trim() === '')
  );
}
