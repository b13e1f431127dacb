import type { ProxyError } from '../errors.ts';
import { detectClient } from '../gemini/client.ts';
import { codingOf } from '../gemini/content-coding.ts';
import { withOwnFilmUris } from '../gemini/film-uri.ts';
import { endToEnd, headerValue, setHeader } from '../gemini/headers.ts';
import { type AddressPair, withOwnUrls } from '../gemini/own-url.ts';
import { AnswerCopy } from './answer-copy.ts';
import type { InboundCall, Outcome, ReplySink } from './call.ts';
import { asProxyError, replyWithError, unreachable } from './error-reply.ts';
import type { ExchangeContext, RunningExchange } from './exchange.ts';
import { tellsOfResources } from './known-resources.ts';
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

/** Largest answer about films that is held to be changed; one with its films inline is larger. */
const FILM_BYTES_MAX = 4 * 1024 * 1024;

/** An answer that is held back until it is whole. */
interface HeldAnswer {
  readonly headers: readonly string[];
  readonly chunks: Buffer[];
  bytes: number;
}

/**
 * A call that takes no quota: uploads, countTokens, models, everything else. Streamed both ways,
 * redirects included: the client follows them. Only the answers about Veo's operations are held for
 * the AI SDK, to put our address in; they are asked for unpacked, and left alone where they are not.
 */
export class PassedExchange implements RunningExchange {
  readonly #context: ExchangeContext;
  readonly #parts: PassedParts;
  readonly #beganAtMs: number;
  #upstreamCall: UpstreamCall | null = null;
  #addresses: AddressPair | null = null;
  #copy: AnswerCopy | null = null;
  #held: HeldAnswer | null = null;
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
      const { ownUrl = null, handOut = null } = call;
      const upstreamUrl = settings.upstreamBaseUrl;
      if (ownUrl !== null) this.#addresses = { ownUrl, upstreamUrl, handOut };
      const headers = outboundHeaders(outbound.headers, 0);
      const length = headerValue(call.headers, 'content-length');
      this.#upstreamCall = context.upstream.send(
        {
          baseUrl: settings.upstreamBaseUrl,
          method: call.method,
          path: outbound.path,
          headers: this.#changesFilms()
            ? setHeader(headers, 'accept-encoding', 'identity')
            : headers,
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
            this.#release();
            this.#copy?.end();
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
    const kept = endToEnd(headers, 'response');
    const own = this.#addresses === null ? kept : withOwnUrls(kept, this.#addresses);
    const encoding = headerValue(own, 'content-encoding');
    const isJson = /^application\/json\b/i.test(headerValue(own, 'content-type') ?? '');
    if (status === 200 && isJson) {
      const { path } = this.#parts.call;
      if (tellsOfResources(path)) {
        const { resources } = this.#context;
        this.#copy = new AnswerCopy(encoding, (body) => resources.learn(path, body));
      }
      if (this.#changesFilms() && codingOf(encoding) === null) {
        this.#held = { headers: own, chunks: [], bytes: 0 };
        return;
      }
    }
    this.#parts.sink.head(status, own);
  }

  #changesFilms(): boolean {
    const { method, path, headers } = this.#parts.call;
    const isAsked = method === 'GET' && /^\/v1\w*\/(?:[^?]*\/)?operations\//.test(path);
    return isAsked && this.#addresses !== null && detectClient(headers).family === 'ai-sdk';
  }

  /** Sends what was held: changed when it is whole, as it came when it grew beyond the bound. */
  #release(isWhole = true): void {
    const held = this.#held;
    const addresses = this.#addresses;
    if (this.#ended || held === null || addresses === null) return;
    this.#held = null;
    const { sink } = this.#parts;
    const body = Buffer.concat(held.chunks);
    const changed = isWhole ? withOwnFilmUris(body, addresses) : body;
    const isSame = changed === body || headerValue(held.headers, 'content-length') === null;
    const length = String(changed.length);
    sink.head(
      this.#status,
      isSame ? held.headers : setHeader(held.headers, 'content-length', length),
    );
    if (changed.length > 0 && !sink.write(changed)) this.#upstreamCall?.pause();
  }

  #data(chunk: Buffer): void {
    if (this.#ended) return;
    this.#responseBytes += chunk.length;
    this.#copy?.add(chunk);
    if (this.#held !== null) {
      this.#held.chunks.push(chunk);
      this.#held.bytes += chunk.length;
      if (this.#held.bytes > FILM_BYTES_MAX) this.#release(false);
      return;
    }
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
    const record = {
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
      attempt: 1,
      resends: 0,
      rejections: [],
      requestBytes: 0,
      responseBytes: this.#responseBytes,
    };
    events.record(record, { headers: this.#parts.call.headers, modelVersion: null });
  }
}
