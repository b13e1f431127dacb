import { codingOf, unpackerFor } from '../gemini/content-coding.ts';

/** Most bytes of an answer that are copied, packed or not: a page of 100 files takes about 60 KiB. */
export const COPY_BYTES_MAX = 512 * 1024;

/** A copy of an answer that goes by, given up where it is larger than `COPY_BYTES_MAX`. */
export class AnswerCopy {
  readonly #coding: string | null;
  readonly #done: (body: Buffer) => void;
  #chunks: Buffer[] | null = [];
  #bytes = 0;

  /** `done` gets the plain body once the answer has ended, and is not called without one. */
  constructor(contentEncoding: string | null, done: (body: Buffer) => void) {
    this.#coding = codingOf(contentEncoding);
    this.#done = done;
  }

  add(chunk: Buffer): void {
    this.#bytes += chunk.length;
    if (this.#bytes > COPY_BYTES_MAX) this.#chunks = null;
    this.#chunks?.push(chunk);
  }

  /** A plain body is told of at once, a packed one as soon as it is unpacked. */
  end(): void {
    const chunks = this.#chunks;
    this.#chunks = null;
    if (chunks === null || this.#bytes === 0) return;
    const body = Buffer.concat(chunks);
    if (this.#coding === null) return this.#done(body);
    const unpacker = unpackerFor(this.#coding, body[0] ?? 0);
    if (unpacker === null) return;
    const plain: Buffer[] = [];
    let bytes = 0;
    unpacker.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > COPY_BYTES_MAX) unpacker.destroy();
      else plain.push(chunk);
    });
    // What cannot be unpacked is the client's to judge; here it is only not learned from.
    unpacker.on('error', () => undefined);
    unpacker.on('end', () => this.#done(Buffer.concat(plain)));
    unpacker.end(body);
  }
}
