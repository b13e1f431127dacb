import { probeMedia } from './media-probe.ts';
import type { Measure, Probe, Want } from './media-want.ts';
import { WANT_BYTES_MAX } from './media-want.ts';

/** Steps of one probe: a file can have it skip from segment to segment, but not for ever. */
const STEPS_MAX = 256;
/** A longer one is no place that the upstream hands out. */
const URI_CHARS_MAX = 2_048;
/** Base64 of the longest tail, and one group more, since it may begin within a group. */
const RING_BYTES = (Math.ceil(WANT_BYTES_MAX / 3) + 2) * 4;

const BACKSLASH = 0x5c;
const LETTER_U = 0x75;
const COMMA = 0x2c;

/** What one string of a body held. */
export interface Sampled {
  /** Where the medium lies, if the string says no more than that. */
  readonly uri: string | null;
  /** The MIME type that a data: URL begins with. */
  readonly mime: string | null;
  /** Of the file behind the base64; 0 for a URI. */
  readonly bytes: number;
  readonly measure: Measure | null;
}

/**
 * Measures media in base64 as it goes by: decodes the pieces that a probe asks for, headers as a
 * rule, and passes over the rest. Takes the raw content of a JSON string in any pieces, since some
 * clients write the slashes of base64 as `\/` and others its plus as `\u002B`. One at a time.
 */
export class MediaSample {
  /** Of a URL, until it shows whether it is data. */
  #url: string | null = null;
  #mime: string | null = null;
  #probe: Probe | null = null;
  #want: Want | null = null;
  #measure: Measure | null = null;
  #steps = 0;
  /** Base64 characters that have gone by. */
  #chars = 0;
  /** The characters wanted, whole groups of four, and those that are there. */
  #fromChar = 0;
  #toChar = 0;
  #text = '';
  /** What was decoded last, and what of it the probe asks for once more. */
  #kept = Buffer.alloc(0);
  #keptAt = 0;
  #again = Buffer.alloc(0);
  /** The last characters, for a probe that waits for the end. Made when first needed. */
  #ring: Buffer | null = null;
  /** The two last characters, which may be padding. */
  #last = '';
  /** In an escape: -1 right after the backslash, else how many hex digits of \u are missing. */
  #escape = 0;
  #codeUnit = 0;

  /** A string begins: base64, or a URL that may be a `data:` one. */
  start(isUrl: boolean): void {
    this.#url = isUrl ? '' : null;
    this.#mime = null;
    this.#measure = null;
    this.#steps = 0;
    this.#chars = 0;
    this.#kept = Buffer.alloc(0);
    this.#keptAt = 0;
    this.#last = '';
    this.#escape = 0;
    this.#probe = null;
    this.#want = null;
    if (!isUrl) this.#begin();
  }

