import { ProxyError } from '../errors.ts';

/** As long as the queue asks for when it is full. */
const RETRY_AFTER_MS = 10_000;

/** What one body holds of the memory for all. */
export interface HeldShare {
  /** Takes it to `bytes`; the refusal when there is no room for so many. Never shrinks. */
  grow(bytes: number): ProxyError | null;
  /** Gives everything back, once and for all: nothing is taken after it. */
  close(): void;
}

/**
 * The memory that bodies of counted calls take, from their first byte to the end of their answer: a
 * call may have to be sent again until then. Bounded by `queue.max_bytes`, which the queue itself
 * only holds against calls that wait. One body alone is let in whatever its size: it could never
 * pass otherwise.
 */
export class HeldBytes {
  readonly #bytesMax: () => number;
  #bytes = 0;

  /** Asked at every growth, so that a reload takes effect at once. */
  constructor(bytesMax: () => number) {
    this.#bytesMax = bytesMax;
  }

  open(): HeldShare {
    let own = 0;
    let isClosed = false;
    return {
      grow: (bytes) => {
        const others = this.#bytes - own;
        // Taken after the end it would never be given back.
        if (isClosed || bytes <= own) return null;
        if (others > 0 && others + bytes > this.#bytesMax()) return this.#full(others);
        this.#bytes = others + bytes;
        own = bytes;
        return null;
      },
      close: () => {
        isClosed = true;
        this.#bytes -= own;
        own = 0;
      },
    };
  }

  #full(others: number): ProxyError {
    return new ProxyError(
      'QUEUE_FULL_BYTES',
      `headgate's queue is full: the bodies of other calls hold ${others} bytes (queue.max_bytes is ${this.#bytesMax()}). Please retry in 10s, or raise queue.max_bytes.`,
      { retryAfterMs: RETRY_AFTER_MS, where: 'queue.max_bytes' },
    );
  }
}
