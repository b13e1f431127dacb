import type { Clock } from '../clock.ts';
import type { ExchangeRecord } from '../exchange/call.ts';
import type { DayView, TruthView } from '../http/views.ts';
import { GOOGLE_QUOTA_ZONE, periodEndMs } from '../quota/window.ts';
import type { SampleStore } from '../store/sample-store.ts';

const HOUR_MS = 3_600_000;
/** Restarts are told of so long. */
const RESTARTS_MS = 24 * HOUR_MS;

/** What this process has seen of how well headgate keeps what it promises. */
export class Truth {
  readonly #clock: Clock;
  readonly #samples: SampleStore;
  readonly #startedAtMs: number;
  #rejections = 0;
  #ratioSum = 0;
  #ratios = 0;

  constructor({ clock, samples }: { readonly clock: Clock; readonly samples: SampleStore }) {
    this.#clock = clock;
    this.#samples = samples;
    this.#startedAtMs = clock.wallMs();
  }

  /** Takes note of a counted exchange that has ended. */
  add({ usage, estimatedTokens }: ExchangeRecord): void {
    if (usage === null || usage.inputTokens === 0 || estimatedTokens === 0) return;
    this.#ratioSum += usage.inputTokens / estimatedTokens;
    this.#ratios += 1;
  }

  /** Takes note of a 429 of the upstream when it comes: its call may then wait for long. */
  addRejection(): void {
    this.#rejections += 1;
  }

  /** Reads the database. */
  view(): TruthView {
    const ratios = this.#ratios;
    return {
      upstream_rejections: this.#rejections,
      estimate_ratio:
        ratios === 0 ? null : { mean: rounded(this.#ratioSum / ratios), samples: ratios },
      restarts: this.#samples.restartsSince(this.#clock.wallMs() - RESTARTS_MS),
      started_at: new Date(this.#startedAtMs).toISOString(),
    };
  }
}

/** Writes down that a daemon has started. To be run in a transaction. */
export function noteStart(samples: SampleStore, wallMs: number): void {
  samples.noteStart(wallMs, wallMs - RESTARTS_MS);
}

/** The day of Google's quotas as it stands now, by the upstream's clock. */
export class QuotaDay {
  readonly #clock: Clock;
  #endMs = Number.NaN;
  #startMs = Number.NaN;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** `upstreamNowMs` is the upstream's present time; the instants shown are the machine's. */
  view(upstreamNowMs: number): DayView {
    const endMs = periodEndMs('day', GOOGLE_QUOTA_ZONE, upstreamNowMs);
    if (endMs !== this.#endMs) {
      // No day has more than 25 hours and none less than 23: 30 hours before its end it is yesterday.
      // Asked once a day, for it takes the place of today in what admission remembers.
      this.#startMs = periodEndMs('day', GOOGLE_QUOTA_ZONE, endMs - 30 * HOUR_MS);
      this.#endMs = endMs;
    }
    const wallMs = this.#clock.wallMs();
    // The upstream's clock is known to a second.
    const iso = (atMs: number) =>
      new Date(Math.round((wallMs + atMs - upstreamNowMs) / 1000) * 1000).toISOString();
    return {
      zone: GOOGLE_QUOTA_ZONE,
      started_at: iso(this.#startMs),
      resets_at: iso(endMs),
    };
  }
}

function rounded(ratio: number): number {
  return Math.round(ratio * 1000) / 1000;
}
