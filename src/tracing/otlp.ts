import {
  type Context,
  createTraceState,
  type HrTime,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  trace,
} from '@opentelemetry/api';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { defaultResource, resourceFromAttributes } from '@opentelemetry/resources';
import {
  BasicTracerProvider,
  ParentBasedSampler,
  type ReadableSpan,
  type SpanProcessor,
  TraceIdRatioBasedSampler,
} from '@opentelemetry/sdk-trace-base';

import type { ExchangeSpans, SpanDraft } from './exchange-spans.ts';
import type { TraceParent } from './trace-parent.ts';

/** Where spans go, and as whose. */
export interface OtlpOptions {
  /** The whole URL of the collector's traces. */
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  /** In [0, 1]; a client's trace decides for itself. */
  readonly sampleRatio: number;
  readonly serviceName: string;
  readonly version: string;
}

/** The spans of one exchange and the trace that they belong to. */
export interface TracedExchange {
  readonly spans: ExchangeSpans;
  readonly parent: TraceParent | null;
}

export interface Otlp {
  /**
   * Sends the spans of those exchanges that the sampler takes, in one request, which is tried again
   * for some seconds where that can help. Never throws.
   */
  send(exchanges: readonly TracedExchange[]): Promise<Delivery>;
}

export interface Delivery {
  /** Exchanges that the sampler took. */
  readonly sampled: number;
  /** Why the collector has not got them; null when it has. */
  readonly error: Error | null;
}

/** A request to the collector is given up, with all its repeats, after this. */
const EXPORT_MS_MAX = 5_000;
/** Values are cut: names that clients choose may be long. */
const VALUE_LENGTH_MAX = 512;

/** The adapter of OpenTelemetry. Imported only where traces are wanted: it takes a while to load. */
export function openOtlp(options: OtlpOptions): Otlp {
  const { url, sampleRatio, serviceName, version } = options;
  const ended: ReadableSpan[] = [];
  const collect: SpanProcessor = {
    onStart: () => undefined,
    onEnd: (span) => void ended.push(span),
    forceFlush: () => Promise.resolve(),
    shutdown: () => Promise.resolve(),
  };
  const provider = new BasicTracerProvider({
    resource: defaultResource().merge(
      resourceFromAttributes({ 'service.name': serviceName, 'service.version': version }),
    ),
    sampler: new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(sampleRatio) }),
    spanLimits: { attributeValueLengthLimit: VALUE_LENGTH_MAX },
    spanProcessors: [collect],
  });
  const tracer = provider.getTracer('headgate', version);
  const headers = { ...options.headers };
  const exporter = new OTLPTraceExporter({ url, headers, timeoutMillis: EXPORT_MS_MAX });

  /** Whether the sampler took it. */
  function add({ spans, parent }: TracedExchange): boolean {
    const whole = start(spans.whole, contextOf(parent));
    const isTaken = whole.isRecording();
    if (isTaken) {
      const inside = trace.setSpan(ROOT_CONTEXT, whole);
      for (const part of spans.parts) finish(start(part, inside), part);
    }
    finish(whole, spans.whole);
    return isTaken;
  }

  function start({ name, kind, startMs, attributes }: SpanDraft, context: Context) {
    return tracer.startSpan(
      name,
      {
        kind: kind === 'client' ? SpanKind.CLIENT : SpanKind.INTERNAL,
        startTime: hrTime(startMs),
        attributes: { ...attributes },
      },
      context,
    );
  }

  return {
    async send(exchanges) {
      ended.length = 0;
      const sampled = exchanges.filter(add).length;
      const batch = ended.splice(0);
      if (batch.length === 0) return { sampled, error: null };
      return new Promise((resolve) => {
        // A failure always brings its error.
        exporter.export(batch, ({ error = null }) => resolve({ sampled, error }));
      });
    },
  };
}

function finish(span: Span, draft: SpanDraft): void {
  for (const { name, atMs } of draft.events) span.addEvent(name, hrTime(atMs));
  if (draft.isError) span.setStatus({ code: SpanStatusCode.ERROR });
  span.end(hrTime(draft.endMs));
}

function contextOf(parent: TraceParent | null): Context {
  if (parent === null) return ROOT_CONTEXT;
  const { traceId, spanId, flags, state } = parent;
  return trace.setSpanContext(ROOT_CONTEXT, {
    traceId,
    spanId,
    traceFlags: flags,
    isRemote: true,
    ...(state === null ? {} : { traceState: createTraceState(state) }),
  });
}

/** Seconds and nanoseconds: the library takes a small number for time since the process began. */
function hrTime(ms: number): HrTime {
  const micros = Math.round(ms * 1000);
  return [Math.floor(micros / 1_000_000), (micros % 1_000_000) * 1000];
}