  push(chunk: Buffer, start: number, end: number): void {
    let at = start;
    while (at < end) {
      if (this.#escape !== 0) {
        this.#readEscape(chunk[at] ?? 0);
        at += 1;
        continue;
      }
      if (this.#url === null && this.#want === null) break;
      const backslash = chunk.subarray(at, end).indexOf(BACKSLASH);
      const stop = backslash === -1 ? end : at + backslash;
      this.#run(chunk, at, stop);
      at = stop + 1;
      if (backslash !== -1) this.#escape = -1;
    }
    // Nobody wants more, so escapes count as what they are written with: little too much.
    if (at < end) this.#pass(chunk, at, end);
  }

  /** Call once, after the last piece. */
  end(): Sampled {
    const bytes = this.#fileBytes();
    while (this.#want !== null) {
      this.#give(this.#want.at < 0 ? this.#tail(-this.#want.at) : this.#collected(this.#want));
    }
    const uri = this.#url === null ? null : Buffer.from(this.#url, 'latin1').toString('utf8');
    return { uri, mime: this.#mime, bytes, measure: this.#measure };
  }

  #begin(): void {
    this.#probe = probeMedia();
    this.#step(this.#probe.next());
  }

  #readEscape(byte: number): void {
    if (this.#escape === -1 && byte === LETTER_U) {
      this.#escape = 4;
      this.#codeUnit = 0;
      return;
    }
    if (this.#escape === -1) {
      this.#escape = 0;
      this.#codeUnit = byte;
    } else {
      this.#codeUnit = this.#codeUnit * 16 + (Number.parseInt(String.fromCharCode(byte), 16) || 0);
      this.#escape -= 1;
    }
    if (this.#escape === 0) this.#run(Buffer.of(Math.min(this.#codeUnit, 0xff)), 0, 1);
  }

  /** Characters without escapes. */
  #run(chunk: Buffer, start: number, end: number): void {
    let at = start;
    if (this.#url !== null) {
      at = this.#readUrl(chunk, start, end);
      if (this.#url !== null) return;
    }
    while (at < end && this.#want !== null && this.#want.at >= 0) {
      const isBefore = this.#chars < this.#fromChar;
      const left = (isBefore ? this.#fromChar : this.#toChar) - this.#chars;
      const stop = Math.min(end, at + left);
      if (!isBefore) this.#text += chunk.toString('latin1', at, stop);
      this.#pass(chunk, at, stop);
      at = stop;
      if (this.#chars >= this.#toChar) this.#give(this.#collected(this.#want));
    }
    if (at < end && this.#want !== null) this.#keepLast(chunk, at, end);
    if (at < end) this.#pass(chunk, at, end);
  }

  #pass(chunk: Buffer, start: number, end: number): void {
    this.#chars += end - start;
    this.#last = (this.#last + chunk.toString('latin1', Math.max(start, end - 2), end)).slice(-2);
  }

  /** Reads `data:image/png;base64,` and answers where the data begins; anything else is a place. */
  #readUrl(chunk: Buffer, start: number, end: number): number {
    const url = this.#url ?? '';
    const room = Math.max(0, URI_CHARS_MAX - url.length);
    const isData = url === '' || url.startsWith('data:'.slice(0, url.length));
    const comma = isData ? chunk.subarray(start, end).indexOf(COMMA) : -1;
    const stop = comma === -1 ? end : start + comma;
    this.#url = url + chunk.toString('latin1', start, Math.min(stop, start + room));
    const data = comma === -1 ? null : /^data:([^;]*)/.exec(this.#url);
    if (data === null) {
      if (comma !== -1) this.#url += chunk.toString('latin1', stop, Math.min(end, start + room));
      return end;
    }
    this.#mime = data[1] ?? '';
    this.#url = null;
    this.#begin();
    return stop + 1;
  }

  #give(piece: Buffer): void {
    if (this.#probe !== null) this.#step(this.#probe.next(piece));
  }

  /** Takes the probe's next want, or what it has found. */
  #step(asked: IteratorResult<Want, Measure | null>): void {
    let next = asked;
    for (;;) {
      this.#want = null;
      this.#text = '';
      this.#steps += 1;
      if (next.done === true) {
        this.#measure = next.value;
        return;
      }
      const want = next.value;
      const known = this.#keptAt + this.#kept.length;
      const isBehind = want.at >= 0 && want.at < Math.min(this.#keptAt, known);
      const isSane = want.bytes <= WANT_BYTES_MAX && want.at <= Number.MAX_SAFE_INTEGER / 2;
      if (this.#steps > STEPS_MAX || isBehind || !isSane) return;
      this.#want = want;
      if (want.at < 0) {
        this.#fromChar = this.#chars;
        return;
      }
      this.#again = want.at < known ? this.#kept.subarray(want.at - this.#keptAt) : Buffer.alloc(0);
      this.#fromChar = Math.max(this.#chars, Math.floor(want.at / 3) * 4);
      this.#toChar = Math.max(this.#fromChar, Math.ceil((want.at + want.bytes) / 3) * 4);
      if (this.#toChar > this.#chars || this.#probe === null) return;
      next = this.#probe.next(this.#collected(want));
    }
  }

  /** What there is of `want`, decoded. */
  #collected({ at, bytes }: Want): Buffer {
    const decoded = Buffer.from(this.#text, 'base64');
    const hasAgain = this.#again.length > 0;
    this.#kept = hasAgain ? Buffer.concat([this.#again, decoded]) : decoded;
    this.#keptAt = hasAgain ? at : Math.floor(this.#fromChar / 4) * 3;
    const start = Math.max(0, at - this.#keptAt);
    return this.#kept.subarray(start, start + bytes);
  }

  #keepLast(chunk: Buffer, start: number, end: number): void {
    const ring = (this.#ring ??= Buffer.alloc(RING_BYTES));
    const from = Math.max(start, end - RING_BYTES);
    const place = (this.#chars + from - start) % RING_BYTES;
    const copied = chunk.copy(ring, place, from, end);
    if (copied < end - from) chunk.copy(ring, 0, from + copied, end);
  }

  /** The last bytes, of which some may be in what was decoded before. */
  #tail(bytes: number): Buffer {
    const from = Math.max(this.#fromChar, this.#chars - RING_BYTES);
    const first = Math.ceil(from / 4) * 4;
    const length = Math.max(0, this.#chars - first);
    const place = first % RING_BYTES;
    const ring = this.#ring ?? Buffer.alloc(0);
    const text =
      ring.toString('latin1', place, Math.min(ring.length, place + length)) +
      ring.toString('latin1', 0, Math.max(0, place + length - RING_BYTES));
    const decoded = Buffer.from(length === 0 ? '' : text, 'base64');
    const isWhole = from === this.#fromChar;
    const all = isWhole ? Buffer.concat([this.#kept, decoded]) : decoded;
    return all.subarray(Math.max(0, all.length - bytes));
  }

  #fileBytes(): number {
    if (this.#url !== null) return 0;
    const padding = this.#last.endsWith('==') ? 2 : this.#last.endsWith('=') ? 1 : 0;
    return Math.floor(((this.#chars - padding) * 3) / 4);
  }
}
