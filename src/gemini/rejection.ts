import { asArray, asObject, asString, parseJson } from './json-value.ts';
import type { JsonObject } from './json-value.ts';

/** One quota that a 429 says is used up. */
export interface RejectedQuota {
  readonly unit: 'requests' | 'input_tokens';
  readonly period: 'minute' | 'day';
  /** The project's true limit; null where the answer does not tell. */
  readonly limit: number | null;
  /** Google's name of the bucket, which may differ from the model's id; null where not told. */
  readonly model: string | null;
}

/** What an upstream 429 means. */
export interface Rejection {
  /**
   * `minute` and `day` are spent quotas; `exhausted` is a throttle without detail; `billing` and
   * `zero_limit` do not pass by waiting.
   */
  readonly kind: 'minute' | 'day' | 'exhausted' | 'billing' | 'zero_limit';
  readonly quotas: readonly RejectedQuota[];
  /**
   * When to come back, ms from now, with a second added because the field is truncated to whole
   * seconds; null where nothing told. Of a day quota it is often only the rest of the minute: never
   * trust it to be long enough.
   */
  readonly retryDelayMs: number | null;
  /** The upstream's sentence, at most 500 characters. */
  readonly message: string;
  /** What was spent, from a small set: `minute requests`, `day tokens`, `exhausted`, ... */
  readonly label: string;
}

const MESSAGE_CHARS_MAX = 500;
const MINUTE_MS = 60_000;
const TRUNCATION_MS = 1_000;
/** A minute quota never asks for longer than this; prose that does speaks of a day. */
const DAY_DELAY_MS_MIN = 3_600_000;

const BILLING =
  /prepa(?:id|yment) credits? (?:are|is|have been) depleted|credits? (?:are|is) depleted|exceeded its [a-z ]*spending cap|monthly spending cap/i;
const ZERO_LIMIT = /\blimit: ?0(?!\d|[.,]\d)/;

/**
 * Reads the body of a 429, bare or wrapped in an array, or the text of an error inside a stream.
 * Exact quotaIds change with tier and year, so it goes by what they contain. Never throws; a body that
 * is not Google's is `exhausted`. `nowUpstreamMs` (ms since 1970 on the upstream's clock) serves for
 * minute quotas without a delay: they are counted from one full UTC minute to the next.
 */
export function classifyRejection(body: Buffer | string, nowUpstreamMs: number): Rejection {
  const text = typeof body === 'string' ? body : body.toString('utf8');
  const error = errorOf(parseJson(text));
  const message = asString(error?.['message']) ?? text;
  const details = asArray(error?.['details'])
    .map(asObject)
    .filter((detail) => detail !== null);
  const delayMs = delayOf(details, message);
  const violations = details.flatMap(violationsOf);
  const quotas =
    violations.length > 0
      ? violations.map((violation) => quotaOf(violation, message))
      : quotasOfProse(message, delayMs);
  const kind = kindOf(quotas, message);
  return {
    kind,
    quotas,
    retryDelayMs: delayMs ?? (kind === 'minute' ? msToNextMinute(nowUpstreamMs) : null),
    message: message.slice(0, MESSAGE_CHARS_MAX),
    label: labelOf(kind, quotas),
  };
}

function errorOf(parsed: unknown): JsonObject | null {
  const outer = Array.isArray(parsed)
    ? asObject(parsed.find((element) => asObject(element)?.['error'] !== undefined))
    : asObject(parsed);
  return asObject(outer?.['error']) ?? outer;
}

function kindOf(quotas: readonly RejectedQuota[], message: string): Rejection['kind'] {
  if (BILLING.test(message)) return 'billing';
  if (quotas.some((quota) => quota.limit === 0) || ZERO_LIMIT.test(message)) return 'zero_limit';
  if (quotas.some((quota) => quota.period === 'day')) return 'day';
  return quotas.length > 0 ? 'minute' : 'exhausted';
}

function labelOf(kind: Rejection['kind'], quotas: readonly RejectedQuota[]): string {
  if (kind !== 'minute' && kind !== 'day') return kind;
  const quota = quotas.find(({ period }) => period === kind);
  return `${kind} ${quota?.unit === 'input_tokens' ? 'tokens' : 'requests'}`;
}

