import type { Clock, Timer } from '../clock.ts';
import type { ExchangeRecord } from '../exchange/call.ts';
import type { HistoryQuery } from '../http/page-control.ts';
import type { HistoryView, SamplePoint } from '../http/views.ts';
import type { Partition } from '../quota/policy.ts';
import type { SampleRow, SampleStore, SampleSum } from '../store/sample-store.ts';

const MINUTE_MS = 60_000;
const USD_MICROS = 1_000_000;

/** A day, and the quarter of an hour that has begun, with room for a clock that is set. */
const SAMPLES_KEPT_MS = 25 * 3_600_000;

/**
 * Names of models come from callers: what more there are in a minute is added up under `other`, so
 * that nobody can fill the database with names.
 */
const PARTITIONS_PER_MINUTE_MAX = 100;

/** Steps and their length. Each span's steps lie on whole multiples of their length. */
const SPANS = {
  hour: { steps: 60, stepMs: MINUTE_MS },
  day: { steps: 96, stepMs: 15 * MINUTE_MS },
} as const;

export interface MinuteSamplesOptions {
  readonly clock: Clock;
  readonly samples: SampleStore;
  /** Runs database work soon. */
  readonly note: (write: () => void) => void;
  /** Does now what `note` has put off. */
  readonly flush: () => void;
  /** A minute has passed, with this in it. */
  readonly closed: (point: SamplePoint) => void;
}

type Sum = { -readonly [Key in keyof SampleSum]: SampleSum[Key] };
type Row = { -readonly [Key in keyof SampleRow]: SampleRow[Key] };

/** Counted exchanges, summed by the minute in which they end, and written down when it is over. */
export class MinuteSamples {
  readonly #options: MinuteSamplesOptions;
  #openedAtMs: number;
  #rows = new Map<string, Row>();
  #timer: Timer | null = null;

  constructor(options: MinuteSamplesOptions) {
    this.#options = options;
    this.#openedAtMs = minuteOf(options.clock.wallMs());
    this.#closeLater();
  }

  add(record: ExchangeRecord): void {
    this.#closeIfOver();
    const row = this.#rowOf(record.project, record.model);
    row.requests += 1;
    row.inputTokens += record.usage?.inputTokens ?? 0;
    row.outputTokens += record.usage?.outputTokens ?? 0;
    if (record.waitReason !== null) {
      const waitMs = Math.round(record.queuedMs);
      row.waited += 1;
      row.waitMsSum += waitMs;
      row.waitMsMax = Math.max(row.waitMsMax, waitMs);
    }
    if (record.outcome === 'refused') row.refusals += 1;
    row.usdMicros += Math.round(record.usdMicros);
  }

  addRejection({ project, model }: Partition): void {
    this.#closeIfOver();
    this.#rowOf(project, model).upstreamRejections += 1;
  }

  history({ span, model, project }: HistoryQuery): HistoryView {
    const { clock, samples, flush } = this.#options;
    this.#closeIfOver();
    flush();
    const { steps, stepMs } = SPANS[span];
    const lastMs = Math.floor(clock.wallMs() / stepMs) * stepMs;
    const fromMs = lastMs - (steps - 1) * stepMs;
    const sums = Array.from({ length: steps }, (_, step) => emptySum(fromMs + step * stepMs));
    const open = [...this.#rows.values()].filter(
      (row) =>
        (model === null || row.model === model) && (project === null || row.project === project),
    );
    for (const part of [...samples.read({ fromMs, stepMs, steps, model, project }), ...open]) {
      // What was written before the clock was set back lies in the future, and is not shown yet.
      const sum = sums[Math.floor((part.atMs - fromMs) / stepMs)];
      if (sum !== undefined) addTo(sum, part);
    }
    return { span, step_ms: stepMs, points: sums.map(pointOf) };
  }

  /** Writes down what the open minute has so far. */
  write(): void {
    const { clock, note, samples } = this.#options;
    const rows = [...this.#rows.values()];
    this.#rows = new Map();
    if (rows.length === 0) return;
    const keepFromMs = clock.wallMs() - SAMPLES_KEPT_MS;
    note(() => {
      samples.add(rows);
      samples.prune(keepFromMs);
    });
  }

  close(): void {
    this.#timer?.cancel();
  }

  #rowOf(project: string, requestedModel: string): Row {
    const isKnown = this.#rows.has(`${project}\n${requestedModel}`);
    const isFull = this.#rows.size >= PARTITIONS_PER_MINUTE_MAX;
    const model = isFull && !isKnown ? 'other' : requestedModel;
    const key = `${project}\n${model}`;
    let row = this.#rows.get(key);
    if (row === undefined) {
      row = { project, model, ...emptySum(this.#openedAtMs) };
      this.#rows.set(key, row);
    }
    return row;
  }

  /** Also when the clock has been set back: an open minute never takes what is not of it. */
  #closeIfOver(): void {
    const minute = minuteOf(this.#options.clock.wallMs());
    if (minute === this.#openedAtMs) return;
    const sum = emptySum(this.#openedAtMs);
    for (const row of this.#rows.values()) addTo(sum, row);
    this.write();
    this.#openedAtMs = minute;
    this.#options.closed(pointOf(sum));
  }

  #closeLater(): void {
    const { clock } = this.#options;
    const wallMs = clock.wallMs();
    this.#timer = clock.after(minuteOf(wallMs) + MINUTE_MS - wallMs, () => {
      this.#closeIfOver();
      this.#closeLater();
    });
  }
}

function minuteOf(wallMs: number): number {
  return Math.floor(wallMs / MINUTE_MS) * MINUTE_MS;
}

function emptySum(atMs: number): Sum {
  return {
    atMs,
    requests: 0,
    inputTokens: 0,
    outputTokens: 0,
    waited: 0,
    waitMsMax: 0,
    waitMsSum: 0,
    refusals: 0,
    upstreamRejections: 0,
    usdMicros: 0,
  };
}

function addTo(sum: Sum, part: SampleSum): void {
  sum.requests += part.requests;
  sum.inputTokens += part.inputTokens;
  sum.outputTokens += part.outputTokens;
  sum.waited += part.waited;
  sum.waitMsMax = Math.max(sum.waitMsMax, part.waitMsMax);
  sum.waitMsSum += part.waitMsSum;
  sum.refusals += part.refusals;
  sum.upstreamRejections += part.upstreamRejections;
  sum.usdMicros += part.usdMicros;
}

function pointOf(sum: SampleSum): SamplePoint {
  return {
    at: new Date(sum.atMs).toISOString(),
    requests: sum.requests,
    input_tokens: sum.inputTokens,
    output_tokens: sum.outputTokens,
    waited: sum.waited,
    wait_ms_max: sum.waitMsMax,
    wait_ms_mean: sum.waited === 0 ? 0 : Math.round(sum.waitMsSum / sum.waited),
    refusals: sum.refusals,
    upstream_rejections: sum.upstreamRejections,
    usd: sum.usdMicros / USD_MICROS,
  };
}
