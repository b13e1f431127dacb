/** Its characters, the bytes between its quotes, or nothing. */
export type StringWish = 'read' | 'sample' | 'skip';

/** What a scan tells of the JSON going by, in document order. */
export interface JsonSink {
  open(isArray: boolean): void;
  close(): void;
  /** A member's name, cut at 128 bytes; bytes beyond ASCII come as Latin-1. */
  key(name: string): void;
  /** A string value begins; the answer says what of it to give. */
  startString(): StringWish;
  /** UTF-8 bytes of a wanted string, without escapes. A character may be split between two runs. */
  run(chunk: Buffer, start: number, end: number): void;
  /** One UTF-16 code unit of a wanted string that was written as an escape. */
  escaped(codeUnit: number): void;
  /** A piece of a sampled string, with its escapes as written; at memory speed. */
  sample(chunk: Buffer, start: number, end: number): void;
  /** A string value has ended; `rawBytes` is its length between the quotes, escapes as written. */
  endString(rawBytes: number): void;
  /** A number, true, false or null, as written. */
  scalar(token: string): void;
}

/** Where and why the bytes are not a JSON object. */
export interface JsonProblem {
  readonly message: string;
  /** Bytes from the start of the body. */
  readonly offset: number;
}

/** Google's own parser stops at 100. */
const DEPTH_MAX = 256;
const KEY_BYTES_MAX = 128;
const SCALAR_BYTES_MAX = 64;
const SCALAR = /^(?:true|false|null|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|NaN|-?Infinity)$/;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const LETTER_U = 0x75;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;
const OPEN_ARRAY = 0x5b;
const CLOSE_ARRAY = 0x5d;
const COMMA = 0x2c;
const COLON = 0x3a;

type Mode =
  /** Between tokens; `#expects` says what may come. */
  'structure' | 'key' | 'read' | 'skip' | 'scalar';

type Expected =
  | 'root'
  | 'value'
  | 'value_or_end'
  | 'key'
  | 'key_or_end'
  | 'colon'
  | 'comma'
  | 'end';

const EXPECTED_WORDS: Readonly<Record<Expected, string>> = {
  root: 'a JSON object, which begins with {',
  value: 'a value',
  value_or_end: 'a value or ]',
  key: 'a name in double quotes',
  key_or_end: 'a name in double quotes or }',
  colon: ':',
  comma: 'a comma or the end of the object or array',
  end: 'nothing more after the JSON object',
};

/**
 * Scans one JSON object as its bytes come, in constant memory: chunks are neither kept nor joined, and
 * strings that nobody wants (base64) are passed over with memchr. It checks structure, not the inside
 * of strings, so it refuses nothing that JSON.parse would take, except nesting beyond 256.
 */
export class JsonScan {
  readonly #sink: JsonSink;
  #mode: Mode = 'structure';
  #expects: Expected = 'root';
  readonly #arrays: boolean[] = [];
  /** Bytes in the chunks before this one. */
  #offset = 0;
  #problem: JsonProblem | null = null;
  /** A name or scalar that is being gathered. */
  #token = '';
  #rawBytes = 0;
  /** In a skipped string: the bytes so far end in an odd run of backslashes. */
  #oddBackslashes = false;
  /** A skipped string is given to the sink in pieces. */
  #isSampled = false;
  /** In an escape: -1 right after the backslash, else how many hex digits of \u are missing. */
  #escape = 0;
  #codeUnit = 0;

  constructor(sink: JsonSink) {
    this.#sink = sink;
  }

  push(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length && this.#problem === null) at = this.#step(chunk, at);
    this.#offset += chunk.length;
  }

