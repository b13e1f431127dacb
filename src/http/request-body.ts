import type { IncomingMessage } from 'node:http';
import { PassThrough } from 'node:stream';

import type { Clock, Timer } from '../clock.ts';
import { ProxyError } from '../errors.ts';
import type { BodyFacts } from '../gemini/body-scan.ts';
import { createBodyIntake } from './body-intake.ts';
import type { HeldShare } from './held-bytes.ts';
import type { TurnBudget } from './turn-budget.ts';

/** Default for `bodyBytesMax`: Google takes 100 MB inline, so nothing it would take is refused here. */
export const BODY_BYTES_MAX = 128 * 1024 * 1024;

/** A counted body that has not grown for this long is given up, within twice the time. */
const BODY_IDLE_MS_MAX = 120_000;

/** Chunks below this size are gathered, once there are many: each of its own costs some 200 bytes. */
const SMALL_BYTES_MAX = 4 * 1024;
const SMALL_CHUNKS_MAX = 16;
const BLOCK_BYTES = 64 * 1024;

export interface ReadOptions {
  readonly clock: Clock;
  readonly budget: TurnBudget;
  /** Grows with the body; closed by whoever opened it. */
  readonly held: HeldShare;
  readonly bodyBytesMax: number;
  readonly done: (body: readonly Buffer[], bytes: number, facts: BodyFacts) => void;
  /** The body cannot be taken: too large, broken, or stalled. What is left of it has not been read. */
  readonly failed: (error: ProxyError) => void;
}

/** Throws BODY_TOO_LARGE when the length that the request announces is more than is taken. */
export function checkAnnounced(request: IncomingMessage, bodyBytesMax: number): void {
  if (announced(request) > bodyBytesMax) throw tooLarge(bodyBytesMax);
}

/**
 * Reads a body in the chunks it comes in, and scans it as it comes, with the socket held back while
 * the scan is behind. The chunks are kept as they are: joining 100 MB blocks the event loop for some
 * 80 ms. Exactly one of `done` and `failed` is called, or neither when the client leaves.
 */
export function readBody(request: IncomingMessage, options: ReadOptions): void {
  const { held } = options;
  const body = new ChunkList();
  const finish = (error: ProxyError | null): void => {
    request.off('data', onData).off('end', onEnd).off('close', leave);
    watch.cancel();
    if (error === null) return;
    intake.drop();
    request.pause();
    options.failed(error);
  };
  let hasEnded = false;
  const leave = (): void => {
    // Also follows the end, when there may be bytes that are still to be scanned.
    if (hasEnded) return;
    finish(null);
    intake.drop();
  };
  const intake = createBodyIntake({
    budget: options.budget,
    contentEncoding: request.headers['content-encoding'] ?? null,
    unpackedBytesMax: options.bodyBytesMax,
    onDrain: () => request.resume(),
    done(facts) {
      finish(null);
      options.done(body.chunks, body.bytes, facts);
    },
    failed: finish,
  });
  const onData = (chunk: Buffer): void => {
    body.push(chunk);
    if (body.bytes > options.bodyBytesMax) return finish(tooLarge(options.bodyBytesMax));
    const full = held.grow(body.bytes);
    if (full !== null) return finish(full);
    if (!intake.push(chunk)) request.pause();
  };
  const onEnd = (): void => {
    hasEnded = true;
    intake.end();
  };
  let bytesBefore = 0;
  const lookForProgress = (): void => {
    if (body.bytes > bytesBefore) {
      bytesBefore = body.bytes;
      watch = options.clock.after(BODY_IDLE_MS_MAX, lookForProgress);
      return;
    }
    finish(
      new ProxyError('BAD_REQUEST', 'The request body stopped coming before its end.', {
        where: 'body',
      }),
    );
  };
  let watch: Timer = options.clock.after(BODY_IDLE_MS_MAX, lookForProgress);
  // A client that leaves takes its call with it; without a listener Node would throw here.
  request.on('error', () => undefined);
  const full = held.grow(announced(request));
  if (full !== null) return finish(full);
  request.on('data', onData).on('end', onEnd).on('close', leave);
}

/** A body's chunks, small ones gathered. */
class ChunkList {
  readonly chunks: Buffer[] = [];
  bytes = 0;
  #block: Buffer = Buffer.alloc(0);
  #used = 0;

  push(chunk: Buffer): void {
    this.bytes += chunk.length;
    if (chunk.length >= SMALL_BYTES_MAX || this.chunks.length < SMALL_CHUNKS_MAX) {
      this.#used = this.#block.length;
      this.chunks.push(chunk);
      return;
    }
    if (this.#used + chunk.length > this.#block.length) {
      this.#block = Buffer.allocUnsafeSlow(BLOCK_BYTES);
      this.#used = 0;
      this.chunks.push(this.#block);
    }
    chunk.copy(this.#block, this.#used);
    this.#used += chunk.length;
    this.chunks[this.chunks.length - 1] = this.#block.subarray(0, this.#used);
  }
}

/**
 * The body as a stream of its own, null without one. Not the request itself, because whoever
 * destroys the stream of a call that has failed must not take the client's connection with it.
 */
export function bodyStream(request: IncomingMessage): PassThrough | null {
  const { 'content-length': length, 'transfer-encoding': encoding } = request.headers;
  if (encoding === undefined && (length === undefined || Number(length) === 0)) return null;
  const stream = new PassThrough();
  stream.on('error', () => undefined);
  request.on('error', () => undefined);
  request.on('close', () => {
    if (!request.complete) stream.destroy(new Error('The client left before its body ended.'));
  });
  return request.pipe(stream);
}

function announced(request: IncomingMessage): number {
  return Number(request.headers['content-length'] ?? 0);
}

function tooLarge(bodyBytesMax: number): ProxyError {
  const mebibytes = Math.floor(bodyBytesMax / (1024 * 1024));
  return new ProxyError(
    'BODY_TOO_LARGE',
    `The body is larger than ${mebibytes > 0 ? `${mebibytes} MiB` : `${bodyBytesMax} bytes`}; upload large files through the Files API and name them by URI.`,
    { where: 'body' },
  );
}
