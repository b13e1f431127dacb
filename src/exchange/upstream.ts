/**
 * The way to the upstream: undici in the daemon, a script in tests. Header lists are flat:
 * name, value, name, value, in the order received, so that duplicates and case survive.
 */
export interface Upstream {
  /** Starts a call and returns at once; everything after comes through `handler`, `end` or `error` last. */
  send(request: UpstreamRequest, handler: UpstreamHandler): UpstreamCall;
  /** Waits for running calls and closes the connections. */
  close(): Promise<void>;
}

export interface UpstreamRequest {
  /** Scheme, host and optional base path, no trailing slash. */
  readonly baseUrl: string;
  readonly method: string;
  /** Path and query exactly as they go on the wire. */
  readonly path: string;
  /** End-to-end headers only, without host and content-length. */
  readonly headers: readonly string[];
  /** The chunks as received, never joined; a stream for what is not counted; null for none. */
  readonly body: readonly Buffer[] | NodeJS.ReadableStream | null;
  /** Of a chunked body, its length; null where it is streamed with unknown length. */
  readonly bodyBytes: number | null;
  /** From the last byte sent to the first byte of the answer, ms; 0 for no limit. */
  readonly headersTimeoutMs: number;
  /** Between two chunks of the answer, ms; 0 for no limit. */
  readonly bodyTimeoutMs: number;
}

export interface UpstreamHandler {
  /** The socket took the last byte of the request. Not called for a streamed body. */
  sent(): void;
  /** Status line and headers of the final (not 1xx) answer. */
  head(status: number, headers: readonly string[]): void;
  data(chunk: Buffer): void;
  end(): void;
  /** No answer, or an answer cut short. `sent` tells whether any byte of the request left. */
  error(error: Error): void;
}

export interface UpstreamCall {
  /** Closes the connection of this call; `error` follows unless the call had ended. */
  abort(): void;
  /** Holds back the answer's bytes while the client cannot take them. */
  pause(): void;
  resume(): void;
}
