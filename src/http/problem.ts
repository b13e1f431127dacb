import { ConfigError } from '../config/problems.ts';
import { ProxyError } from '../errors.ts';

/** A full disk is tried again each second, as calls are. */
const DATABASE_RETRY_MS = 1_000;

/** Media type of errors on our own routes (RFC 9457). */
export const PROBLEM_TYPE = 'application/problem+json';

/** The members of a problem document. `reason` is what programs should look at. */
export interface Problem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly reason: string;
  /** The field, header or file:line:column at fault. */
  readonly where?: string;
  readonly retry_after_ms?: number;
  /** Beside a 404 or 405: what exists. */
  readonly routes?: readonly string[];
}

/** An error of ours as a problem document. */
export function problemOf(error: ProxyError): Problem {
  return {
    ...error.details,
    type: `urn:headgate:error:${error.reason}`,
    title: titleOf(error.reason),
    status: error.httpStatus,
    detail: error.message,
    reason: error.reason,
    ...(error.where === null ? {} : { where: error.where }),
    ...(error.retryAfterMs === null ? {} : { retry_after_ms: error.retryAfterMs }),
  };
}

/** Seconds for the `retry-after` header, rounded up; null where coming back does not help. */
export function retryAfterSeconds(error: ProxyError): number | null {
  return error.retryAfterMs === null ? null : Math.max(0, Math.ceil(error.retryAfterMs / 1000));
}

/**
 * What SQLite says when the file or the disk is at fault, and not a statement of ours
 * (https://www.sqlite.org/rescode.html). Extended codes begin with these.
 */
const STORAGE_CODE = /^SQLITE_(?:BUSY|CANTOPEN|CORRUPT|FULL|IOERR|LOCKED|NOTADB|READONLY)/;

/**
 * Anything thrown as an error of ours. What is neither that, nor a mistake in the config, nor the disk's
 * is a fault: its message is kept from the caller, for it may quote what must not be shown.
 */
export function asProxyError(error: unknown): ProxyError {
  if (error instanceof ProxyError) return error;
  if (error instanceof ConfigError) {
    const [first] = error.problems;
    return new ProxyError('CONFIG_INVALID', error.message, {
      where: first === undefined ? null : placeOf(first),
      cause: error,
    });
  }
  if (error instanceof Error && 'code' in error && STORAGE_CODE.test(String(error.code))) {
    return new ProxyError(
      'DATABASE_UNAVAILABLE',
      `headgate cannot use its database just now: ${error.message}. Make room or see who holds it; headgate doctor looks at it.`,
      { where: 'storage.path', retryAfterMs: DATABASE_RETRY_MS, cause: error },
    );
  }
  return new ProxyError('INTERNAL', 'Something went wrong inside headgate; its log says what.', {
    cause: error,
  });
}

function placeOf({ file, line, column }: ConfigError['problems'][number]): string {
  return line === 0 ? file : `${file}:${line}:${column}`;
}

/** QUEUE_FULL becomes "Queue full". */
function titleOf(reason: string): string {
  const words = reason.toLowerCase().replaceAll('_', ' ');
  return words.charAt(0).toUpperCase() + words.slice(1);
}
