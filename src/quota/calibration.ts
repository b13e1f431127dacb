/**
 * How far token estimates are from the truth, per model and kind of client. From the ratios of
 * actual to estimated tokens it keeps a moving average, which corrects the estimate, and a
 * histogram, whose 99th percentile becomes the ceiling that is held until the answer tells.
 */

/** Before that many samples, the ceiling is the size of the text in bytes: never too low. */
export const CALIBRATION_SAMPLES_MIN = 200;

/** Weight of a new ratio in the moving average. */
const AVERAGE_WEIGHT = 0.05;
/** Ratios are sorted into classes this factor wide, so a percentile is at most 2 % too high. */
const CLASS_WIDTH = 1.02;
const RATIO_MIN = 0.02;
const RATIO_MAX = 50;
/** Above this the counts are halved, so that old samples fade. */
const SAMPLES_MAX = 2_000;
/** Different models and clients remembered; the rest share one entry. */
const ENTRIES_MAX = 500;
const PERCENTILE = 0.99;

export interface CalibrationRow {
  readonly model: string;
  readonly client: string;
  readonly ratioAverage: number;
  readonly sampleCount: number;
  /** Counts per ratio class. */
  readonly histogram: ReadonlyMap<number, number>;
}

interface Entry {
  readonly model: string;
  readonly client: string;
  average: number;
  samples: number;
  readonly histogram: Map<number, number>;
  /** Cached percentile; null after a new sample. */
  percentile: number | null;
  changed: boolean;
}

export interface TokenEstimate {
  /** What the call is expected to take, margin included. */
  readonly expected: number;
  /** What it is believed to take at most. */
  readonly ceiling: number;
}

export class Calibration {
  readonly #entries = new Map<string, Entry>();

  constructor(rows: readonly CalibrationRow[]) {
    for (const row of rows) {
      this.#entries.set(keyOf(row.model, row.client), {
        model: row.model,
        client: row.client,
        average: row.ratioAverage,
        samples: row.sampleCount,
        histogram: new Map(row.histogram),
        percentile: null,
        changed: false,
      });
    }
  }

  /**
   * Corrects a raw estimate. `bytesMax` is the count that cannot be exceeded (one token per byte of
   * text); `margin` multiplies expectation and ceiling alike, default 1.1.
   */
  correct(
    { model, client }: { model: string; client: string },
    { estimate, bytesMax, margin }: { estimate: number; bytesMax: number; margin: number },
  ): TokenEstimate {
    const entry = this.#entries.get(keyOf(model, client));
    const most = Math.max(1, Math.ceil(bytesMax));
    const expected = Math.min(most, Math.ceil(estimate * (entry?.average ?? 1) * margin));
    if (entry === undefined || entry.samples < CALIBRATION_SAMPLES_MIN) {
      return { expected, ceiling: most };
    }
    const ceiling = Math.min(most, Math.ceil(estimate * percentileOf(entry) * margin));
    return { expected: Math.min(expected, ceiling), ceiling };
  }

  /** Takes in what the upstream counted for a call that was estimated at `estimate` (uncorrected). */
  observe(
    { model, client }: { model: string; client: string },
    { estimate, actual }: { estimate: number; actual: number },
  ): void {
    if (estimate <= 0 || actual <= 0) return;
    const ratio = Math.min(Math.max(actual / estimate, RATIO_MIN), RATIO_MAX);
    const entry = this.#entryFor(model, client);
    const weight = Math.max(AVERAGE_WEIGHT, 1 / (entry.samples + 1));
    entry.average += weight * (ratio - entry.average);
    entry.samples += 1;
    const ratioClass = Math.ceil(Math.log(ratio) / Math.log(CLASS_WIDTH));
    entry.histogram.set(ratioClass, (entry.histogram.get(ratioClass) ?? 0) + 1);
    if (entry.samples > SAMPLES_MAX) halve(entry);
    entry.percentile = null;
    entry.changed = true;
  }

  /** The entries changed since the last call, to be stored. */
  takeChanged(): CalibrationRow[] {
    const changed = [...this.#entries.values()].filter((entry) => entry.changed);
    for (const entry of changed) entry.changed = false;
    return changed.map(({ model, client, average, samples, histogram }) => ({
      model,
      client,
      ratioAverage: average,
      sampleCount: samples,
      histogram,
    }));
  }

  #entryFor(model: string, client: string): Entry {
    const key = keyOf(model, client);
    const known = this.#entries.get(key);
    if (known !== undefined) return known;
    if (this.#entries.size >= ENTRIES_MAX && model !== 'other') {
      return this.#entryFor('other', 'other');
    }
    const entry: Entry = {
      model,
      client,
      average: 1,
      samples: 0,
      histogram: new Map(),
      percentile: null,
      changed: false,
    };
    this.#entries.set(key, entry);
    return entry;
  }
}

function keyOf(model: string, client: string): string {
  return `${model}\n${client}`;
}

function halve(entry: Entry): void {
  let samples = 0;
  for (const [ratioClass, samplesOf] of entry.histogram) {
    const half = Math.floor(samplesOf / 2);
    if (half === 0) entry.histogram.delete(ratioClass);
    else entry.histogram.set(ratioClass, half);
    samples += half;
  }
  entry.samples = samples;
}

/** The upper edge of the class that the 99th percentile falls into. */
function percentileOf(entry: Entry): number {
  if (entry.percentile === null) {
    let remaining = Math.floor(entry.samples * (1 - PERCENTILE));
    const classes = [...entry.histogram.keys()].toSorted((a, b) => b - a);
    let found = classes[0] ?? 0;
    for (const ratioClass of classes) {
      found = ratioClass;
      remaining -= entry.histogram.get(ratioClass) ?? 0;
      if (remaining < 0) break;
    }
    entry.percentile = CLASS_WIDTH ** found;
  }
  return entry.percentile;
}
