import { ProxyError } from '../errors.ts';
import { injectKey, PLACEHOLDER_KEY, queryValues, readKey, withoutKeys } from '../gemini/auth.ts';
import { endToEnd, headerValue, setHeader } from '../gemini/headers.ts';
import type { Settings } from './settings.ts';

/**
 * The Gemini API itself cuts unary calls after 10 minutes and streams after 20 (a comment in
 * @google/genai tells); a little more, so that its own error reaches the client.
 */
export const HEADERS_TIMEOUT_MS = 620_000;
export const BODY_TIMEOUT_MS = 1_220_000;

/** A call with the credentials it will be sent with. */
export interface Outbound {
  readonly path: string;
  readonly headers: readonly string[];
  /** The client's own key, for its project and name; null when headgate's is used. */
  readonly ownKey: string | null;
}

/**
 * Puts the configured key in when the client has none or sends the placeholder. Throws KEY_MISSING
 * for a placeholder with nothing to replace it; a call without any credential goes out as it is,
 * for the upstream knows better what it accepts. So does the piece of an upload that brings none: its
 * address is the permission, and the configured key may be another project's than the one it began with.
 */
export function withCredentials(
  call: { readonly path: string; readonly headers: readonly string[] },
  settings: Settings,
): Outbound {
  const { key } = readKey(call.path, call.headers);
  const isPlaceholder = key === PLACEHOLDER_KEY;
  if (key !== null && !isPlaceholder) {
    return { ...withoutKeys(call, (each) => each === PLACEHOLDER_KEY), ownKey: key };
  }
  if (settings.upstreamApiKey !== null && (isPlaceholder || !isUploadAddress(call.path))) {
    return { ...injectKey(call.path, call.headers, settings.upstreamApiKey), ownKey: null };
  }
  if (isPlaceholder) {
    throw new ProxyError(
      'KEY_MISSING',
      'the client sent the key "headgate", which stands for the configured one, but none is ' +
        "configured. Set GEMINI_API_KEY in headgate's environment, or upstream.api_key in its " +
        'configuration file.',
      { where: 'upstream.api_key' },
    );
  }
  return { path: call.path, headers: call.headers, ownKey: null };
}

function isUploadAddress(path: string): boolean {
  return path.startsWith('/upload/') && queryValues(path, 'upload_id').length > 0;
}

/** The headers that go out: end-to-end ones, with the client's own timeout lowered by its wait. */
export function outboundHeaders(headers: readonly string[], queuedMs: number): string[] {
  const kept = endToEnd(headers, 'request');
  const timeout = Number(headerValue(kept, 'x-server-timeout') ?? 'NaN');
  if (!Number.isFinite(timeout) || queuedMs < 1_000) return kept;
  const leftSeconds = Math.max(1, Math.floor(timeout - queuedMs / 1_000));
  return setHeader(kept, 'x-server-timeout', String(leftSeconds));
}
