/** One client call on a Gemini path, as the HTTP edge hands it over with its whole body. */
export interface InboundCall {
  /** Also the answer's x-headgate-request-id. */
  readonly requestId: string;
  readonly method: string;
  /**
   * Path and query as received, without our own prefixes (/agents/NAME, /sessions/NAME/record) and
   * with a doubled leading slash made one. Otherwise byte for byte.
   */
  readonly path: string;
  /** All headers as received, flat: name, value, name, value. */
  readonly headers: readonly string[];
  /** The body's chunks, never joined. */
  readonly body: readonly Buffer[];
  readonly bodyBytes: number;
  /**
   * Our address as the client reached it, prefixes included, for URLs in answers that lead to the
   * upstream; null or absent where it is not known, and they stay as they are.
   */
  readonly ownUrl?: string | null;
  /** Makes a path below `ownUrl` good for who follows it without our token; null or absent without one. */
  readonly handOut?: ((path: string) => string) | null;
  /** From the x-headgate-agent header or the /agents/NAME prefix; null when the caller did not say. */
  readonly agentName: string | null;
  /** From x-headgate-session or /sessions/NAME/record; null when the caller did not say. */
  readonly sessionName: string | null;
  /** Monotonic ms when the first byte of the request was seen. */
  readonly receivedAtMs: number;
}

/** Where the answer goes: a thin cover over http.ServerResponse. */
export interface ReplySink {
  /** Sends status and headers at once. `headers` is flat. Called at most once. */
  head(status: number, headers: readonly string[]): void;
  /** False when the client is slow; `onDrain` fires when it has caught up. */
  write(chunk: Buffer): boolean;
  end(): void;
  /** Cuts the connection: the answer was cut short upstream and the client must see that. */
  destroy(): void;
  onDrain(listener: () => void): void;
  /** Fires once when the connection closes before the answer has ended. */
  onClose(listener: () => void): void;
  readonly headSent: boolean;
  /** The connection has ended, whether `onClose` has told or not. Absent where only that tells. */
  readonly isGone?: boolean;
}

/** How an exchange ended. */
export type Outcome =
  /** The upstream answered below 400. */
  | 'ok'
  /** The upstream answered 400 or more, but not 429, or sent an error inside a stream. */
  | 'upstream_error'
  /** The upstream's 429 went to the client. */
  | 'upstream_rejected'
  /** headgate answered with a refusal or an error of its own. */
  | 'refused'
  /** The client left. */
  | 'cancelled'
  /** No answer, or one cut short. */
  | 'failed';

/** What is known of an ended exchange besides its record, for whoever links it to other work. */
export interface ExchangeMarks {
  /** All headers of the client's, flat: they hold its keys, so nobody keeps them. */
  readonly headers: readonly string[];
  /** The model's name as the answer told it; null where it told none. */
  readonly modelVersion: string | null;
}

/** The one fact that log, metrics, events and usage are made from. */
export interface ExchangeRecord {
  readonly requestId: string;
  /** ms since 1970 UTC when the call was received. */
  readonly startedWallMs: number;
  readonly project: string;
  /** As the client wrote it, and what it is counted as. */
  readonly requestedModel: string;
  readonly model: string;
  /** generateContent, streamGenerateContent, ...; `pass` for calls that are not counted. */
  readonly method: string;
  readonly agent: string;
  readonly outcome: Outcome;
  /** Reason of a refusal of ours; null otherwise. */
  readonly reason: string | null;
  /** What the client was told with it; null otherwise. */
  readonly message: string | null;
  /** Status sent to the client; 0 when none was. */
  readonly status: number;
  readonly queuedMs: number;
  /** What the wait was for, in words; null when it did not wait. */
  readonly waitReason: string | null;
  /** From dispatch to the first byte of the answer; null without one. */
  readonly upstreamFirstByteMs: number | null;
  /** From dispatch to the end of the answer; 0 when never sent. */
  readonly upstreamMs: number;
  readonly durationMs: number;
  /** Duration outside queue and upstream. */
  readonly overheadMs: number;
  readonly estimatedTokens: number;
  /** As the answer told; null where it told nothing. */
  readonly usage: {
    readonly inputTokens: number;
    readonly outputTokens: number;
    readonly thoughtTokens: number;
    readonly cachedTokens: number;
    readonly totalTokens: number;
  } | null;
  readonly usdMicros: number;
  /** Which try of its client this was, as far as is known; 1 for the first. */
  readonly attempt: number;
  /** 429s that this exchange met and waited out. */
  readonly resends: number;
  /** Quota kinds of the 429s met: 'minute requests', ... Each was told of when it came. */
  readonly rejections: readonly string[];
  readonly requestBytes: number;
  readonly responseBytes: number;
}