  /** Call once, after the last chunk. Null when it was one whole JSON object. */
  end(): JsonProblem | null {
    if (this.#problem !== null || this.#expects === 'end') return this.#problem;
    const message =
      this.#offset === 0
        ? 'the body is empty, expected a JSON object'
        : this.#expects === 'root'
          ? 'the body is blank, expected a JSON object'
          : 'the body ends in the middle of the JSON object';
    return { message, offset: this.#offset };
  }

  #step(chunk: Buffer, at: number): number {
    switch (this.#mode) {
      case 'structure':
        return this.#structure(chunk, at);
      case 'skip':
        return this.#skipString(chunk, at);
      case 'key':
      case 'read':
        return this.#escape === 0 ? this.#readString(chunk, at) : this.#readEscape(chunk, at);
      case 'scalar':
        return this.#readScalar(chunk, at);
    }
  }

  #structure(chunk: Buffer, start: number): number {
    let at = start;
    while (isSpace(chunk[at])) at += 1;
    const byte = chunk[at];
    if (byte === undefined) return at;
    switch (this.#expects) {
      case 'root':
        return byte === OPEN_OBJECT ? this.#open(false, at) : this.#fail(chunk, at);
      case 'value':
      case 'value_or_end':
        return this.#value(chunk, at, byte);
      case 'key':
      case 'key_or_end':
        if (byte === QUOTE) {
          this.#startToken('key');
          return at + 1;
        }
        if (byte === CLOSE_OBJECT && this.#expects === 'key_or_end') return this.#close(at);
        return this.#fail(chunk, at);
      case 'colon':
        if (byte !== COLON) return this.#fail(chunk, at);
        this.#expects = 'value';
        return at + 1;
      case 'comma':
        return this.#afterValue(chunk, at, byte);
      case 'end':
        return this.#fail(chunk, at);
    }
  }

  #value(chunk: Buffer, at: number, byte: number): number {
    if (byte === QUOTE) {
      const wish = this.#sink.startString();
      this.#isSampled = wish === 'sample';
      this.#startToken(wish === 'read' ? 'read' : 'skip');
      return at + 1;
    }
    if (byte === OPEN_OBJECT) return this.#open(false, at);
    if (byte === OPEN_ARRAY) return this.#open(true, at);
    if (byte === CLOSE_ARRAY && this.#expects === 'value_or_end') return this.#close(at);
    if (!isScalarByte(byte)) return this.#fail(chunk, at);
    this.#startToken('scalar');
    return at;
  }

  #afterValue(chunk: Buffer, at: number, byte: number): number {
    const inArray = this.#arrays.at(-1) === true;
    if (byte === COMMA) {
      this.#expects = inArray ? 'value' : 'key';
      return at + 1;
    }
    if (byte === (inArray ? CLOSE_ARRAY : CLOSE_OBJECT)) return this.#close(at);
    return this.#fail(chunk, at);
  }

