import type { Transform } from 'node:stream';

import { ProxyError } from '../errors.ts';
import { type BodyFacts, BodyScanner } from '../gemini/body-scan.ts';
import { canUnpack, codingOf, unpackerFor } from '../gemini/content-coding.ts';
import type { TurnBudget } from './turn-budget.ts';

/** The slowest JSON, all escapes, is scanned at 40 MB/s: such a slice takes 0.8 ms. */
const SLICE_BYTES = 32 * 1024;

/** JSON shrinks to a third or a fifth; a body that cannot be unpacked is taken for so much text. */
const CHARS_PER_PACKED_BYTE = 4;
/** And for no more than this. */
const BYTES_PER_PACKED_BYTE = 8;

/** A byte order mark in UTF-8. RFC 8259 section 8.1 lets whoever reads JSON ignore it. */
const BYTE_ORDER_MARK = [0xef, 0xbb, 0xbf];

export interface IntakeOptions {
  readonly budget: TurnBudget;
  /** Value of the header; null without one. */
  readonly contentEncoding: string | null;
  /** Most bytes of a body once unpacked: a few packed kilobytes can stand for gigabytes. */
  readonly unpackedBytesMax: number;
  /** More can be taken, after `push` has said that it cannot. */
  readonly onDrain: () => void;
  readonly done: (facts: BodyFacts) => void;
  readonly failed: (error: ProxyError) => void;
}

/** Learns what a request body says from its bytes as they come. Keeps nothing of it. */
export interface BodyIntake {
  /** False when nothing more is to come before `onDrain`. */
  push(chunk: Buffer): boolean;
  /** After the last chunk. Calls `done` or `failed`, at once where it can. */
  end(): void;
  /** Nobody wants to know any more; nothing is called after this. */
  drop(): void;
}

/** The way to read a body of its content-encoding. */
export function createBodyIntake(options: IntakeOptions): BodyIntake {
  const coding = codingOf(options.contentEncoding);
  if (coding === null) return new PlainIntake(options);
  return canUnpack(coding) ? new PackedIntake(coding, options) : new OpaqueIntake(options);
}

/** Scans in slices, as far as the turn's budget goes. */
class SlicedScan {
  readonly #scanner = new BodyScanner();
  readonly #budget: TurnBudget;
  #bytesSeen = 0;

  constructor(budget: TurnBudget) {
    this.#budget = budget;
  }

  /** False when `finished` is to be awaited. The chunk must not be changed before. */
  push(chunk: Buffer, finished: () => void): boolean {
    let at = this.#markBytes(chunk);
    this.#bytesSeen += chunk.length;
    if (at === chunk.length) return true;
    const step = (): boolean => {
      this.#scanner.push(chunk.subarray(at, at + SLICE_BYTES));
      at += SLICE_BYTES;
      return at >= chunk.length;
    };
    return this.#budget.run(step, finished);
  }

  end(): BodyFacts {
    return this.#scanner.end();
  }

  /** How many bytes at the start of the chunk belong to a byte order mark at the start of the body. */
  #markBytes(chunk: Buffer): number {
    let bytes = 0;
    for (let at = this.#bytesSeen; at < BYTE_ORDER_MARK.length; at += 1) {
      if (chunk[bytes] !== BYTE_ORDER_MARK[at]) break;
      bytes += 1;
    }
    return bytes;
  }
}

class PlainIntake implements BodyIntake {
  readonly #options: IntakeOptions;
  readonly #scan: SlicedScan;
  #isScanning = false;
  #ended = false;
  #dropped = false;

  constructor(options: IntakeOptions) {
    this.#options = options;
    this.#scan = new SlicedScan(options.budget);
  }

  push(chunk: Buffer): boolean {
    this.#isScanning = !this.#scan.push(chunk, () => this.#scanned());
    return !this.#isScanning;
  }

