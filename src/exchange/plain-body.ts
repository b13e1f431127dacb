import { Readable, type Transform } from 'node:stream';
import { brotliDecompressSync, gunzipSync, inflateSync } from 'node:zlib';
import { codingOf, unpackerFor } from '../gemini/content-coding.ts';
import { headerValue } from '../gemini/headers.ts';

/** An error body is some kilobytes; more is not one. */
const PLAIN_BYTES_MAX = 1_048_576;

/** A small answer body without its content-encoding; as it is when it cannot be unpacked. */
export function plainBody(body: Buffer, headers: readonly string[]): Buffer {
  const encoding = codingOf(headerValue(headers, 'content-encoding'));
  const options = { maxOutputLength: PLAIN_BYTES_MAX };
  try {
    if (encoding === 'gzip') return gunzipSync(body, options);
    if (encoding === 'br') return brotliDecompressSync(body, options);
    if (encoding === 'deflate') return inflateSync(body, options);
    return body;
  } catch {
    return body;
  }
}

/** Joined in so large steps, some 2 ms each, with a turn of the event loop in between. */
const STEP_BYTES = 4 * 1024 * 1024;

/**
 * A request body in one piece and without its content-encoding; null where it is longer than
 * `bytesMax` or cannot be unpacked.
 */
export async function wholeBody(
  chunks: readonly Buffer[],
  headers: readonly string[],
  bytesMax: number,
): Promise<Buffer | null> {
  const coding = codingOf(headerValue(headers, 'content-encoding'));
  if (coding === null) return join(chunks, bytesMax);
  const unpacker = unpackerFor(coding, chunks[0]?.[0] ?? 0);
  return unpacker === null ? null : join(await unpacked(unpacker, chunks, bytesMax), bytesMax);
}

async function join(chunks: readonly Buffer[] | null, bytesMax: number): Promise<Buffer | null> {
  const bytes = chunks?.reduce((sum, chunk) => sum + chunk.length, 0) ?? Infinity;
  if (chunks === null || bytes > bytesMax) return null;
  const whole = Buffer.allocUnsafeSlow(bytes);
  let at = 0;
  let stepBytes = 0;
  for (const chunk of chunks) {
    at += chunk.copy(whole, at);
    stepBytes += chunk.length;
    if (stepBytes < STEP_BYTES) continue;
    stepBytes = 0;
    await nextTurn();
  }
  return whole;
}

/** Null for what cannot be unpacked or becomes too long. */
async function unpacked(
  unpacker: Transform,
  chunks: readonly Buffer[],
  bytesMax: number,
): Promise<Buffer[] | null> {
  const pieces: Buffer[] = [];
  let bytes = 0;
  try {
    const stream: AsyncIterable<Buffer> = Readable.from(chunks).pipe(unpacker);
    for await (const piece of stream) {
      bytes += piece.length;
      if (bytes > bytesMax) return null;
      pieces.push(piece);
    }
    return pieces;
  } catch {
    return null;
  }
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
