import type { ProxyError, QuotaViolation } from '../errors.ts';

const HALF_DAY_MS = 43_200_000;
const METRIC_PREFIX = 'generativelanguage.googleapis.com/';
/** Google's, in every 429 that names a quota. */
const GOOGLE_PHRASE =
  /you exceeded your current quota(?:, please check your plan and billing details)?/gi;
/** LangChain gives up at once on a longer wait (`RETRY_AFTER_AUTO_RETRY_THRESHOLD_MS`, core 1.4). */
const HINT_MS_MAX = 60_000;
/** A longer wait is nothing to sit out: gemini-cli ends there, and OpenAI's SDK would sleep it through. */
const RETRY_MS_MAX = 300_000;

/**
 * An error of ours as Google's error JSON, so that every Gemini client reads it as its own, with the
 * google.rpc details QuotaFailure (where a quota is at fault), RetryInfo (where coming back helps) and
 * ErrorInfo with domain `headgate`. `array` wraps it as streamGenerateContent without alt=sse does.
 *
 * On the OpenAI paths it stays a bare object: OpenAI's SDKs find the message only there. The
 * interactions surface spells its codes as lower-case strings.
 */
export function googleErrorBody(
  error: ProxyError,
  { surface, array }: { surface: 'gemini' | 'openai' | 'interactions'; array: boolean },
): Buffer {
  const message = messageOf(error);
  const details = detailsOf(error);
  const body =
    surface === 'interactions'
      ? { error: { code: error.rpcStatus.toLowerCase(), message, details } }
      : { error: { code: error.httpStatus, message, status: error.rpcStatus, details } };
  return Buffer.from(JSON.stringify(array && surface === 'gemini' ? [body] : body));
}

/**
 * The headers beside that body, flat. `x-should-retry: false` stops the OpenAI SDKs where a retry
 * within some minutes cannot help: a spent day, a rest of more than five minutes, or a call that never fits.
 */
export function googleErrorHeaders(error: ProxyError): string[] {
  const headers = [
    'content-type',
    'application/json; charset=UTF-8',
    'x-headgate-refused',
    error.reason,
  ];
  if (error.retryAfterMs !== null) {
    headers.push('retry-after', String(wholeSeconds(error.retryAfterMs)));
    headers.push('retry-after-ms', String(Math.max(0, Math.ceil(error.retryAfterMs))));
  }
  const isOfDay = error.reason === 'QUOTA_DAY' || (error.quota !== null && isDay(error.quota));
  const isFinal = error.retryAfterMs === null && error.httpStatus < 500;
  const isLong = error.retryAfterMs !== null && error.retryAfterMs > RETRY_MS_MAX;
  if (isOfDay || isLong || isFinal) headers.push('x-should-retry', 'false');
  return headers;
}

/**
 * Names headgate, and repeats in prose when to come back: gemini-cli reads "Please retry in Xs", and
 * takes "limit: 0" as final. LangChain stops retrying at "You exceeded your current quota" and at any
 * word of billing, and Google says both of a minute too, so that phrase never leaves us.
 */
function messageOf(error: ProxyError): string {
  let message = error.message.replace(GOOGLE_PHRASE, 'the quota is used up');
  if (!/\bheadgate\b/i.test(message)) message = `headgate: ${message}`;
  if (error.reason === 'QUOTA_ZERO' && !/limit: 0\b/.test(message)) message += ' (limit: 0)';
  if (error.retryAfterMs !== null && !/please retry in /i.test(message)) {
    const seconds = Math.ceil(Math.max(0, error.retryAfterMs) / 100) / 10;
    message += `${/[.!?]$/.test(message) ? '' : '.'} Please retry in ${seconds}s.`;
  }
  return message;
}

function detailsOf(error: ProxyError): unknown[] {
  const details: unknown[] = [];
  if (error.quota !== null) {
    details.push({
      '@type': 'type.googleapis.com/google.rpc.QuotaFailure',
      violations: [violationOf(error.quota)],
    });
  }
  if (error.retryAfterMs !== null) {
    details.push({
      '@type': 'type.googleapis.com/google.rpc.RetryInfo',
      retryDelay: `${wholeSeconds(error.retryAfterMs)}s`,
    });
  }
  details.push({
    '@type': 'type.googleapis.com/google.rpc.ErrorInfo',
    reason: error.reason,
    domain: 'headgate',
    metadata: {
      ...(error.quota === null ? {} : { model: error.quota.model, policy: error.quota.policy }),
      ...(error.where === null ? {} : { where: error.where }),
      ...(error.retryAfterMs === null ? {} : { hint: hintOf(error.retryAfterMs) }),
    },
  });
  return details;
}

/**
 * LangChain (core 1.4) sees no headers through the SDK beneath it, takes details for part of the message,
 * and comes back after a 429 only where it finds these words with a time of up to a minute. A full
 * minute takes a little longer than that, so it is told to come early, and waits here for the rest.
 */
function hintOf(retryAfterMs: number): string {
  const hintMs = retryAfterMs <= RETRY_MS_MAX ? Math.min(retryAfterMs, HINT_MS_MAX) : retryAfterMs;
  return `try again in ${wholeSeconds(hintMs)}s`;
}

/** Clients tell a minute from a day by the quotaId alone, so it must be true. */
function violationOf(quota: QuotaViolation): unknown {
  const day = isDay(quota);
  const period = day ? 'Day' : 'Minute';
  const suffix = day ? '_per_day' : '';
  const names = {
    requests: [
      `generate_requests_per_model${suffix}`,
      `GenerateRequestsPer${period}PerProjectPerModel`,
    ],
    input_tokens: [
      'generate_content_paid_tier_input_token_count',
      `GenerateContentInputTokensPerModelPer${period}`,
    ],
    total_tokens: [
      'generate_content_total_token_count',
      `GenerateContentTotalTokensPerModelPer${period}`,
    ],
    usd: ['spend', `SpendPerProjectPerModelPer${period}`],
  } as const;
  const [metric, quotaId] = names[quota.unit];
  return {
    quotaMetric: METRIC_PREFIX + metric,
    quotaId,
    quotaDimensions: { location: 'global', model: quota.model },
    // Spend is limited in millionths of a dollar.
    quotaValue: String(quota.unit === 'usd' ? quota.limit / 1_000_000 : quota.limit),
  };
}

function isDay(quota: QuotaViolation): boolean {
  return quota.spanMs >= HALF_DAY_MS;
}

/** Rounded up: a client that comes back a moment early is refused again. */
function wholeSeconds(ms: number): number {
  return Math.max(0, Math.ceil(ms / 1000));
}
