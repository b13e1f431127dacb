/**
 * What MassGen writes into its prompts: around the other agents' answers, and as anonymous names of
 * agents. Both begin with the only `<` in them, which makes searching them across edges simple.
 */
const MASSGEN_MARKERS = ['<CURRENT ANSWERS from the agents>', '<agent_identity'] as const;

const LESS_THAN = 0x3c;

/**
 * Counts characters by the length of their UTF-8 form, which tells scripts apart well enough for
 * tokens, as bytes or escapes come. A character is counted at its first byte.
 */
export class TextCount {
  /** One byte: ASCII, one count for each bucket that the caller numbers from 0. */
  readonly ascii: number[];
  /** Two bytes: Latin with accents, Greek, Cyrillic, Hebrew, Arabic. */
  twoByte = 0;
  /** Three bytes: Chinese, Japanese, Korean; also Indic scripts, Thai and typographic marks. */
  threeByte = 0;
  /** Four bytes: emoji and rare ideographs. */
  fourByte = 0;
  /** Whether one of MassGen's markers has gone by in a string that was searched. */
  massgen = false;

  #bucket = 0;
  #searches = false;
  #marker: string | null = null;
  #matched = 0;

  constructor(buckets: number) {
    this.ascii = Array.from({ length: buckets }, () => 0);
  }

  /** A string begins; its ASCII goes to `bucket`. Markers are sought only where `searches`. */
  start(bucket: number, searches: boolean): void {
    this.#bucket = bucket;
    this.#searches = searches && !this.massgen;
    this.#matched = 0;
  }

  /** ASCII characters that need no look. */
  add(bucket: number, characters: number): void {
    this.ascii[bucket] = (this.ascii[bucket] ?? 0) + characters;
  }

  run(chunk: Buffer, start: number, end: number): void {
    let ascii = 0;
    for (let at = start; at < end; at += 1) {
      const byte = chunk[at] ?? 0;
      if (byte < 0x80) {
        ascii += 1;
        if (byte === LESS_THAN || this.#matched !== 0) this.#match(byte);
      } else if (byte >= 0xc0) {
        if (byte < 0xe0) this.twoByte += 1;
        else if (byte < 0xf0) this.threeByte += 1;
        else this.fourByte += 1;
        this.#matched = 0;
      }
    }
    this.add(this.#bucket, ascii);
  }

  /** A UTF-16 code unit; the second half of a surrogate pair counts nothing. */
  escaped(codeUnit: number): void {
    if (codeUnit < 0x80) {
      this.add(this.#bucket, 1);
      this.#match(codeUnit);
      return;
    }
    this.#matched = 0;
    if (codeUnit < 0x800) this.twoByte += 1;
    else if (codeUnit >= 0xd800 && codeUnit < 0xdc00) this.fourByte += 1;
    else if (codeUnit < 0xdc00 || codeUnit > 0xdfff) this.threeByte += 1;
  }

  #match(code: number): void {
    if (!this.#searches) return;
    if (code === LESS_THAN) {
      this.#matched = 1;
      return;
    }
    if (this.#matched === 1) {
      this.#marker = MASSGEN_MARKERS.find((each) => each.charCodeAt(1) === code) ?? null;
    }
    if (this.#matched === 0 || this.#marker?.charCodeAt(this.#matched) !== code) {
      this.#matched = 0;
      return;
    }
    this.#matched += 1;
    if (this.#matched === this.#marker.length) {
      this.massgen = true;
      this.#searches = false;
      this.#matched = 0;
    }
  }
}
