import { createHash, type Hash } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { boundaryOf, RelatedBody } from './multipart.ts';

/** The bytes of one request on their way into an upload: weighed as they come, and not kept. */
export class Intake {
  readonly digest: Hash;
  /** The parts, where the body has parts: then only its media are weighed. */
  readonly related: RelatedBody | null;
  /** Of this request alone. */
  bytes = 0;

  /** `before` is the running checksum of what came earlier. */
  constructor(headers: IncomingHttpHeaders, before: Hash | null) {
    this.digest = before === null ? createHash('sha256') : before.copy();
    const boundary = boundaryOf(headers['content-type'] ?? '');
    this.related =
      boundary === null ? null : new RelatedBody(boundary, (part) => this.#weigh(part));
  }

  add(chunk: Buffer): void {
    if (this.related === null) this.#weigh(chunk);
    else this.related.add(chunk);
  }

  #weigh(chunk: Buffer): void {
    this.bytes += chunk.length;
    this.digest.update(chunk);
  }
}
