/**
 * Units of synchronous work before other work may go on. A unit is a log compared with the disk,
 * about 35 µs; reading a log counts as all of them. Work is counted and not timed, because the
 * clock is not this folder's to read.
 */
const UNITS_BETWEEN_RESTS = 200;

/** Divides a listing of many logs into slices of a few ms. */
export class Pace {
  readonly #yieldNow: () => Promise<void>;
  #units = 0;

  /** `yieldNow` lets everything go on that waits. Default setImmediate. */
  constructor(yieldNow: (() => Promise<void>) | undefined) {
    this.#yieldNow = yieldNow ?? (() => new Promise((go) => setImmediate(go)));
  }

  /** Counts a log that was compared. Whether it is time to rest. */
  compared(): boolean {
    return ++this.#units >= UNITS_BETWEEN_RESTS;
  }

  /** Counts a log that was read whole. */
  read(): void {
    this.#units = UNITS_BETWEEN_RESTS;
  }

  async rest(): Promise<void> {
    this.#units = 0;
    await this.#yieldNow();
  }
}
