import type { Transform } from 'node:stream';
import * as zlib from 'node:zlib';

/** Larger than zlib's default of 16 KiB: fewer trips between its threads and ours. */
const CHUNK_BYTES = 65_536;

/** The value of content-encoding in lower case; null for a body that is not encoded. */
export function codingOf(header: string | null): string | null {
  const coding = (header ?? '').trim().toLowerCase();
  return coding === '' || coding === 'identity' ? null : coding;
}

/** Whether bodies of this coding can be unpacked here. */
export function canUnpack(coding: string): boolean {
  return unpackerFor(coding, 0) !== null;
}

/**
 * A stream that unpacks `coding`, as `codingOf` gives it; null for what this Node cannot unpack, such
 * as zstd before Node 22.15, and for several codings on top of each other. `firstByte` of the body
 * tells zlib's format, which RFC 9110 means by deflate, from the bare one that some clients send.
 */
export function unpackerFor(coding: string, firstByte: number): Transform | null {
  const options = { chunkSize: CHUNK_BYTES };
  switch (coding) {
    case 'gzip':
    case 'x-gzip':
      return zlib.createGunzip(options);
    case 'deflate':
      return (firstByte & 0x0f) === 8
        ? zlib.createInflate(options)
        : zlib.createInflateRaw(options);
    case 'br':
      return zlib.createBrotliDecompress(options);
    case 'zstd':
      return isMaker(createZstd) ? createZstd(options) : null;
    default:
      return null;
  }
}

/** Not there in the oldest Node that is served. */
const createZstd: unknown = Reflect.get(zlib, 'createZstdDecompress');

function isMaker(value: unknown): value is (options: { chunkSize: number }) => Transform {
  return typeof value === 'function';
}
