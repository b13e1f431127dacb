import { ProxyError } from '../errors.ts';
import { headerValue } from '../gemini/headers.ts';
import type { Endpoint } from '../gemini/route.ts';
import type { InboundCall, ReplySink } from './call.ts';
import type { CallParts, ClassifiedCall } from './classified-call.ts';
import type { ExchangeContext, RunningExchange } from './exchange.ts';
import { wholeBody } from './plain-body.ts';

/** Of an answer that is kept. One with images has some megabytes. */
const ANSWER_BYTES_MAX = 64 * 1024 * 1024;
/** Of a request that is kept; it is handed to another thread in one go, which takes 1 ms for 4 MB. */
const REQUEST_BYTES_MAX = 16 * 1024 * 1024;
/** So long the end of an answer waits for its record; a synced line takes some ms. */
const KEEP_MS_MAX = 5_000;

/**
 * Keeps calls and their answers as sessions. Only generateContent and streamGenerateContent are
 * conversations that can be resumed: other counted methods are never offered.
 */
export interface ExchangeRecording {
  /** Whether the exchange is to be kept; asked once, before it waits. Turns of a session are not. */
  wants(call: InboundCall, endpoint: Endpoint, agent: string): boolean;
  /**
   * Keeps an exchange whose answer came whole with a status below 400; resolves when it is on the
   * disk. A rejection is told and harms nothing.
   */
  keep(exchange: KeptExchange): Promise<void>;
}

export interface KeptExchange {
  /** The session as the client named it; null when it did not. */
  readonly name: string | null;
  readonly agent: string;
  readonly requestId: string;
  /** Without `models/`. */
  readonly model: string;
  /** ms since 1970 UTC. */
  readonly startedAtMs: number;
  readonly endedAtMs: number;
  /** Without its content-encoding. */
  readonly request: Uint8Array;
  /** As it came. */
  readonly answer: Uint8Array;
  readonly contentType: string | null;
  readonly contentEncoding: string | null;
}

/** An exchange that was to be kept, and why it was not. */
export interface UnkeptExchange {
  readonly requestId: string;
  readonly session: string | null;
  readonly agent: string;
  readonly error: Error;
}

/** The way to the client, past a copy where the exchange is to be kept. */
export function recordedSink(
  context: ExchangeContext,
  parts: CallParts & { readonly sink: ReplySink },
  known: ClassifiedCall,
): ReplySink {
  const { call, endpoint, sink } = parts;
  const { recording = null } = context;
  const isConversation =
    endpoint.method === 'generateContent' || endpoint.method === 'streamGenerateContent';
  if (recording === null || !isConversation) return sink;
  if (!recording.wants(call, endpoint, known.agent)) return sink;
  return new RecordingSink(context, recording, { call, sink, known });
}

/**
 * Passes an answer on unchanged and keeps a copy of its bytes. Its end waits until the exchange is
 * kept, so that whoever has seen the end finds it; but not for long, and whatever comes of it.
 */
class RecordingSink implements ReplySink, RunningExchange {
  readonly #context: ExchangeContext;
  readonly #recording: ExchangeRecording;
  readonly #call: InboundCall;
  readonly #known: ClassifiedCall;
  readonly #sink: ReplySink;
  readonly #startedAtMs: number;
  #headers: readonly string[] = [];
  /** Null while nothing is to be kept. */
  #chunks: Buffer[] | null = null;
  #bytes = 0;
  /** Of an answer whose length was announced: the client sees its end in its last byte. */
  #lastByte: Buffer | null = null;
  #ended = false;

  constructor(
    context: ExchangeContext,
    recording: ExchangeRecording,
    { call, sink, known }: { call: InboundCall; sink: ReplySink; known: ClassifiedCall },
  ) {
    this.#context = context;
    this.#recording = recording;
    this.#call = call;
    this.#known = known;
    this.#sink = sink;
    const { clock } = context;
    this.#startedAtMs = clock.wallMs() - Math.round(clock.monotonicMs() - call.receivedAtMs);
  }

  get headSent(): boolean {
    return this.#sink.headSent;
  }

  head(status: number, headers: readonly string[]): void {
    this.#headers = headers;
    this.#chunks = status < 400 ? [] : null;
    this.#sink.head(status, headers);
  }

  write(chunk: Buffer): boolean {
    this.#copy(chunk);
    const isLast = this.#bytes === Number(headerValue(this.#headers, 'content-length') ?? NaN);
    if (this.#chunks === null || !isLast || chunk.length === 0) return this.#sink.write(chunk);
    this.#lastByte = chunk.subarray(-1);
    return chunk.length === 1 || this.#sink.write(chunk.subarray(0, -1));
  }

  end(): void {
    const chunks = this.#chunks;
    this.#chunks = null;
    if (chunks === null) this.#sink.end();
    else void this.#keep(chunks);
  }

  destroy(): void {
    this.#chunks = null;
    this.#sink.destroy();
  }

  onDrain(listener: () => void): void {
    this.#sink.onDrain(listener);
  }

  onClose(listener: () => void): void {
    this.#sink.onClose(listener);
  }

  /** The daemon stops: the client has all but the end. */
  cut(): void {
    this.#end();
  }

  #copy(chunk: Buffer): void {
    this.#bytes += chunk.length;
    if (this.#bytes <= ANSWER_BYTES_MAX) {
      this.#chunks?.push(chunk);
    } else if (this.#chunks !== null) {
      this.#chunks = null;
      this.#tell(`the answer is longer than ${ANSWER_BYTES_MAX} bytes`);
    }
  }

  async #keep(chunks: readonly Buffer[]): Promise<void> {
    const { clock, running } = this.#context;
    // Whoever stops the daemon waits for those that are running.
    running.add(this);
    const timer = clock.after(KEEP_MS_MAX, () => {
      this.#tell(`it was not on the disk within ${KEEP_MS_MAX} ms`);
      this.#end();
    });
    try {
      const { body, headers } = this.#call;
      const request = await wholeBody(body, headers, REQUEST_BYTES_MAX);
      if (request === null) {
        throw new ProxyError(
          'TURN_NOT_WRITTEN',
          `The exchange was not recorded: its request is longer than ${REQUEST_BYTES_MAX} bytes, or cannot be unpacked.`,
        );
      }
      await this.#recording.keep({
        name: this.#call.sessionName,
        agent: this.#known.agent,
        requestId: this.#call.requestId,
        model: this.#known.requestedModel,
        startedAtMs: this.#startedAtMs,
        endedAtMs: clock.wallMs(),
        request,
        answer: Buffer.concat(chunks),
        contentType: headerValue(this.#headers, 'content-type'),
        contentEncoding: headerValue(this.#headers, 'content-encoding'),
      });
    } catch (error) {
      this.#tell(error instanceof Error ? error : String(error));
    }
    timer.cancel();
    this.#end();
  }

  #end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#context.running.delete(this);
    if (this.#lastByte !== null) this.#sink.write(this.#lastByte);
    this.#sink.end();
  }

  #tell(why: Error | string): void {
    const { requestId, sessionName } = this.#call;
    const error =
      typeof why === 'string'
        ? new ProxyError('TURN_NOT_WRITTEN', `The exchange was not recorded: ${why}.`)
        : why;
    const { agent } = this.#known;
    this.#context.events.unkept?.({ requestId, session: sessionName, agent, error });
  }
}
