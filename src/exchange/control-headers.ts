import { ProxyError } from '../errors.ts';
import { headerValue } from '../gemini/headers.ts';

/** What a client may say about one call; never forwarded. */
export interface ControlHeaders {
  /** x-headgate-priority; default interactive. */
  readonly interactive: boolean;
  /** x-headgate-max-wait in ms; null when not given. */
  readonly waitMsMax: number | null;
}

const UNIT_MS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 } as const;

/** Throws BAD_REQUEST that names the header and what it may hold. */
export function readControlHeaders(headers: readonly string[]): ControlHeaders {
  const priority = headerValue(headers, 'x-headgate-priority');
  if (priority !== null && priority !== 'interactive' && priority !== 'batch') {
    throw bad('x-headgate-priority', priority, 'say interactive or batch');
  }
  return { interactive: priority !== 'batch', waitMsMax: readMaxWait(headers) };
}

function readMaxWait(headers: readonly string[]): number | null {
  const text = headerValue(headers, 'x-headgate-max-wait');
  if (text === null) return null;
  const match = /^(\d{1,9}(?:\.\d{1,3})?)(ms|s|m|h)$/.exec(text.trim());
  if (match === null) throw bad('x-headgate-max-wait', text, 'say a duration such as 30s or 2m');
  const [, amount = '0', unit] = match;
  const unitMs = unit === 'ms' || unit === 's' || unit === 'm' ? UNIT_MS[unit] : UNIT_MS.h;
  return Number(amount) * unitMs;
}

function bad(header: string, value: string, fix: string): ProxyError {
  return new ProxyError('BAD_REQUEST', `${header} is "${value.slice(0, 100)}"; ${fix}.`, {
    where: header,
  });
}
