import type { Transform } from 'node:stream';
import { JsonAnswerReader, NO_ANSWER_FACTS, SseAnswerReader } from './answer-reader.ts';
import type { AnswerFacts, AnswerReader } from './answer-reader.ts';
import { canUnpack, codingOf, unpackerFor } from './content-coding.ts';

/** Compressed answers are unpacked up to here; more is a bomb or a file, and has no usage for us. */
const UNPACKED_BYTES_MAX = 268_435_456;
/** Compressed bytes that may wait for the unpacker before it is given up. */
const PACKED_BACKLOG_BYTES_MAX = 16_777_216;

/**
 * Reads usage, model and errors from the bytes of an answer while they pass to the client. It changes
 * nothing, keeps a bounded copy, and never throws or rejects: what it cannot read it does not know.
 */
export class UsageTap {
  readonly #contentType: string;
  /** Null for a plain answer. */
  readonly #coding: string | null;
  #unpacker: Transform | null = null;
  #unpacked: Promise<void> | null = null;
  #reader: AnswerReader | null = null;
  #unpackedBytes = 0;
  #isLost = false;

  /** Values of the answer's headers; null where absent. */
  constructor({
    contentType,
    contentEncoding,
  }: {
    readonly contentType: string | null;
    readonly contentEncoding: string | null;
  }) {
    this.#contentType = (contentType ?? '').toLowerCase();
    this.#coding = codingOf(contentEncoding);
    this.#isLost = this.#coding !== null && !canUnpack(this.#coding);
  }

  /** Takes the next bytes as received. They must not be changed afterwards. */
  push(chunk: Buffer): void {
    if (this.#isLost || chunk.length === 0) return;
    if (this.#coding === null) return this.#read(chunk);
    this.#unpacker ??= this.#startUnpacking(this.#coding, chunk[0] ?? 0);
    if (this.#unpacker === null || this.#unpacker.writableLength > PACKED_BACKLOG_BYTES_MAX) {
      this.#giveUp();
    } else if (!this.#unpacker.destroyed) {
      this.#unpacker.write(chunk);
    }
  }

  /** What the answer told. Call once, after the last chunk or when the answer was cut short. */
  async end(): Promise<AnswerFacts> {
    if (this.#unpacker !== null && this.#unpacked !== null) {
      if (!this.#unpacker.destroyed) this.#unpacker.end();
      await this.#unpacked;
    }
    return this.#isLost ? NO_ANSWER_FACTS : (this.#reader?.end() ?? NO_ANSWER_FACTS);
  }

  #startUnpacking(coding: string, firstByte: number): Transform | null {
    const unpacker = unpackerFor(coding, firstByte);
    if (unpacker === null) return null;
    this.#unpacked = new Promise((resolve) => {
      unpacker.on('data', (chunk: Buffer) => this.#readUnpacked(chunk));
      // What was unpacked before an error stands: an answer cut short still tells its usage.
      unpacker.on('error', () => resolve());
      unpacker.on('end', () => resolve());
      unpacker.on('close', () => resolve());
    });
    return unpacker;
  }

  #readUnpacked(chunk: Buffer): void {
    this.#unpackedBytes += chunk.length;
    if (this.#unpackedBytes > UNPACKED_BYTES_MAX) this.#giveUp();
    else this.#read(chunk);
  }

  #read(chunk: Buffer): void {
    this.#reader ??= this.#contentType.includes('text/event-stream')
      ? new SseAnswerReader()
      : new JsonAnswerReader();
    this.#reader.push(chunk);
  }

  #giveUp(): void {
    this.#isLost = true;
    this.#reader = null;
    this.#unpacker?.destroy();
  }
}
