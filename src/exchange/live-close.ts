import type { ProxyError } from '../errors.ts';
import { streamErrorOf } from '../gemini/answer-json.ts';
import { asObject, parseJson } from '../gemini/json-value.ts';
import { reasonBytes } from './live-wire.ts';

/** How a session is told that it has ended. */
export interface LiveClose {
  readonly code: number;
  /** At most 123 bytes. */
  readonly reason: Buffer;
}

const GOING_AWAY = 1001;
const INVALID_DATA = 1007;
const POLICY = 1008;
const INTERNAL = 1011;
const RESTART = 1012;
const TRY_LATER = 1013;

/** The upstream's own way to end a session whose quota is used up: 1011 with the 429's message. */
const QUOTA_WORDS = /quota|resource has been exhausted|RESOURCE_EXHAUSTED|rate.?limit/i;

/** A running session that ends because headgate does. */
export function goingAway(): LiveClose {
  return { code: GOING_AWAY, reason: reasonBytes('headgate is stopping. Please connect again.') };
}

/**
 * An error of ours as a close: 1013 where coming back helps, 1012 where headgate restarts, 1007 for
 * a setup that cannot be read, 1011 where the upstream or headgate failed, else 1008. The reason says
 * first whose it is and when to come back, for it is cut at 123 bytes.
 */
export function closeOf(error: ProxyError): LiveClose {
  const { message, retryAfterMs } = error;
  const when =
    retryAfterMs === null
      ? ''
      : ` Please retry in ${Math.ceil(Math.max(1, retryAfterMs) / 1000)}s.`;
  const rest = message.replace(/\s*Please retry in [\d.]+m?s\.?/, '');
  return { code: codeOf(error), reason: reasonBytes(`headgate ${error.reason}.${when} ${rest}`) };
}

/** The upstream's refusal of a handshake, as it closes sessions with the same fault. */
export function closeOfRefusal(status: number, body: Buffer | string): LiveClose {
  const error = errorIn(body.toString());
  const isOurs = status >= 400 && status < 500 && status !== 429;
  const message = error?.message ?? `The upstream refused the session with status ${status}.`;
  return { code: isOurs ? POLICY : INTERNAL, reason: reasonBytes(message) };
}

/**
 * A 429's body in place of the reason of a close that says that the quota is used up; null for
 * every other close.
 */
export function rejectionIn({ code, reason }: LiveClose): string | null {
  if (code !== INTERNAL && code !== POLICY && code !== TRY_LATER) return null;
  const message = reason.toString();
  if (!QUOTA_WORDS.test(message)) return null;
  return JSON.stringify({ error: { code: 429, message, status: 'RESOURCE_EXHAUSTED' } });
}

function codeOf({ reason, httpStatus, retryAfterMs }: ProxyError): number {
  if (reason === 'DRAINING') return RESTART;
  if (retryAfterMs !== null) return TRY_LATER;
  if (reason === 'BAD_JSON' || reason === 'MODEL_MISSING') return INVALID_DATA;
  return httpStatus >= 500 ? INTERNAL : POLICY;
}

function errorIn(text: string): { readonly message: string } | null {
  const parsed = parseJson(text);
  const answer = asObject(Array.isArray(parsed) ? parsed[0] : parsed);
  const error = answer === null ? null : streamErrorOf(answer);
  return error === null || error.message === '' ? null : error;
}
