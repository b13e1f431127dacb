import type { IncomingMessage } from 'node:http';
import { PassThrough } from 'node:stream';

import type { Clock, Timer } from '../clock.ts';
import { ProxyError } from '../errors.ts';

/** Default for `bodyBytesMax`: Google takes 100 MB inline, so nothing it would take is refused here. */
export const BODY_BYTES_MAX = 128 * 1024 * 1024;

/** A counted body that has not grown for this long is given up, within twice the time. */
const BODY_IDLE_MS_MAX = 120_000;

export interface ReadOptions {
  readonly clock: Clock;
  readonly bodyBytesMax: number;
  /** Sees every chunk as it comes, so that nothing needs to be scanned in one go at the end. */
  readonly onChunk: (chunk: Buffer) => void;
  readonly done: (chunks: readonly Buffer[], bytes: number) => void;
  /** The body cannot be taken: too large, or stalled. What is left of it has not been read. */
  readonly failed: (error: ProxyError) => void;
}

/** Throws BODY_TOO_LARGE when the length that the request announces is more than is taken. */
export function checkAnnounced(request: IncomingMessage, bodyBytesMax: number): void {
  if (Number(request.headers['content-length'] ?? 0) > bodyBytesMax) throw tooLarge(bodyBytesMax);
}

/**
 * Reads a body in the chunks it comes in. They are kept as they are: joining 100 MB blocks the event
 * loop for some 80 ms. Exactly one of `done` and `failed` is called, or neither when the client leaves.
 */
export function readBody(request: IncomingMessage, options: ReadOptions): void {
  const chunks: Buffer[] = [];
  let bytes = 0;
  const stop = (): void => {
    request.off('data', onData).off('end', onEnd).off('close', stop);
    watch.cancel();
  };
  const onData = (chunk: Buffer): void => {
    bytes += chunk.length;
    if (bytes > options.bodyBytesMax) {
      stop();
      request.pause();
      return options.failed(tooLarge(options.bodyBytesMax));
    }
    chunks.push(chunk);
    options.onChunk(chunk);
  };
  const onEnd = (): void => {
    stop();
    options.done(chunks, bytes);
  };
  let bytesBefore = 0;
  const lookForProgress = (): void => {
    if (bytes > bytesBefore) {
      bytesBefore = bytes;
      watch = options.clock.after(BODY_IDLE_MS_MAX, lookForProgress);
      return;
    }
    stop();
    options.failed(
      new ProxyError('BAD_REQUEST', 'The request body stopped coming before its end.', {
        where: 'body',
      }),
    );
  };
  let watch: Timer = options.clock.after(BODY_IDLE_MS_MAX, lookForProgress);
  // A client that leaves takes its call with it; without a listener Node would throw here.
  request.on('error', () => undefined);
  request.on('data', onData).on('end', onEnd).on('close', stop);
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

function tooLarge(bodyBytesMax: number): ProxyError {
  const mebibytes = Math.floor(bodyBytesMax / (1024 * 1024));
  return new ProxyError(
    'BODY_TOO_LARGE',
    `The body is larger than ${mebibytes > 0 ? `${mebibytes} MiB` : `${bodyBytesMax} bytes`}; upload large files through the Files API and name them by URI.`,
    { where: 'body' },
  );
}
