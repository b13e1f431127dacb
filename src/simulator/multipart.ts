/** What stands before the media of a body: two heads and the JSON. Google's own has a few hundred bytes. */
const LEAD_BYTES_MAX = 65_536;
const HEAD_END = '\r\n\r\n';

/**
 * Reads a `multipart/related` body (RFC 2387) as it comes: JSON first, then media of any size, which
 * are handed on and not kept.
 */
export class RelatedBody {
  readonly #delimiter: Buffer;
  readonly #media: (chunk: Buffer) => void;
  /** What has not been handed on: all of the lead, then as much as may yet be the delimiter. */
  #rest: Buffer = Buffer.alloc(0);
  #state: 'lead' | 'media' | 'whole' | 'broken' = 'lead';
  /** The first part, without its head; empty until it has come. */
  metadata: Buffer = Buffer.alloc(0);
  /** What the second part says it is. */
  mime = 'application/octet-stream';

  constructor(boundary: string, media: (chunk: Buffer) => void) {
    this.#delimiter = Buffer.from(`\r\n--${boundary}`, 'latin1');
    this.#media = media;
    // A body may begin with its first delimiter, whose line end belongs to nothing then.
    this.#rest = Buffer.from('\r\n');
  }

  /** Both parts have come, and the delimiter that ends the second. */
  get isWhole(): boolean {
    return this.#state === 'whole';
  }

  add(chunk: Buffer): void {
    if (this.#state === 'whole' || this.#state === 'broken') return;
    this.#rest = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    if (this.#state === 'lead' && !this.#readLead()) return;
    const end = this.#rest.indexOf(this.#delimiter);
    const cut = end === -1 ? Math.max(0, this.#rest.length - this.#delimiter.length) : end;
    if (cut > 0) this.#media(this.#rest.subarray(0, cut));
    this.#rest = this.#rest.subarray(cut);
    if (end !== -1) this.#state = 'whole';
  }

  /** Whether the lead has come; the media follow it. */
  #readLead(): boolean {
    const first = this.#headAfter(0);
    const second = first === null ? null : this.#headAfter(first.end);
    if (first === null || second === null) {
      if (this.#rest.length > LEAD_BYTES_MAX) this.#state = 'broken';
      return false;
    }
    this.metadata = this.#rest.subarray(first.end, second.from);
    this.mime = /^content-type: *(.*)$/im.exec(second.head)?.[1]?.trim() ?? this.mime;
    this.#rest = this.#rest.subarray(second.end);
    this.#state = 'media';
    return true;
  }

  /** The next delimiter after `at`, and the head of the part that it begins. */
  #headAfter(at: number): { from: number; head: string; end: number } | null {
    const from = this.#rest.indexOf(this.#delimiter, at);
    const headEnd = from === -1 ? -1 : this.#rest.indexOf(HEAD_END, from + this.#delimiter.length);
    if (headEnd === -1) return null;
    const head = this.#rest.toString('latin1', from + this.#delimiter.length, headEnd);
    return { from, head, end: headEnd + HEAD_END.length };
  }
}

/** The boundary of a `multipart/related` content type; null for every other type. */
export function boundaryOf(contentType: string): string | null {
  if (!/^multipart\/related\b/i.test(contentType)) return null;
  const match = /;\s*boundary=(?:"([^"]+)"|([^\s;]+))/i.exec(contentType);
  return match?.[1] ?? match?.[2] ?? null;
}
