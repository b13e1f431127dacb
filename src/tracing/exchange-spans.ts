import type { ExchangeRecord } from '../exchange/call.ts';

/** What a span says of its call: no key, no prompt, no answer. */
export type SpanAttributes = Readonly<Record<string, string | number | boolean | string[]>>;

/** A stretch of time in an exchange, ready to be sent. */
export interface SpanDraft {
  readonly name: string;
  readonly kind: 'client' | 'internal';
  /** ms since 1970 UTC, with a fraction. */
  readonly startMs: number;
  readonly endMs: number;
  readonly isError: boolean;
  readonly attributes: SpanAttributes;
  readonly events: readonly { readonly name: string; readonly atMs: number }[];
}

/** One exchange: a span, and what it consists of. */
export interface ExchangeSpans {
  readonly whole: SpanDraft;
  readonly parts: readonly SpanDraft[];
}

/** What the record does not know of its call. */
export interface SpanSurroundings {
  /** The model's name as the answer told it; null where it told none. */
  readonly modelVersion: string | null;
  readonly upstreamUrl: string;
}

/** A shorter wait is what it takes to pass through the queue. */
const WAIT_MS_MIN = 1;

/**
 * The spans of an ended exchange, named as the semantic conventions for generative AI name a call to
 * a model (https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/). They ask for the kind
 * CLIENT, also of one who calls for somebody else.
 *
 * A record knows how long waiting and upstream took in all, not when: the parts are laid before the
 * end, the upstream last. Only where a 429 was waited out did they take turns.
 */
export function spansOf(record: ExchangeRecord, surroundings: SpanSurroundings): ExchangeSpans {
  const { startedWallMs: startMs, durationMs, queuedMs, upstreamMs, requestedModel } = record;
  const operation = OPERATIONS[record.method] ?? 'generate_content';
  const endMs = startMs + durationMs;
  const sentMs = Math.max(startMs, endMs - upstreamMs);
  const errorType = errorTypeOf(record);
  const parts: SpanDraft[] = [];
  if (queuedMs >= WAIT_MS_MIN) {
    parts.push({
      name: 'headgate.queue',
      kind: 'internal',
      startMs: Math.max(startMs, sentMs - queuedMs),
      endMs: sentMs,
      isError: false,
      attributes: known({ 'headgate.wait_reason': record.waitReason }),
      events: [],
    });
  }
  if (upstreamMs > 0) parts.push(upstreamSpan(record, surroundings, { sentMs, endMs }));
  return {
    whole: {
      name: requestedModel === '' ? operation : `${operation} ${requestedModel}`,
      kind: 'client',
      startMs,
      endMs,
      isError: errorType !== null,
      attributes: known({
        'gen_ai.operation.name': operation,
        'error.type': errorType,
        ...modelAttributes(record, surroundings),
        ...ownAttributes(record),
      }),
      events: [],
    },
    parts,
  };
}

/** What no other operation's name fits is a name of our own, as the conventions allow. */
const OPERATIONS: Readonly<Record<string, string>> = {
  embedContent: 'embeddings',
  batchEmbedContents: 'embeddings',
  embeddings: 'embeddings',
  'chat.completions': 'chat',
  live: 'live',
};

const ANSWERED: ReadonlySet<string> = new Set(['ok', 'upstream_error', 'upstream_rejected']);

/** Of low cardinality: our reason, the upstream's status, or how it ended. */
function errorTypeOf({ outcome, reason, status }: ExchangeRecord): string | null {
  if (outcome === 'ok') return null;
  if (ANSWERED.has(outcome)) return status < 400 ? outcome : String(status);
  return reason ?? outcome;
}

function modelAttributes(record: ExchangeRecord, { modelVersion, upstreamUrl }: SpanSurroundings) {
  const { usage } = record;
  return {
    'gen_ai.provider.name': 'gcp.gemini',
    'gen_ai.request.model': record.requestedModel === '' ? null : record.requestedModel,
    'gen_ai.request.stream': record.method === 'streamGenerateContent' ? true : null,
    'gen_ai.response.model': modelVersion,
    'gen_ai.usage.input_tokens': usage?.inputTokens ?? null,
    'gen_ai.usage.output_tokens': usage?.outputTokens ?? null,
    'gen_ai.usage.reasoning.output_tokens': usage?.thoughtTokens ?? null,
    'gen_ai.usage.cache_read.input_tokens': usage?.cachedTokens ?? null,
    'http.response.status_code': record.status === 0 ? null : record.status,
    ...serverAttributes(upstreamUrl),
  };
}

function ownAttributes(record: ExchangeRecord) {
  const { rejections } = record;
  return {
    'headgate.request_id': record.requestId,
    'headgate.project': record.project,
    // A call that was refused before its client was looked at has none.
    'headgate.agent': record.agent === '' ? null : record.agent,
    'headgate.method': record.method,
    // What the call is counted as, where an alias was asked for.
    'headgate.model': record.model,
    'headgate.outcome': record.outcome,
    'headgate.refusal_reason': record.outcome === 'refused' ? record.reason : null,
    'headgate.queued_ms': round(record.queuedMs),
    'headgate.wait_reason': record.waitReason,
    'headgate.upstream_ms': round(record.upstreamMs),
    'headgate.overhead_ms': round(record.overheadMs),
    'headgate.estimated_tokens': record.estimatedTokens,
    'headgate.cost_usd': record.usdMicros / 1_000_000,
    'headgate.attempt': record.attempt,
    'headgate.resends': record.resends,
    'headgate.upstream_rejections': rejections.length === 0 ? null : [...rejections],
  };
}

function upstreamSpan(
  record: ExchangeRecord,
  { upstreamUrl }: SpanSurroundings,
  { sentMs, endMs }: { readonly sentMs: number; readonly endMs: number },
): SpanDraft {
  const { upstreamFirstByteMs: firstByteMs, outcome, status, resends } = record;
  const isAnswered = ANSWERED.has(outcome);
  const errorType = errorTypeOf(record);
  // The first byte is told of the last sending, the time upstream of all.
  const firstByte =
    firstByteMs === null || resends > 0
      ? []
      : [{ name: 'first byte', atMs: Math.min(endMs, sentMs + firstByteMs) }];
  return {
    name: 'headgate.upstream',
    kind: 'internal',
    startMs: sentMs,
    endMs,
    isError: errorType !== null,
    attributes: known({
      'http.response.status_code': isAnswered && status > 0 ? status : null,
      'error.type': errorType,
      ...serverAttributes(upstreamUrl),
    }),
    events: firstByte,
  };
}

function serverAttributes(upstreamUrl: string) {
  const { hostname, port, protocol } = new URL(upstreamUrl);
  const usual = protocol === 'https:' ? 443 : 80;
  return { 'server.address': hostname, 'server.port': port === '' ? usual : Number(port) };
}

/** Without what is not known: an absent attribute says so, null would not be sent. */
function known(
  attributes: Readonly<Record<string, string | number | boolean | string[] | null>>,
): SpanAttributes {
  const entries = Object.entries(attributes).flatMap(([name, value]) =>
    value === null ? [] : [[name, value] as const],
  );
  return Object.fromEntries(entries);
}

/** To the microsecond. */
function round(ms: number): number {
  return Math.round(ms * 1000) / 1000;
}
