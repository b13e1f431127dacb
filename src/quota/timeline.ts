import type { Clock } from '../clock.ts';

/**
 * One time axis for everything the ledger stores: it looks like milliseconds since 1970, but it
 * advances with monotonic time, so a step of the wall clock neither opens a window nor locks it.
 *
 *   timeline = monotonic + base          within one boot; base is a row that all processes share
 *   timeline += time suspended           monotonic time stands still in suspend, quota does not
 *   upstream = timeline + upstreamOffset learned from the upstream's Date headers
 *
 * Across a reboot the wall clock bridges the gap, and never backwards.
 */
export interface TimelineAnchor {
  readonly bootId: string;
  /** timeline - monotonic, in ms, when nothing had been suspended beyond `suspendedMs`. */
  readonly baseMs: number;
  /** Time this boot had been suspended when the base was fixed, in ms. */
  readonly suspendedMs: number;
  /** Upstream's clock minus the timeline, in ms. */
  readonly upstreamOffsetMs: number;
  /** Where timeline and wall clock stood when the row was last touched, in ms. */
  readonly lastMs: number;
  readonly lastWallMs: number;
}

/** `os.uptime` is good to a second on some systems; a shorter suspend is not believed. */
const SUSPENDED_MS_MIN = 5_000;
/** Answers come from many machines: a smaller difference is not worth being written down. */
const UPSTREAM_OFFSET_STEP_MS = 100;

/** The anchor to work from now on, given the stored one (null for a new database). */
export function anchorTimeline(stored: TimelineAnchor | null, clock: Clock): TimelineAnchor {
  const wallMs = clock.wallMs();
  const monotonicMs = clock.monotonicMs();
  const suspendedMs = clock.suspendedMs();
  const bootId = clock.bootId();
  if (stored !== null && stored.bootId === bootId) return stored;
  const startMs =
    stored === null ? wallMs : stored.lastMs + Math.max(0, wallMs - stored.lastWallMs);
  return {
    bootId,
    baseMs: Math.floor(startMs - monotonicMs),
    suspendedMs,
    upstreamOffsetMs: Math.floor(wallMs - startMs),
    lastMs: Math.floor(startMs),
    lastWallMs: Math.floor(wallMs),
  };
}

/** Reads the timeline. Cheap: the time suspended is looked at only in `refresh`. */
export class Timeline {
  readonly #clock: Clock;
  #anchor: TimelineAnchor;
  #suspendedSinceMs = 0;

  constructor(anchor: TimelineAnchor, clock: Clock) {
    this.#anchor = anchor;
    this.#clock = clock;
    this.refresh(anchor);
  }

  /** Milliseconds on the timeline, whole, never stepping back while the anchor stands. */
  nowMs(): number {
    return Math.floor(this.#clock.monotonicMs() + this.#anchor.baseMs + this.#suspendedSinceMs);
  }

  /** Upstream's clock minus the timeline, in ms. */
  get upstreamOffsetMs(): number {
    return this.#anchor.upstreamOffsetMs;
  }

  /** The anchor with its `last` fields brought up to now, to be stored. */
  touched(): TimelineAnchor {
    return { ...this.#anchor, lastMs: this.nowMs(), lastWallMs: Math.floor(this.#clock.wallMs()) };
  }

  /** Takes over the stored anchor and looks whether the machine has slept. Call every few seconds. */
  refresh(anchor: TimelineAnchor): void {
    this.#anchor = anchor;
    const sinceMs = this.#clock.suspendedMs() - anchor.suspendedMs;
    if (sinceMs >= SUSPENDED_MS_MIN) {
      this.#suspendedSinceMs = Math.max(this.#suspendedSinceMs, Math.floor(sinceMs));
    }
  }
}

/**
 * The offset after an answer said `dateMs` (whole seconds), having been asked at `sentAtMs` and
 * read at `receivedAtMs` on the timeline. Keeps the old offset while it is consistent with them,
 * else takes the nearest one that is, so that a few answers narrow it down to far less than the
 * second that one header tells.
 */
export function observeUpstreamDate(
  offsetMs: number,
  { dateMs, sentAtMs, receivedAtMs }: { dateMs: number; sentAtMs: number; receivedAtMs: number },
): number {
  // The upstream's clock stood in [dateMs, dateMs + 1000) somewhere between the two instants.
  const lowestMs = dateMs - receivedAtMs;
  const highestMs = dateMs + 1000 - sentAtMs;
  const nearestMs = Math.min(Math.max(offsetMs, lowestMs), highestMs);
  return Math.abs(nearestMs - offsetMs) < UPSTREAM_OFFSET_STEP_MS ? offsetMs : nearestMs;
}