  end(): void {
    this.#ended = true;
    if (!this.#isScanning && !this.#dropped) this.#options.done(this.#scan.end());
  }

  drop(): void {
    this.#dropped = true;
  }

  #scanned(): void {
    this.#isScanning = false;
    if (this.#dropped) return;
    if (this.#ended) this.end();
    else this.#options.onDrain();
  }
}

/** Unpacks beside the event loop, as far as the scan keeps up, and no further than the bound. */
class PackedIntake implements BodyIntake {
  readonly #coding: string;
  readonly #options: IntakeOptions;
  readonly #scan: SlicedScan;
  #unpacker: Transform | null = null;
  #unpackedBytes = 0;
  /** The packed data has come to its own end; what follows it is ignored, as everywhere. */
  #isWhole = false;
  #ended = false;
  #dropped = false;

  constructor(coding: string, options: IntakeOptions) {
    this.#coding = coding;
    this.#options = options;
    this.#scan = new SlicedScan(options.budget);
  }

  push(chunk: Buffer): boolean {
    if (this.#isWhole || chunk.length === 0) return true;
    this.#unpacker ??= this.#startUnpacking(chunk[0] ?? 0);
    return this.#unpacker?.write(chunk) ?? true;
  }

  end(): void {
    this.#ended = true;
    if (this.#unpacker === null || this.#isWhole) this.#finish();
    else this.#unpacker.end();
  }

  drop(): void {
    this.#dropped = true;
    this.#unpacker?.destroy();
  }

  #startUnpacking(firstByte: number): Transform | null {
    const unpacker = unpackerFor(this.#coding, firstByte);
    unpacker
      ?.on('data', (chunk: Buffer) => this.#unpacked(unpacker, chunk))
      .on('drain', () => {
        if (!this.#dropped) this.#options.onDrain();
      })
      .on('error', (error) => this.#fail(this.#brokenBy(error)))
      .on('end', () => {
        this.#isWhole = true;
        if (this.#ended) this.#finish();
      });
    return unpacker;
  }

  #unpacked(unpacker: Transform, chunk: Buffer): void {
    if (this.#dropped) return;
    this.#unpackedBytes += chunk.length;
    if (this.#unpackedBytes > this.#options.unpackedBytesMax) return this.#fail(this.#tooLarge());
    if (!this.#scan.push(chunk, () => unpacker.resume())) unpacker.pause();
  }

  #finish(): void {
    if (!this.#dropped) this.#options.done(this.#scan.end());
  }

  #fail(error: ProxyError): void {
    if (this.#dropped) return;
    this.drop();
    this.#options.failed(error);
  }

  #tooLarge(): ProxyError {
    return new ProxyError(
      'BODY_TOO_LARGE',
      `The body, unpacked from ${this.#coding}, is larger than ${this.#options.unpackedBytesMax} bytes; upload large files through the Files API and name them by URI.`,
      { where: 'body' },
    );
  }

  #brokenBy(cause: Error): ProxyError {
    return new ProxyError(
      'BAD_JSON',
      `the request body cannot be unpacked: its content-encoding is ${this.#coding}, but after ${this.#unpackedBytes} unpacked bytes came: ${cause.message}. Nothing was sent to the upstream.`,
      { where: 'content-encoding', cause },
    );
  }
}

/** A body that only the upstream can read. Counted as text, for most are. */
class OpaqueIntake implements BodyIntake {
  readonly #options: IntakeOptions;
  #bytes = 0;
  #dropped = false;

  constructor(options: IntakeOptions) {
    this.#options = options;
  }

  push(chunk: Buffer): boolean {
    this.#bytes += chunk.length;
    return true;
  }

  end(): void {
    if (this.#dropped) return;
    this.#options.done({
      ...new BodyScanner().end(),
      valid: true,
      problem: null,
      bytes: this.#bytes * BYTES_PER_PACKED_BYTE,
      asciiChars: this.#bytes * CHARS_PER_PACKED_BYTE,
    });
  }

  drop(): void {
    this.#dropped = true;
  }
}
