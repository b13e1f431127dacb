import { createHash, type Hash } from 'node:crypto';

import { field, text } from './json.ts';
import {
  empty,
  keep,
  notFound,
  objectIn,
  type ResourceAnswer,
  type ResourceRequest,
} from './resource-answer.ts';
import type { Target } from './route.ts';

/** What has come of a file. */
export interface Upload {
  readonly mime: string;
  readonly display: string;
  readonly digest: Hash;
  bytes: number;
}

/** Pieces but the last have to be a multiple of this. */
const GRANULARITY_BYTES = 8_388_608;

/** Uploads under way, by Google's resumable protocol: start, then pieces, the last with `finalize`. */
export class Uploads {
  readonly #active = new Map<string, Upload>();

  /** The running checksum that a body for `target` is added to while it comes. */
  digestFor(target: Target): Hash {
    const id = target.query.get('upload_id') ?? '';
    return this.#active.get(id)?.digest ?? createHash('sha256');
  }

  /** Whether the target is the address of an upload under way, which needs no key beside it. */
  isAddress({ path, query }: Target): boolean {
    return path.startsWith('/upload/') && this.#active.has(query.get('upload_id') ?? '');
  }

  /** An answer, or the upload that has just been completed. */
  take(
    request: ResourceRequest,
    { ownUrl, nextId }: { readonly ownUrl: string; readonly nextId: () => string },
  ): ResourceAnswer | Upload {
    const { headers, target, bytes } = request;
    const command = String(headers['x-goog-upload-command'] ?? '');
    const id = target.query.get('upload_id');
    if (id === null) {
      if (command !== 'start') {
        return { ...begun(request), bytes, digest: request.digest ?? createHash('sha256') };
      }
      const uploadId = nextId();
      keep(this.#active, uploadId, begun(request));
      return empty({
        'x-goog-upload-status': 'active',
        'x-goog-upload-url': `${ownUrl}${target.path}?upload_id=${uploadId}&upload_protocol=resumable`,
        'x-goog-upload-chunk-granularity': String(GRANULARITY_BYTES),
      });
    }
    const upload = this.#active.get(id);
    if (upload === undefined) return notFound();
    if (command === 'cancel') {
      this.#active.delete(id);
      return empty({ 'x-goog-upload-status': 'cancelled' });
    }
    upload.bytes += bytes;
    if (!command.includes('finalize')) {
      const received = String(upload.bytes);
      return empty({ 'x-goog-upload-status': 'active', 'x-goog-upload-size-received': received });
    }
    this.#active.delete(id);
    return upload;
  }
}

/** As Google tells it: base64 of the digits, not of the bytes. */
export function sha256HashOf({ digest }: Upload): string {
  return Buffer.from(digest.digest('hex')).toString('base64');
}

function begun({ headers, body }: ResourceRequest): Upload {
  const mime = String(headers['x-goog-upload-header-content-type'] ?? 'application/octet-stream');
  const file = field(objectIn(body), 'file');
  const display = text(field(file, 'display_name', 'displayName')) ?? '';
  return { mime, display, digest: createHash('sha256'), bytes: 0 };
}
