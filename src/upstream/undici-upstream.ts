import { Readable } from 'node:stream';

import { Agent, type Dispatcher } from 'undici';

import { ProxyError } from '../errors.ts';
import type {
  Upstream,
  UpstreamCall,
  UpstreamHandler,
  UpstreamRequest,
} from '../exchange/upstream.ts';

export interface UndiciUpstreamOptions {
  /**
   * Most connections to one origin, so that descriptors do not run out; calls beyond it wait for a
   * free one. Default 1024: the quota is the real brake.
   */
  readonly connections?: number;
  /** Milliseconds for name lookup, TCP and TLS together. Default 30 s. */
  readonly connectTimeoutMs?: number;
}

const CONNECTIONS_MAX = 1024;
const CONNECT_TIMEOUT_MS = 30_000;
/** Of a body, written in one turn of the event loop; some 1 ms. */
const BURST_BYTES = 256 * 1024;
/** As much as is taken from clients; Node's default of 16 KiB would make an error of such an answer. */
const HEADER_BYTES_MAX = 64 * 1024;
/**
 * How long an idle connection is kept. Calls of a paced client are often a minute's slot apart, and
 * a new TLS handshake costs a round trip or two. Google keeps its side open for 240 s; a server that
 * announces less (`keep-alive: timeout=5`) is believed.
 */
const IDLE_MS_MAX = 55_000;

/** The way to the upstream over undici: HTTP/1.1, one call per connection at a time, no redirects. */
export function createUpstream(options: UndiciUpstreamOptions = {}): Upstream {
  // The agent keeps one pool per origin and drops a pool with its last connection, so a base URL
  // that a reload has replaced leaves nothing behind.
  const agent = new Agent({
    connections: options.connections ?? CONNECTIONS_MAX,
    pipelining: 1,
    allowH2: false,
    maxHeaderSize: HEADER_BYTES_MAX,
    keepAliveTimeout: IDLE_MS_MAX,
    keepAliveMaxTimeout: IDLE_MS_MAX,
    connect: { timeout: options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS, noDelay: true },
  });
  const targetOf = rememberLast(parseBaseUrl);
  return {
    send(request, handler) {
      const target = targetOf(request.baseUrl);
      const call = new UndiciCall(handler, target.origin);
      agent.dispatch(
        {
          origin: target.origin,
          path: target.basePath + request.path,
          method: request.method,
          headers: withLength(request),
          body: bodyOf(request),
          headersTimeout: request.headersTimeoutMs,
          bodyTimeout: request.bodyTimeoutMs,
        },
        call,
      );
      return call;
    },
    close: () => agent.close(),
  };
}

/**
 * One call, as undici's callback interface wants it. That interface and not its successor
 * (onRequestStart and so on), because only this one tells when the request has been written, and
 * because it hands over the raw header bytes without also building an object of them.
 *
 * After `end`, `error` or `abort` nothing but the one outstanding `error` is passed on.
 */
class UndiciCall implements Dispatcher.DispatchHandler, UpstreamCall {
  readonly #handler: UpstreamHandler;
  readonly #origin: string;
  #abort: ((error?: Error) => void) | null = null;
  #resume: (() => void) | null = null;
  #paused = false;
  #headSeen = false;
  #ended = false;

  constructor(handler: UpstreamHandler, origin: string) {
    this.#handler = handler;
    this.#origin = origin;
  }

