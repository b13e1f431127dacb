import type { Clock } from '../clock.ts';
import { ERROR_CATALOGUE, ProxyError, type ErrorReason } from '../errors.ts';
import type { ReplySink } from '../exchange/call.ts';
import { headerValue } from '../gemini/headers.ts';
import { asObject, asString, parseJson } from '../gemini/json-value.ts';
import type { ContinueReply } from '../http/session-control.ts';
import type { ModelAnswer } from '../sessions/conversations.ts';

/** A turn's answer is some kilobytes; beyond this it could not be written as one. */
const ANSWER_BYTES_MAX = 64 * 1024 * 1024;

const OWN_HEADER = /^(x-headgate-queued|ratelimit)/i;

/** The model's answer, and what of its headers is ours to pass on. */
export interface ContinuedAnswer extends ModelAnswer {
  /** Flat: time in the queue and rate limit fields; the reply knows the request id itself. */
  readonly ownHeaders: readonly string[];
}

export interface ContinuationSinkOptions {
  readonly clock: Clock;
  readonly requestId: string;
  /** Aborted when the client leaves. */
  readonly signal: AbortSignal;
  /** Where the bytes go as they come, and what goes with their headers; null collects them only. */
  readonly stream: { readonly reply: ContinueReply; readonly headers: readonly string[] } | null;
  readonly resolve: (answer: ContinuedAnswer) => void;
  /** With a ProxyError: the refusal or the upstream's error, or CANCELLED. */
  readonly reject: (error: ProxyError) => void;
}

/**
 * Where an exchange answers to when the call is a turn of a session: the answer is kept whole, and its
 * end is held back, since it may only be seen once the turn is on the disk.
 */
export class ContinuationSink implements ReplySink {
  readonly #options: ContinuationSinkOptions;
  readonly #startedAtMs: number;
  #status = 0;
  #headers: readonly string[] = [];
  #chunks: Buffer[] = [];
  #bytes = 0;
  #onClose: (() => void) | null = null;

  constructor(options: ContinuationSinkOptions) {
    this.#options = options;
    this.#startedAtMs = options.clock.wallMs();
  }

  get headSent(): boolean {
    return this.#status !== 0;
  }

  head(status: number, headers: readonly string[]): void {
    this.#status = status;
    this.#headers = headers;
    const { stream } = this.#options;
    if (status >= 400 || stream === null) return;
    const type = headerValue(headers, 'content-type') ?? 'text/event-stream';
    stream.reply.head(['content-type', type, ...ownHeaders(headers), ...stream.headers]);
  }

  write(chunk: Buffer): boolean {
    this.#bytes += chunk.length;
    if (this.#bytes > ANSWER_BYTES_MAX) {
      this.#fail(
        new ProxyError('NO_ANSWER', 'The answer is longer than 64 MiB; no turn was written.'),
      );
      return true;
    }
    this.#chunks.push(chunk);
    const { stream } = this.#options;
    return stream === null || this.#status >= 400 || stream.reply.write(chunk);
  }

  end(): void {
    const { clock, requestId, reject, resolve } = this.#options;
    const bytes = Buffer.concat(this.#chunks);
    this.#chunks = [];
    if (this.#status >= 400) return reject(errorOf(this.#status, this.#headers, bytes));
    resolve({
      bytes,
      contentType: headerValue(this.#headers, 'content-type') ?? '',
      contentEncoding: headerValue(this.#headers, 'content-encoding'),
      startedAtMs: this.#startedAtMs,
      endedAtMs: clock.wallMs(),
      requestId,
      ownHeaders: ownHeaders(this.#headers),
    });
  }

  destroy(): void {
    const message = "The upstream's answer was cut short; no turn was written.";
    this.#options.reject(new ProxyError('UPSTREAM_UNREACHABLE', message));
  }

  onDrain(listener: () => void): void {
    this.#options.stream?.reply.onDrain(listener);
  }

  onClose(listener: () => void): void {
    this.#onClose = listener;
    const { signal, reject } = this.#options;
    const left = (): void => {
      listener();
      reject(new ProxyError('CANCELLED', 'The client left; no turn was written.'));
    };
    if (signal.aborted) queueMicrotask(left);
    else signal.addEventListener('abort', left, { once: true });
  }

  #fail(error: ProxyError): void {
    this.#onClose?.();
    this.#options.reject(error);
  }
}

/** An answer of 400 and more: a refusal of ours, or the upstream's own error. */
function errorOf(status: number, headers: readonly string[], bytes: Buffer): ProxyError {
  const body = parseJson(bytes.toString('utf8'));
  const first: unknown = Array.isArray(body) ? body[0] : body;
  const error = asObject(asObject(first)?.['error']);
  const message = asString(error?.['message']);
  const retryAfterMs = retryAfterMsOf(headers);
  const refused = headerValue(headers, 'x-headgate-refused') ?? '';
  if (isReason(refused)) {
    return new ProxyError(refused, message ?? 'headgate refused the call.', { retryAfterMs });
  }
  const said = message ?? `status ${status}`;
  return new ProxyError('UPSTREAM_ERROR', `The upstream answered ${status}: ${said}`, {
    httpStatus: status,
    retryAfterMs,
    details: { upstream: first ?? bytes.toString('utf8').slice(0, 2_000) },
  });
}

function retryAfterMsOf(headers: readonly string[]): number | null {
  const ms = Number(headerValue(headers, 'retry-after-ms') ?? NaN);
  if (Number.isFinite(ms)) return ms;
  const seconds = Number(headerValue(headers, 'retry-after') ?? NaN);
  return Number.isFinite(seconds) ? seconds * 1000 : null;
}

function ownHeaders(headers: readonly string[]): readonly string[] {
  return headers.filter((_, at) => OWN_HEADER.test(headers[at - (at % 2)] ?? ''));
}

function isReason(text: string): text is ErrorReason {
  return Object.hasOwn(ERROR_CATALOGUE, text);
}
