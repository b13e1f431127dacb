import type { ProxyError } from '../errors.ts';
import { endToEnd, headerValue } from '../gemini/headers.ts';
import type { InboundCall, Outcome, ReplySink } from './call.ts';
import { asProxyError, replyWithError, unreachable } from './error-reply.ts';
import type { ExchangeContext, RunningExchange } from './exchange.ts';
import {
  BODY_TIMEOUT_MS,
  HEADERS_TIMEOUT_MS,
  outboundHeaders,
  withCredentials,
} from './outbound.ts';
import type { UpstreamCall } from './upstream.ts';

export interface PassedParts {
  readonly call: Omit<InboundCall, 'body' | 'bodyBytes'>;
  readonly body: NodeJS.ReadableStream | null;
  readonly sink: ReplySink;
}

/** A call that takes no quota: uploads, countTokens, models, everything else. Streamed both ways. */
export class PassedExchange implements RunningExchange {
  readonly #context: ExchangeContext;
  readonly #parts: PassedParts;
  readonly #beganAtMs: number;
  #upstreamCall: UpstreamCall | null = null;
  #agent = '';
  #status = 0;
  #message: string | null = null;
  #firstByteMs: number | null = null;
  #responseBytes = 0;
  #ended = false;

  constructor(context: ExchangeContext, parts: PassedParts) {
    this.#context = context;
    this.#parts = parts;
    this.#beganAtMs = context.clock.monotonicMs();
  }

  begin(): void {
    const context = this.#context;
    const { call, body, sink } = this.#parts;
    context.running.add(this);
    sink.onClose(() => this.#left());
    try {
      const settings = context.settings();
      const outbound = withCredentials(call, settings);
      this.#agent =
        call.agentName ??
        context.names.nameOf({ key: outbound.ownKey, headers: call.headers, massgen: false });
      const length = headerValue(call.headers, 'content-length');
      this.#upstreamCall = context.upstream.send(
        {
          baseUrl: settings.upstreamBaseUrl,
          method: call.method,
          path: outbound.path,
          headers: outboundHeaders(outbound.headers, 0),
          body,
          bodyBytes: length === null ? null : Number(length),
          headersTimeoutMs: HEADERS_TIMEOUT_MS,
          bodyTimeoutMs: BODY_TIMEOUT_MS,
        },
        {
          sent: () => undefined,
          head: (status, headers) => this.#head(status, headers),
          data: (chunk) => this.#data(chunk),
          end: () => {
            sink.end();
            this.#end(this.#status < 400 ? 'ok' : 'upstream_error', null);
          },
          error: (error) => this.#failed(error),
        },
      );
      sink.onDrain(() => this.#upstreamCall?.resume());
    } catch (error) {
      this.#failed(asProxyError(error));
    }
  }

  cut(error: ProxyError): void {
    this.#upstreamCall?.abort();
    this.#failed(error);
  }

  #head(status: number, headers: readonly string[]): void {
    if (this.#ended) return;
    this.#status = status;
    this.#firstByteMs = this.#context.clock.monotonicMs() - this.#beganAtMs;
    this.#parts.sink.head(status, endToEnd(headers, 'response'));
  }

  #data(chunk: Buffer): void {
    if (this.#ended) return;
    this.#responseBytes += chunk.length;
    if (!this.#parts.sink.write(chunk)) this.#upstreamCall?.pause();
  }

  #left(): void {
    if (this.#ended) return;
    this.#upstreamCall?.abort();
    this.#end('cancelled', null);
  }

  #failed(error: Error): void {
    if (this.#ended) return;
    const { sink } = this.#parts;
    if (sink.headSent) {
      sink.destroy();
      this.#end('failed', null);
      return;
    }
    const told = unreachable(error);
    this.#status = told.httpStatus;
    this.#message = told.message;
    const extra = ['x-headgate-request-id', this.#parts.call.requestId];
    replyWithError(sink, told, { surface: 'gemini', array: false, extra });
    this.#end('failed', told.reason);
  }

  #end(outcome: Outcome, reason: string | null): void {
    if (this.#ended) return;
    this.#ended = true;
    const { clock, events, running } = this.#context;
    running.delete(this);
    const durationMs = clock.monotonicMs() - this.#parts.call.receivedAtMs;
    events.record({
      requestId: this.#parts.call.requestId,
      startedWallMs: clock.wallMs() - durationMs,
      project: 'default',
      requestedModel: '',
      model: '',
      method: 'pass',
      agent: this.#agent,
      outcome,
      reason,
      message: this.#message,
      status: this.#status,
      queuedMs: 0,
      waitReason: null,
      upstreamFirstByteMs: this.#firstByteMs,
      upstreamMs: clock.monotonicMs() - this.#beganAtMs,
      durationMs,
      overheadMs: this.#beganAtMs - this.#parts.call.receivedAtMs,
      estimatedTokens: 0,
      usage: null,
      usdMicros: 0,
      resends: 0,
      rejections: [],
      requestBytes: 0,
      responseBytes: this.#responseBytes,
    });
  }
}