/** What QuotaFailure names, or ErrorInfo of the older form. */
function violationsOf(detail: JsonObject): JsonObject[] {
  const violations = asArray(detail['violations'])
    .map(asObject)
    .filter((violation) => violation !== null);
  if (violations.length > 0) return violations;
  const metadata = asObject(detail['metadata']);
  const quotaId = asString(metadata?.['quota_limit']);
  if (metadata === null || quotaId === null) return [];
  return [
    {
      quotaId,
      quotaMetric: metadata['quota_metric'],
      quotaValue: metadata['quota_limit_value'],
    },
  ];
}

function quotaOf(violation: JsonObject, message: string): RejectedQuota {
  const metric = asString(violation['quotaMetric']) ?? '';
  const names = `${asString(violation['quotaId']) ?? ''} ${metric}`;
  const value = wholeNumber(violation['quotaValue']);
  const line =
    value === null ? proseQuotas(message).find((each) => sameMetric(each, metric)) : null;
  return {
    ...unitAndPeriod(names),
    limit: value ?? line?.limit ?? null,
    model: asString(asObject(violation['quotaDimensions'])?.['model']) ?? line?.model ?? null,
  };
}

function quotasOfProse(message: string, delayMs: number | null): RejectedQuota[] {
  return proseQuotas(message).map(({ metric, limit, model }) => {
    const { unit, period } = unitAndPeriod(metric);
    const isDay = period === 'day' || (delayMs ?? 0) >= DAY_DELAY_MS_MIN;
    return { unit, period: isDay ? 'day' : 'minute', limit, model };
  });
}

interface ProseQuota {
  readonly metric: string;
  readonly limit: number | null;
  readonly model: string | null;
}

/** "Quota exceeded for metric: M, limit: N, model: X", once per violation. */
function proseQuotas(message: string): ProseQuota[] {
  const lines = message.matchAll(
    /exceeded for (?:quota )?metric:? '?([\w./-]+)'?(?:[^\n]*?\blimit:? ?(\d+))?(?:,? model: ([\w.-]+))?/gi,
  );
  return [...lines].map(([, metric = '', limit, model]) => ({
    metric,
    limit: limit === undefined ? null : Number(limit),
    model: model ?? null,
  }));
}

function sameMetric(line: ProseQuota, metric: string): boolean {
  return metric !== '' && line.metric === metric;
}

function unitAndPeriod(names: string): Pick<RejectedQuota, 'unit' | 'period'> {
  return {
    unit: /Tokens|token_count/.test(names) ? 'input_tokens' : 'requests',
    period: /PerDay|_per_day|Daily/i.test(names) ? 'day' : 'minute',
  };
}

function wholeNumber(value: unknown): number | null {
  const number = typeof value === 'string' && value.trim() !== '' ? Number(value) : value;
  return typeof number === 'number' && Number.isSafeInteger(number) && number >= 0 ? number : null;
}

/** RetryInfo, else "Please retry in 36.4s" or Go's "9h23m44.7s". */
function delayOf(details: readonly JsonObject[], message: string): number | null {
  for (const detail of details) {
    const ms = durationMs(asString(detail['retryDelay']) ?? '');
    if (ms !== null) return ms + TRUNCATION_MS;
  }
  const prose = /retry (?:in|after) ([\dhms.]*\d(?:ms|[hms]))/i.exec(message)?.[1];
  const ms = prose === undefined ? null : durationMs(prose);
  return ms === null ? null : ms + TRUNCATION_MS;
}

function durationMs(duration: string): number | null {
  const milliseconds = /^(\d+(?:\.\d+)?)ms$/.exec(duration);
  if (milliseconds !== null) return Math.ceil(Number(milliseconds[1]));
  const match = /^(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,9}(?:\.\d+)?)s)?$/.exec(duration);
  if (match === null || duration === '') return null;
  const [, hours = '0', minutes = '0', seconds = '0'] = match;
  return Math.ceil((Number(hours) * 3600 + Number(minutes) * 60 + Number(seconds)) * 1000);
}

function msToNextMinute(nowMs: number): number {
  return (Math.floor(nowMs / MINUTE_MS) + 1) * MINUTE_MS - nowMs + TRUNCATION_MS;
}
