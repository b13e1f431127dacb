/**
 * Every error that headgate itself answers with. The reason is public (header
 * `x-headgate-refused`, ErrorInfo.reason, problem type) and is never renamed.
 *
 * `http` is the HTTP status, `rpc` the google.rpc status of the Gemini paths' error JSON.
 */
export const ERROR_CATALOGUE = {
  BAD_REQUEST: { http: 400, rpc: 'INVALID_ARGUMENT' },
  BAD_JSON: { http: 400, rpc: 'INVALID_ARGUMENT' },
  MODEL_MISSING: { http: 400, rpc: 'INVALID_ARGUMENT' },
  CALL_LARGER_THAN_LIMIT: { http: 400, rpc: 'INVALID_ARGUMENT' },
  BODY_TOO_LARGE: { http: 413, rpc: 'INVALID_ARGUMENT' },
  UNAUTHORIZED: { http: 401, rpc: 'UNAUTHENTICATED' },
  KEY_MISSING: { http: 401, rpc: 'UNAUTHENTICATED' },
  HOST_NOT_ALLOWED: { http: 403, rpc: 'PERMISSION_DENIED' },
  ORIGIN_NOT_ALLOWED: { http: 403, rpc: 'PERMISSION_DENIED' },
  MODEL_NOT_ALLOWED: { http: 403, rpc: 'PERMISSION_DENIED' },
  NOT_FOUND: { http: 404, rpc: 'NOT_FOUND' },
  METHOD_NOT_ALLOWED: { http: 405, rpc: 'UNIMPLEMENTED' },
  CONFLICT: { http: 409, rpc: 'ABORTED' },
  SESSION_UNREADABLE: { http: 422, rpc: 'FAILED_PRECONDITION' },
  AGENT_UNCLEAR: { http: 409, rpc: 'FAILED_PRECONDITION' },
  IDEMPOTENCY_MISMATCH: { http: 409, rpc: 'ABORTED' },
  QUOTA_MINUTE: { http: 429, rpc: 'RESOURCE_EXHAUSTED' },
  QUOTA_DAY: { http: 429, rpc: 'RESOURCE_EXHAUSTED' },
  QUOTA_WINDOW: { http: 429, rpc: 'RESOURCE_EXHAUSTED' },
  QUOTA_ZERO: { http: 429, rpc: 'RESOURCE_EXHAUSTED' },
  COOLDOWN: { http: 429, rpc: 'RESOURCE_EXHAUSTED' },
  STARTUP_COOLDOWN: { http: 429, rpc: 'RESOURCE_EXHAUSTED' },
  CONCURRENCY: { http: 429, rpc: 'RESOURCE_EXHAUSTED' },
  WAIT_TOO_LONG: { http: 429, rpc: 'RESOURCE_EXHAUSTED' },
  QUEUE_FULL: { http: 429, rpc: 'RESOURCE_EXHAUSTED' },
  QUEUE_FULL_AGENT: { http: 429, rpc: 'RESOURCE_EXHAUSTED' },
  QUEUE_FULL_BYTES: { http: 429, rpc: 'RESOURCE_EXHAUSTED' },
  LISTENERS_FULL: { http: 503, rpc: 'UNAVAILABLE' },
  CANCELLED: { http: 499, rpc: 'CANCELLED' },
  NOT_SUPPORTED: { http: 501, rpc: 'UNIMPLEMENTED' },
  DRAINING: { http: 503, rpc: 'UNAVAILABLE' },
  DATABASE_UNAVAILABLE: { http: 503, rpc: 'UNAVAILABLE' },
  UPSTREAM_UNREACHABLE: { http: 502, rpc: 'UNAVAILABLE' },
  UPSTREAM_TIMEOUT: { http: 504, rpc: 'DEADLINE_EXCEEDED' },
  UPSTREAM_ERROR: { http: 502, rpc: 'UNKNOWN' },
  NO_ANSWER: { http: 502, rpc: 'UNKNOWN' },
  TURN_NOT_WRITTEN: { http: 500, rpc: 'INTERNAL' },
  CONFIG_INVALID: { http: 422, rpc: 'FAILED_PRECONDITION' },
  INTERNAL: { http: 500, rpc: 'INTERNAL' },
} as const satisfies Record<string, { http: number; rpc: string }>;

export type ErrorReason = keyof typeof ERROR_CATALOGUE;

/** The one error class: a reason of the catalogue, a sentence for people, and what to do. */
export class ProxyError extends Error {
  override readonly name = 'ProxyError';
  readonly reason: ErrorReason;
  /** When to come back, ms from now; null when coming back does not help. */
  readonly retryAfterMs: number | null;
  /** The field, header, or file:line:column at fault; null where none is. */
  readonly where: string | null;
  /** The quota at fault, for QuotaFailure; null where none is. */
  readonly quota: QuotaViolation | null;
  /** Further members of a problem document, such as the choices there are; null without any. */
  readonly details: Readonly<Record<string, unknown>> | null;
  readonly #httpStatus: number | null;

  constructor(
    reason: ErrorReason,
    message: string,
    options: {
      readonly retryAfterMs?: number | null;
      readonly where?: string | null;
      readonly quota?: QuotaViolation | null;
      readonly details?: Readonly<Record<string, unknown>> | null;
      /** Only with UPSTREAM_ERROR: the status that the upstream answered with. */
      readonly httpStatus?: number | null;
      readonly cause?: unknown;
    } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.reason = reason;
    this.retryAfterMs = options.retryAfterMs ?? null;
    this.where = options.where ?? null;
    this.quota = options.quota ?? null;
    this.details = options.details ?? null;
    this.#httpStatus = options.httpStatus ?? null;
  }

  get httpStatus(): number {
    return this.#httpStatus ?? ERROR_CATALOGUE[this.reason].http;
  }

  get rpcStatus(): string {
    return ERROR_CATALOGUE[this.reason].rpc;
  }
}

/** One violated quota, as google.rpc.QuotaFailure names it. */
export interface QuotaViolation {
  readonly model: string;
  readonly policy: string;
  readonly unit: 'requests' | 'input_tokens' | 'total_tokens' | 'usd';
  /** Nominal length of the window in ms: a day or more makes the quotaId say PerDay. */
  readonly spanMs: number;
  readonly limit: number;
}
