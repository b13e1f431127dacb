import type { FlatHeaders } from './headers.ts';

/** Both ends of an address: ours as the client reached it, and the upstream's. No trailing slash. */
export interface AddressPair {
  /** Scheme and host of the client's request, with the prefixes of its path, such as /agents/NAME. */
  readonly ownUrl: string;
  /** The configured upstream, with its base path. */
  readonly upstreamUrl: string;
  /**
   * What a path with its query has to be for whoever follows it without a credential; null or absent
   * where it is good as it is.
   */
  readonly handOut?: ((path: string) => string) | null;
}

/**
 * Answers of the upload protocol tell in these where to go on; Python's SDK, the AI SDK and scripts
 * follow them to the letter and would leave headgate.
 */
const URL_HEADERS: ReadonlySet<string> = new Set([
  'x-goog-upload-url',
  'x-goog-upload-control-url',
  'location',
]);

/** What a Host header may be made of, so that nothing else gets into a URL that is handed out. */
const HOST_PATTERN = /^(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::\d{1,5})?$/;

/**
 * Where a client reached us: scheme and host of its request, and what of `rawUrl` stands before
 * `path`, our prefixes. Null without a usable Host header, as in HTTP/1.0.
 */
export function ownUrlOf(request: {
  readonly host: string | null;
  readonly isEncrypted: boolean;
  readonly rawUrl: string;
  readonly path: string;
}): string | null {
  const { host, isEncrypted, rawUrl, path } = request;
  if (host === null || !HOST_PATTERN.test(host)) return null;
  const rest = path.replace(/^\/+/, '');
  const before = rawUrl.endsWith(rest) ? rawUrl.slice(0, rawUrl.length - rest.length) : '';
  const prefix = before.replace(/^\/+/, '').replace(/\/+$/, '');
  return `${isEncrypted ? 'https' : 'http'}://${host}${prefix === '' ? '' : `/${prefix}`}`;
}

/** The headers of an answer, with the URLs in them that lead to the upstream leading to us. */
export function withOwnUrls(headers: FlatHeaders, addresses: AddressPair): readonly string[] {
  let changed: string[] | null = null;
  for (let at = 0; at + 1 < headers.length; at += 2) {
    if (!URL_HEADERS.has((headers[at] ?? '').toLowerCase())) continue;
    const value = headers[at + 1] ?? '';
    const own = toOwnUrl(value, addresses);
    if (own === value) continue;
    changed ??= [...headers];
    changed[at + 1] = own;
  }
  return changed ?? headers;
}

/**
 * `url` as it is reached through us, path and query byte for byte but for what `handOut` adds.
 * Unchanged where it is not below the upstream's origin and base path: what came back to us would not
 * get there.
 */
export function toOwnUrl(url: string, { ownUrl, upstreamUrl, handOut }: AddressPair): string {
  const given = handOut ?? ((path: string): string => path);
  const upstream = parse(upstreamUrl);
  if (upstream === null) return url;
  const basePath = upstream.rest.replace(/\/+$/, '');
  const absolute = parse(url);
  if (absolute !== null) {
    const rest = below(absolute.rest, basePath);
    return absolute.origin !== upstream.origin || rest === null ? url : `${ownUrl}${given(rest)}`;
  }
  // A path alone stands for the same origin, and lacks our prefixes as well.
  if (!/^\/(?!\/)/.test(url)) return url;
  const rest = below(url, basePath);
  return rest === null ? url : `${parse(ownUrl)?.rest ?? ''}${given(rest)}`;
}

/** What is left of `path` below `basePath`; null where it is beside it. */
function below(path: string, basePath: string): string | null {
  if (!path.startsWith(basePath)) return null;
  const rest = path.slice(basePath.length);
  return rest === '' || /^[/?#]/.test(rest) ? rest : null;
}

/** Origin and the untouched rest; null for what is not an absolute HTTP URL, or carries a user. */
function parse(url: string): { readonly origin: string; readonly rest: string } | null {
  const match = /^(https?:)\/\/([^/?#@\\\s]+)((?:[/?#].*)?)$/i.exec(url);
  if (match === null) return null;
  const [, scheme = '', authority = '', rest = ''] = match;
  try {
    return { origin: new URL(`${scheme}//${authority}`).origin, rest };
  } catch {
    return null;
  }
}
