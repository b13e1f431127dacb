import type { IncomingMessage, ServerResponse } from 'node:http';
import { constants, createGzip, gzipSync } from 'node:zlib';
import type { Clock } from '../clock.ts';
import type { Answer } from './answer.ts';
import type { OpenArrival } from './arrival.ts';

/** Headers that the Gemini API sent with every recorded answer. */
const COMMON = {
  vary: 'Origin, X-Origin, Referer',
  server: 'scaffolding on HTTPServer2',
  'x-xss-protection': '0',
  'x-frame-options': 'SAMEORIGIN',
  'x-content-type-options': 'nosniff',
  'x-gemini-service-tier': 'standard',
  'alt-svc': 'h3=":443"; ma=2592000,h3-29=":443"; ma=2592000',
} as const;

/** Longest piece of a dribbled answer: cuts within frames, lines and characters. */
const DRIBBLE_BYTES = 7;

/** The bytes that go back to one request, and the note of when they began. */
export class Reply {
  readonly #response: ServerResponse;
  readonly #arrival: OpenArrival;
  readonly #clock: Clock;
  readonly #clockOffsetMs: number;
  readonly #mayGzip: boolean;
  readonly #origin: string | undefined;
  #endsItself = false;

  constructor(
    request: IncomingMessage,
    response: ServerResponse,
    context: {
      readonly arrival: OpenArrival;
      readonly clock: Clock;
      readonly clockOffsetMs: number;
      readonly gzip: boolean;
    },
  ) {
    this.#response = response;
    this.#arrival = context.arrival;
    this.#clock = context.clock;
    this.#clockOffsetMs = context.clockOffsetMs;
    this.#mayGzip = context.gzip && /\bgzip\b/.test(request.headers['accept-encoding'] ?? '');
    this.#origin = request.headers.origin;
    response.sendDate = false; // It would tell the machine's time, not ours.
    response.on('error', () => {}); // A client that leaves in the middle of a write.
    response.on('close', () => {
      if (!this.#endsItself && !response.writableFinished) this.#arrival.aborted = true;
    });
  }

  get isGone(): boolean {
    return this.#response.destroyed || this.#response.closed;
  }

  /** Sends one body, compressed when the client asked for it. */
  send(status: number, answer: Omit<Answer, 'isStream'>): void {
    const body = answer.pieces.join('');
    if (this.#mayGzip && body !== '') {
      this.#head(status, answer, { 'content-encoding': 'gzip' });
      this.#response.end(gzipSync(body, { level: 1 }));
      return;
    }
    this.#head(status, answer, {});
    this.#response.end(body);
  }

  /** Sends pieces `perChunkMs` apart; `sent` is told the share that has left after each of them. */
  async stream(
    answer: Answer,
    perChunkMs: number,
    sent: (share: number) => void = () => {},
  ): Promise<void> {
    const gzip = this.#mayGzip ? createGzip({ level: 1 }) : null;
    this.#head(200, answer, gzip === null ? {} : { 'content-encoding': 'gzip' });
    gzip?.pipe(this.#response);
    for (const [index, piece] of answer.pieces.entries()) {
      if (index > 0 && perChunkMs > 0) await this.pause(perChunkMs);
      if (this.isGone) return;
      if (gzip === null) {
        this.#response.write(piece);
      } else {
        gzip.write(piece);
        gzip.flush(constants.Z_SYNC_FLUSH);
      }
      sent((index + 1) / answer.pieces.length);
    }
    (gzip ?? this.#response).end();
  }

  /** The same bytes a few at a time, one turn of the event loop apart. */
  async dribble(answer: Answer): Promise<void> {
    this.#head(200, answer, {});
    const bytes = Buffer.from(answer.pieces.join(''));
    for (let at = 0, size = 1; at < bytes.length && !this.isGone; at += size) {
      size = 1 + ((at + 3) % DRIBBLE_BYTES);
      this.#response.write(bytes.subarray(at, at + size));
      await new Promise((resolve) => setImmediate(resolve));
    }
    this.#response.end();
  }

  /** Half of the answer, then the end of the connection without the end of the body. */
  truncate(answer: Answer): void {
    this.#endsItself = true;
    this.#head(200, answer, {});
    const bytes = Buffer.from(answer.pieces.join(''));
    const { socket } = this.#response;
    this.#response.write(bytes.subarray(0, Math.ceil(bytes.length / 2)), () => socket?.end());
  }

  /** A TCP reset instead of an answer. */
  reset(): void {
    this.#endsItself = true;
    this.#response.socket?.resetAndDestroy();
  }

  pause(ms: number): Promise<void> {
    if (ms <= 0) return Promise.resolve();
    return new Promise((resolve) => this.#clock.after(ms, resolve));
  }

  #head(status: number, answer: Omit<Answer, 'isStream'>, more: Record<string, string>): void {
    const nowMs = this.#clock.monotonicMs();
    this.#arrival.status = status;
    this.#arrival.answeredAtMs = nowMs;
    const tookMs = Math.max(0, Math.round(nowMs - this.#arrival.atMs));
    const cors = this.#origin === undefined ? {} : { 'access-control-allow-origin': this.#origin };
    this.#response.writeHead(status, {
      'content-type': answer.contentType,
      ...COMMON,
      date: httpDate(this.#clock.wallMs() + this.#clockOffsetMs),
      'server-timing': `gfet4t7; dur=${tookMs}`,
      'transfer-encoding': 'chunked',
      ...cors,
      ...answer.headers,
      ...more,
    });
  }
}

let latestDate = { second: Number.NaN, text: '' };

function httpDate(wallMs: number): string {
  const second = Math.floor(wallMs / 1000);
  if (second !== latestDate.second) {
    latestDate = { second, text: new Date(second * 1000).toUTCString() };
  }
  return latestDate.text;
}
