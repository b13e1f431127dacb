/** One request as the simulator saw it. Times are monotonic ms of its clock unless they say wall. */
export interface Arrival {
  readonly id: number;
  /** When the first bytes, the headers, had come. */
  readonly atMs: number;
  /** When it entered its windows; null while it has not, and for what was refused or has no quota. */
  readonly countedAtMs: number | null;
  /** When the first byte of the answer left; null while none has. */
  readonly answeredAtMs: number | null;
  /** Wall time of `atMs`, by the simulator's own, perhaps shifted, clock. */
  readonly wallMs: number;
  /** The resolved model; null where a request names none. */
  readonly model: string | null;
  /** As the API names it, or the HTTP method and path. */
  readonly method: string;
  /** First 12 hex digits of the SHA-256 of the key; null without a key. */
  readonly apiKeyHash: string | null;
  /** From `[[tag:NAME]]` in the prompt, else from the header `x-test-tag`. */
  readonly agentTag: string | null;
  /** Requests it is worth for the model's quota: 0 for what has none, the items of a batch, else 1. */
  readonly requests: number;
  readonly inputTokens: number;
  /** Output and thoughts, as far as they were sent. */
  readonly outputTokens: number;
  /** Null until an answer begins. */
  readonly status: number | null;
  /** `rpm`, `tpm`, `rpd`, or `fault:` and the fault's answer; null when nothing refused it. */
  readonly refusedBy: string | null;
  /** Bytes of the request's body. */
  readonly bytes: number;
  /** The client left before the answer was whole. */
  readonly aborted: boolean;
}

/** An arrival while it is being served. */
export type OpenArrival = { -readonly [Key in keyof Arrival]: Arrival[Key] };

/** The latest arrivals, in order. */
export class ArrivalLog {
  readonly #entries: OpenArrival[] = [];
  readonly #max: number;
  #opened = 0;

  constructor(max: number) {
    this.#max = max;
  }

  get entries(): readonly Arrival[] {
    return this.#entries;
  }

  open(
    now: { readonly monotonicMs: number; readonly wallMs: number },
    method: string,
  ): OpenArrival {
    this.#opened += 1;
    const arrival: OpenArrival = {
      id: this.#opened,
      atMs: now.monotonicMs,
      countedAtMs: null,
      answeredAtMs: null,
      wallMs: now.wallMs,
      model: null,
      method,
      apiKeyHash: null,
      agentTag: null,
      requests: 0,
      inputTokens: 0,
      outputTokens: 0,
      status: null,
      refusedBy: null,
      bytes: 0,
      aborted: false,
    };
    this.#entries.push(arrival);
    // In slices, because taking the oldest off one by one would move the whole log each time.
    if (this.#entries.length >= this.#max * 1.1) {
      this.#entries.splice(0, this.#entries.length - this.#max);
    }
    return arrival;
  }

  clear(): void {
    this.#entries.length = 0;
  }
}
