import { brotliDecompressSync, gunzipSync, inflateSync } from 'node:zlib';
import { headerValue } from '../gemini/headers.ts';

/** An error body is some kilobytes; more is not one. */
const PLAIN_BYTES_MAX = 1_048_576;

/** A small answer body without its content-encoding; as it is when it cannot be unpacked. */
export function plainBody(body: Buffer, headers: readonly string[]): Buffer {
  const encoding = headerValue(headers, 'content-encoding')?.trim().toLowerCase() ?? 'identity';
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
