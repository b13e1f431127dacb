/**
 * A piece of a file that a probe asks for: `bytes` from `at`, or the last `-at` bytes where `at` is
 * negative. Never before what was asked last, since the file goes by only once; a file that ends
 * sooner gives less.
 */
export interface Want {
  readonly at: number;
  /** At most WANT_BYTES_MAX. */
  readonly bytes: number;
}

/** What a file's own header says of what it holds. */
export type Measure =
  | { readonly of: 'picture'; readonly width: number; readonly height: number }
  | { readonly of: 'time'; readonly seconds: number }
  /** Of constant rate: so many bytes from `from` to the end of the file, `bytes` of them at most. */
  | {
      readonly of: 'rate';
      readonly from: number;
      readonly bytes: number;
      readonly bytesPerSecond: number;
    }
  | { readonly of: 'pages'; readonly pages: number };

/** Asks for pieces of a file until it knows; null where the file does not tell. */
export type Probe = Generator<Want, Measure | null, Buffer>;

/** The most that is decoded at once: the largest page of Ogg, and the ends of a PDF. */
export const WANT_BYTES_MAX = 65_536;