  #open(isArray: boolean, at: number): number {
    if (this.#arrays.length >= DEPTH_MAX) {
      return this.#failWith(`nested deeper than ${DEPTH_MAX} levels`, at);
    }
    this.#arrays.push(isArray);
    this.#expects = isArray ? 'value_or_end' : 'key_or_end';
    this.#sink.open(isArray);
    return at + 1;
  }

  #close(at: number): number {
    this.#arrays.pop();
    this.#expects = this.#arrays.length === 0 ? 'end' : 'comma';
    this.#sink.close();
    return at + 1;
  }

  #startToken(mode: Mode): void {
    this.#mode = mode;
    this.#token = '';
    this.#rawBytes = 0;
    this.#oddBackslashes = false;
  }

  #endString(): void {
    if (this.#mode === 'key') {
      this.#expects = 'colon';
      this.#sink.key(this.#token);
    } else {
      this.#expects = 'comma';
      this.#sink.endString(this.#rawBytes);
    }
    this.#mode = 'structure';
  }

  #skipString(chunk: Buffer, start: number): number {
    let at = start;
    for (;;) {
      const quote = chunk.indexOf(QUOTE, at);
      const end = quote === -1 ? chunk.length : quote;
      let backslashes = 0;
      while (end - backslashes > at && chunk[end - backslashes - 1] === BACKSLASH) backslashes += 1;
      // Of a run that began in the chunk before, only the parity is known.
      const carried = backslashes === end - at && this.#oddBackslashes ? 1 : 0;
      this.#oddBackslashes = (backslashes + carried) % 2 === 1;
      this.#rawBytes += end - at;
      if (this.#isSampled && end > at) this.#sink.sample(chunk, at, end);
      if (quote === -1) return end;
      if (!this.#oddBackslashes) {
        this.#endString();
        return quote + 1;
      }
      this.#oddBackslashes = false;
      this.#rawBytes += 1;
      if (this.#isSampled) this.#sink.sample(chunk, quote, quote + 1);
      at = quote + 1;
    }
  }

  #readString(chunk: Buffer, start: number): number {
    let end = start;
    let byte = chunk[end];
    while (byte !== undefined && byte !== QUOTE && byte !== BACKSLASH) {
      end += 1;
      byte = chunk[end];
    }
    if (end > start) {
      this.#rawBytes += end - start;
      if (this.#mode === 'read') this.#sink.run(chunk, start, end);
      else this.#gatherKey(chunk.toString('latin1', start, Math.min(end, start + KEY_BYTES_MAX)));
    }
    if (byte === undefined) return end;
    if (byte === QUOTE) {
      this.#endString();
    } else {
      this.#escape = -1;
      this.#rawBytes += 1;
    }
    return end + 1;
  }

  #readEscape(chunk: Buffer, at: number): number {
    const byte = chunk[at] ?? 0;
    this.#rawBytes += 1;
    if (this.#escape === -1) {
      if (byte === LETTER_U) {
        this.#escape = 4;
        this.#codeUnit = 0;
        return at + 1;
      }
      const codeUnit = SHORT_ESCAPES.get(byte);
      if (codeUnit === undefined) return this.#fail(chunk, at, 'a JSON escape after \\');
      this.#escape = 0;
      this.#giveEscaped(codeUnit);
      return at + 1;
    }
    const digit = Number.parseInt(String.fromCharCode(byte), 16);
    if (Number.isNaN(digit)) return this.#fail(chunk, at, 'four hex digits after \\u');
    this.#codeUnit = this.#codeUnit * 16 + digit;
    this.#escape -= 1;
    if (this.#escape === 0) this.#giveEscaped(this.#codeUnit);
    return at + 1;
  }

  #giveEscaped(codeUnit: number): void {
    if (this.#mode === 'read') this.#sink.escaped(codeUnit);
    else this.#gatherKey(String.fromCharCode(codeUnit));
  }

  #gatherKey(part: string): void {
    if (this.#token.length < KEY_BYTES_MAX) {
      this.#token = (this.#token + part).slice(0, KEY_BYTES_MAX);
    }
  }

  #readScalar(chunk: Buffer, start: number): number {
    let end = start;
    while (isScalarByte(chunk[end])) end += 1;
    if (this.#token.length < SCALAR_BYTES_MAX) {
      this.#token += chunk.toString('latin1', start, Math.min(end, start + SCALAR_BYTES_MAX));
    }
    if (end === chunk.length) return end;
    // The root is an object, so a scalar always has a byte after it, here or in the next chunk.
    const isNumberCut = this.#token.length >= SCALAR_BYTES_MAX;
    if (!isNumberCut && !SCALAR.test(this.#token)) {
      const word = JSON.stringify(this.#token);
      return this.#failWith(`expected a value, found ${word}`, end - this.#token.length);
    }
    this.#mode = 'structure';
    this.#expects = 'comma';
    this.#sink.scalar(this.#token);
    return end;
  }

  #fail(chunk: Buffer, at: number, expected = EXPECTED_WORDS[this.#expects]): number {
    const found = JSON.stringify(chunk.toString('latin1', at, at + 1));
    return this.#failWith(`expected ${expected}, found ${found}`, at);
  }

  /** `at` is negative where the token began in a chunk before this one. */
  #failWith(message: string, at: number): number {
    this.#problem = { message, offset: this.#offset + at };
    return at;
  }
}

const SHORT_ESCAPES: ReadonlyMap<number, number> = new Map(
  [
    ['"', '"'],
    ['\\', '\\'],
    ['/', '/'],
    ['b', '\b'],
    ['f', '\f'],
    ['n', '\n'],
    ['r', '\r'],
    ['t', '\t'],
  ].map(([letter = '', meant = '']) => [letter.charCodeAt(0), meant.charCodeAt(0)]),
);

function isSpace(byte: number | undefined): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
}

/** Letters, digits, plus, minus and dot: what numbers and literals are made of. */
function isScalarByte(byte: number | undefined): boolean {
  if (byte === undefined) return false;
  return (
    (byte >= 0x30 && byte <= 0x39) ||
    (byte >= 0x61 && byte <= 0x7a) ||
    (byte >= 0x41 && byte <= 0x5a) ||
    byte === 0x2d ||
    byte === 0x2b ||
    byte === 0x2e
  );
}
