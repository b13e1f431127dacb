import { createHmac, timingSafeEqual } from 'node:crypto';

import { queryValues, withoutParameters } from '../gemini/auth.ts';

/**
 * A pass opens one address to whoever holds it. Where a token is asked for, the answers to an upload's
 * start, redirects and films tell addresses of ours that clients follow without a credential, as they
 * may at Google, where the upload_id is permission enough. So the address brings its own:
 *
 *     /upload/v1beta/files?upload_id=...&upload_protocol=resumable&headgate_pass=BASE64URL
 *
 * It is an HMAC over the path and the query with the token as its key, so nothing has to be remembered:
 * it outlives a restart in mid-upload, and a changed token ends it. What the API forgets (uploads and
 * files within days) it opens no longer. It never opens anything that takes quota.
 */
export const PASS_PARAMETER = 'headgate_pass';

const PASS_NAMES: ReadonlySet<string> = new Set([PASS_PARAMETER]);

/** Clients add their key to the address of a film. */
const ADDED_BY_CLIENTS: ReadonlySet<string> = new Set(['key', 'access_token', PASS_PARAMETER]);

/** `path`, with its query, as it is handed out: with a pass where it is one that can have one. */
export function withPass(path: string, token: string): string {
  if (!isUpload(path) && !isDownload(path)) return path;
  const [before = '', ...fragment] = path.split('#');
  const pass = `${before.includes('?') ? '&' : '?'}${PASS_PARAMETER}=${passOf(before, token)}`;
  return [before + pass, ...fragment].join('#');
}

/** Whether the request brings the pass of its address. Downloads are for reading only. */
export function hasPass(method: string, path: string, token: string): boolean {
  const isRead = method === 'GET' || method === 'HEAD';
  if (!isUpload(path) && !(isRead && isDownload(path))) return false;
  const expected = Buffer.from(passOf(path, token));
  return queryValues(path, PASS_PARAMETER).some((given) => {
    const bytes = Buffer.from(given);
    return bytes.length === expected.length && timingSafeEqual(bytes, expected);
  });
}

/** The path as the upstream knows it. */
export function withoutPass(path: string): string {
  return path.includes('?') ? withoutParameters(path, PASS_NAMES) : path;
}

/** An upload under way: without an upload_id one would begin. */
function isUpload(path: string): boolean {
  return path.startsWith('/upload/') && queryValues(path, 'upload_id').length > 0;
}

function isDownload(path: string): boolean {
  return /^\/(?:download\/)?v1\w*\/[^?]*(?::|%3A)download(?:\?|$)/i.test(path);
}

/** Over the query as it is meant: clients that take a URL apart write it anew in other escapes. */
function passOf(path: string, token: string): string {
  const queryAt = path.indexOf('?');
  const query = new URLSearchParams(queryAt === -1 ? '' : path.slice(queryAt + 1));
  for (const name of ADDED_BY_CLIENTS) query.delete(name);
  query.sort();
  const bare = queryAt === -1 ? path : path.slice(0, queryAt);
  return createHmac('sha256', token)
    .update(`headgate address\n${bare}?${query.toString()}`)
    .digest('base64url');
}