  abort(): void {
    if (this.#ended) return;
    const aborted = new Error('The call was aborted.');
    this.#fail(aborted);
    this.#abort?.(aborted);
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    // undici's parser must not be entered again from inside one of its own callbacks, be it this
    // call's or another's.
    queueMicrotask(() => {
      if (!this.#paused && !this.#ended) this.#resume?.();
    });
  }

  onConnect(abort: (error?: Error) => void): void {
    this.#abort = abort;
    if (this.#ended) abort(new Error('The call was aborted before it was connected.'));
  }

  /** undici calls this once the last byte is in the socket's buffer; its types do not list it. */
  onRequestSent(): void {
    if (!this.#ended) this.#handler.sent();
  }

  onHeaders(status: number, raw: readonly Buffer[], resume: () => void): boolean {
    // 1xx: the final answer is still to come (RFC 9110 section 15.2).
    if (status < 200 || this.#ended) return true;
    this.#resume = resume;
    this.#headSeen = true;
    // Latin-1 maps every byte to one character and back, whatever the header's real encoding is.
    this.#handler.head(
      status,
      raw.map((bytes) => bytes.toString('latin1')),
    );
    return !this.#paused;
  }

  onData(chunk: Buffer): boolean {
    if (this.#ended) return true;
    this.#handler.data(chunk);
    return !this.#paused;
  }

  onComplete(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#handler.end();
  }

  onError(error: Error): void {
    if (this.#ended) return;
    this.#fail(this.#headSeen ? error : unanswered(error, this.#origin));
  }

  /** Reports later, because undici may fail a call before `send` has returned it. */
  #fail(error: Error): void {
    this.#ended = true;
    queueMicrotask(() => this.#handler.error(error));
  }
}

/** What to tell a caller when no answer came. The cause keeps undici's own error. */
function unanswered(error: Error, origin: string): ProxyError {
  // undici and Node put a string code on every error of theirs.
  const code = 'code' in error && typeof error.code === 'string' ? error.code : '';
  if (code === 'UND_ERR_HEADERS_TIMEOUT') {
    return new ProxyError(
      'UPSTREAM_TIMEOUT',
      `${origin} took the call but did not answer in time.`,
      {
        cause: error,
      },
    );
  }
  if (code === 'UND_ERR_INVALID_ARG' || code === 'UND_ERR_NOT_SUPPORTED') {
    return new ProxyError('BAD_REQUEST', `The call cannot be forwarded: ${error.message}.`, {
      cause: error,
    });
  }
  const why = REASONS[code] ?? (error.message || code);
  return new ProxyError('UPSTREAM_UNREACHABLE', `No answer from ${origin}: ${why}.`, {
    cause: error,
  });
}

const REASONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'the connection was refused; is upstream.base_url right?',
  ENOTFOUND: 'the name does not resolve; is this machine online?',
  EAI_AGAIN: 'the name could not be resolved; is this machine online?',
  ECONNRESET: 'the connection was reset before an answer',
  UND_ERR_SOCKET: 'the connection was closed before an answer',
  UND_ERR_CONNECT_TIMEOUT: 'connecting took too long',
};

/**
 * The body for undici: nothing, one chunk, or the chunks one after the other. Only a list of several
 * goes through an iterator, which waits for the socket to drain between chunks.
 */
function bodyOf({ body }: UpstreamRequest): DispatchBody {
  if (body === null) return null;
  if (!isChunked(body)) {
    return body instanceof Readable ? body : new Readable().wrap(body);
  }
  if (body.length <= 1) return body[0] ?? null;
  // undici writes any iterable of Buffers; its types know only of streams.
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion
  return spread(body) as unknown as Uint8Array;
}

/**
 * The chunks, with a turn of the event loop in between now and then: as long as the upstream takes
 * what is written, undici writes on without one, and 100 MB held up everything else for 90 ms.
 */
async function* spread(chunks: readonly Buffer[]): AsyncGenerator<Buffer> {
  let bytes = 0;
  for (const chunk of chunks) {
    yield chunk;
    bytes += chunk.length;
    if (bytes < BURST_BYTES) continue;
    bytes = 0;
    await nextTurn();
  }
}

function isChunked(body: NonNullable<UpstreamRequest['body']>): body is readonly Buffer[] {
  return Array.isArray(body);
}

type DispatchBody = Exclude<Dispatcher.DispatchOptions['body'], undefined>;

/** Where the length is known it is said, for many servers refuse a chunked request. */
function withLength({ headers, body, bodyBytes }: UpstreamRequest): string[] {
  return body === null || bodyBytes === null
    ? [...headers]
    : [...headers, 'content-length', String(bodyBytes)];
}

function parseBaseUrl(baseUrl: string): { origin: string; basePath: string } {
  const { origin, pathname } = new URL(baseUrl);
  return { origin, basePath: pathname.replace(/\/+$/, '') };
}

/** Nearly every call asks for the same base URL as the one before. */
function rememberLast<T>(compute: (key: string) => T): (key: string) => T {
  let last: { readonly key: string; readonly value: T } | null = null;
  return (key) => {
    if (last?.key !== key) last = { key, value: compute(key) };
    return last.value;
  };
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
