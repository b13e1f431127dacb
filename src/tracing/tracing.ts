import { isDeepStrictEqual } from 'node:util';
import type { Clock, Timer } from '../clock.ts';
import type { ExchangeMarks, ExchangeRecord } from '../exchange/call.ts';
import { withoutSecrets } from '../gemini/secret-shapes.ts';
import { spansOf } from './exchange-spans.ts';
import type { Delivery, Otlp, OtlpOptions } from './otlp.ts';
import { type TraceParent, traceParentIn } from './trace-parent.ts';

export type TracingSettings = Omit<OtlpOptions, 'version'>;

export interface TracingOptions {
  readonly clock: Clock;
  readonly version: string;
  /** Null switches traces off. Asked by `apply`. */
  readonly settings: () => TracingSettings | null;
  readonly upstreamUrl: () => string;
  /** Every secret known now, for what clients may have written into names. */
  readonly secrets: () => readonly string[];
  readonly count: (result: 'sent' | 'dropped', calls: number) => void;
  readonly warn: (message: string) => void;
}

/** Traces of ended exchanges. Nothing that happens to them holds a call. */
export interface Tracing {
  /** Takes over the settings in force: at the start, and after each reload. */
  apply(): void;
  /** Keeps a counted exchange to be sent later: a look at its headers, and nothing while off. */
  note(record: ExchangeRecord, marks: ExchangeMarks): void;
  /** Sends what is left, for at most two seconds; drops the rest. */
  close(): Promise<void>;
}

/** An exchange that waits to be sent: a kilobyte or so. */
interface Ended {
  readonly record: ExchangeRecord;
  readonly modelVersion: string | null;
  readonly parent: TraceParent | null;
}

/** Spans are made and sent so long after their exchange, together with those of others. */
const GATHER_MS = 1_000;
/** In one request, of at most three spans each: below a megabyte, which collectors take. */
const BATCH_MAX = 256;
/** Most exchanges that wait for a slow or dead collector; those that come on top are dropped. */
const PENDING_MAX = 2_048;
/** A collector that is away is told of so often. */
const WARN_MS = 60_000;
/** A stop waits so long for the collector. */
const CLOSE_MS_MAX = 2_000;

export function createTracing(options: TracingOptions): Tracing {
  const { clock, version, count } = options;
  const pending: Ended[] = [];
  let settings: TracingSettings | null = null;
  let otlp: Promise<Otlp> | null = null;
  let timer: Timer | null = null;
  let sending: Promise<void> | null = null;
  let inFlight = 0;
  let warnedAtMs = -Infinity;
  let droppedUntold = 0;

  function drop(calls: number, cause: string): void {
    if (calls === 0) return;
    count('dropped', calls);
    droppedUntold += calls;
    const nowMs = clock.monotonicMs();
    if (nowMs - warnedAtMs < WARN_MS) return;
    warnedAtMs = nowMs;
    options.warn(
      `traces cannot be sent to ${settings?.url ?? 'the collector'}: ${cause}. ` +
        `Those of ${droppedUntold} calls are dropped, the calls themselves are not affected. ` +
        'Check tracing in the configuration, and whether the collector runs',
    );
    droppedUntold = 0;
  }

  function clean(text: string): string {
    const known = options.secrets().filter(({ length }) => length >= SECRET_LENGTH_MIN);
    return withoutSecrets(known.reduce((rest, key) => rest.replaceAll(key, '[redacted]'), text));
  }

  function tracedOf({ record, modelVersion, parent }: Ended) {
    const upstreamUrl = options.upstreamUrl();
    const named = {
      ...record,
      requestedModel: clean(record.requestedModel),
      model: clean(record.model),
      agent: clean(record.agent),
    };
    const version = modelVersion === null ? null : clean(modelVersion);
    return { spans: spansOf(named, { modelVersion: version, upstreamUrl }), parent };
  }

  async function sendBatch(batch: readonly Ended[]): Promise<void> {
    inFlight = batch.length;
    let delivery: Delivery;
    try {
      const sender = await otlp;
      if (sender === null) throw new Error('traces were switched off');
      delivery = await sender.send(batch.map(tracedOf));
    } catch (error) {
      const cause = error instanceof Error ? error : new Error('sending failed', { cause: error });
      delivery = { sampled: batch.length, error: cause };
    }
    // Where a stop has given it up, it has been counted.
    if (inFlight === 0) return;
    inFlight = 0;
    const { sampled, error } = delivery;
    if (error === null) count('sent', sampled);
    else drop(sampled, error.message === '' ? error.name : error.message);
  }

  async function sendAll(): Promise<void> {
    while (pending.length > 0) await sendBatch(pending.splice(0, BATCH_MAX));
  }

  function flush(): void {
    timer = null;
    sending ??= sendAll().finally(() => {
      sending = null;
      if (pending.length > 0) gather();
    });
  }

  function gather(): void {
    timer ??= clock.after(GATHER_MS, flush);
  }

  return {
    apply() {
      const wanted = options.settings();
      if (isDeepStrictEqual(wanted, settings)) return;
      if (wanted === null) drop(pending.splice(0).length, 'traces were switched off');
      settings = wanted;
      otlp = wanted === null ? null : load({ ...wanted, version });
    },
    note(record, { headers, modelVersion }) {
      if (settings === null || record.method === 'pass') return;
      if (pending.length >= PENDING_MAX) return drop(1, 'the collector is too slow');
      pending.push({ record, modelVersion, parent: traceParentIn(headers) });
      if (sending === null) gather();
    },
    async close() {
      timer?.cancel();
      flush();
      const { promise, timer: bound } = after(clock, CLOSE_MS_MAX);
      await Promise.race([sending, promise]);
      bound.cancel();
      const lost = pending.splice(0).length + inFlight;
      inFlight = 0;
      drop(lost, 'headgate stops, and the collector has not answered');
      settings = null;
      otlp = null;
    },
  };
}

/** Shorter "secrets" would black out ordinary words. */
const SECRET_LENGTH_MIN = 4;

function load(options: OtlpOptions): Promise<Otlp> {
  const opened = import('./otlp.ts').then(({ openOtlp }) => openOtlp(options));
  // Whoever sends is told.
  opened.catch(() => undefined);
  return opened;
}

function after(clock: Clock, delayMs: number): { promise: Promise<void>; timer: Timer } {
  let timer: Timer = { cancel: () => undefined };
  const promise = new Promise<void>((resolve) => {
    timer = clock.after(delayMs, resolve);
  });
  return { promise, timer };
}
