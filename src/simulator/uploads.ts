import { createHash, type Hash } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';

import { badRequest } from './google-error.ts';
import { Intake } from './intake.ts';
import {
  empty,
  failure,
  keep,
  notFound,
  objectIn,
  type ResourceAnswer,
  type ResourceRequest,
} from './resource-answer.ts';
import type { Target } from './route.ts';

/** A file that has come. */
export interface Upload {
  /** Where it was sent, as in `/upload/v1beta/files`. */
  readonly path: string;
  readonly mime: string;
  /** The JSON that came with it. */
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly digest: Hash;
  readonly bytes: number;
}

type Session = { -readonly [Key in keyof Upload]: Upload[Key] } & {
  status: 'active' | 'final' | 'cancelled';
  /** What its end was answered with, which a query is answered with from then on. */
  end: ResourceAnswer | null;
};

export interface UploadContext {
  readonly ownUrl: string;
  /** Pieces but the last have to be a multiple of this many bytes. */
  readonly granularity: number;
  readonly nextId: () => string;
  /** Makes of a file what its path stands for. */
  readonly complete: (upload: Upload) => ResourceAnswer;
}

/**
 * Uploads by Google's resumable protocol, as googleapis/gapic-showcase serves it to the tests of
 * Google's own clients: start, then pieces, the last with `finalize`, and between them query and
 * cancel. Others come whole, bare or in a multipart body.
 *
 *   start ─▶ active ─▶ final
 *              └─────▶ cancelled
 */
export class Uploads {
  readonly #sessions = new Map<string, Session>();

  /** Where the body of a request goes while it comes. */
  intakeFor(target: Target, headers: IncomingHttpHeaders): Intake {
    return new Intake(headers, this.#sessionOf(target)?.digest ?? null);
  }

  /** Whether the target is the address of an upload under way, which needs no key beside it. */
  isAddress({ path, query }: Target): boolean {
    return path.startsWith('/upload/') && this.#sessions.has(query.get('upload_id') ?? '');
  }

  /** The client left in the middle of a piece: what has come of it stays, for it to go on from. */
  broken(target: Target, headers: IncomingHttpHeaders, intake: Intake): void {
    const session = this.#sessionOf(target);
    if (session === null || !commandsIn(headers).has('upload')) return;
    if (session.status === 'active' && offsetIn(headers) === session.bytes) take(session, intake);
  }

  answer(request: ResourceRequest, intake: Intake, context: UploadContext): ResourceAnswer {
    const { headers, target } = request;
    const commands = commandsIn(headers);
    if (!target.query.has('upload_id')) {
      return commands.has('start')
        ? this.#start(request, context)
        : whole(request, intake, context);
    }
    const session = this.#sessionOf(target);
    if (session === null) return notFound();
    const status = { 'x-goog-upload-status': session.status };
    if (commands.has('query')) {
      if (session.end !== null) return session.end;
      const received = { 'x-goog-upload-size-received': String(session.bytes) };
      return session.status === 'active'
        ? empty({ ...status, ...received })
        : plain(410, '', status);
    }
    if (session.status !== 'active') {
      return plain(400, 'Upload has already been terminated.', status);
    }
    if (commands.has('cancel')) {
      session.status = 'cancelled';
      return empty({ 'x-goog-upload-status': 'cancelled' });
    }
    const isLast = commands.has('finalize');
    if (commands.has('upload')) {
      const refusal = refusalOf(session, { headers, intake, isLast, context });
      if (refusal !== null) return refusal;
      take(session, intake);
    }
    if (isLast) {
      session.status = 'final';
      session.end = finished(context.complete(session));
      return session.end;
    }
    if (!commands.has('upload')) return plain(400, 'Unsupported upload command.', status);
    return empty({ ...status, 'x-goog-upload-size-received': String(session.bytes) });
  }

  #start(
    { headers, target, body }: ResourceRequest,
    { ownUrl, granularity, nextId }: UploadContext,
  ): ResourceAnswer {
    const uploadId = nextId();
    const mime = headers['x-goog-upload-header-content-type'];
    keep(this.#sessions, uploadId, {
      path: target.path,
      mime: typeof mime === 'string' ? mime : 'application/octet-stream',
      metadata: objectIn(body),
      digest: createHash('sha256'),
      bytes: 0,
      status: 'active',
      end: null,
    });
    return empty({
      'x-goog-upload-status': 'active',
      'x-goog-upload-url': `${ownUrl}${target.path}?upload_id=${uploadId}&upload_protocol=resumable`,
      'x-goog-upload-chunk-granularity': String(granularity),
    });
  }

  #sessionOf({ query }: Target): Session | null {
    return this.#sessions.get(query.get('upload_id') ?? '') ?? null;
  }
}

/** As Google tells it: base64 of the digits, not of the bytes. */
export function sha256HashOf({ digest }: Upload): string {
  return Buffer.from(digest.copy().digest('hex')).toString('base64');
}

/** A file in one request: bare, or with its JSON before it in a multipart body. */
function whole(
  { headers, target }: ResourceRequest,
  { related, digest, bytes }: Intake,
  { complete }: UploadContext,
): ResourceAnswer {
  const { path, query } = target;
  const asked = query.get('uploadType') ?? headers['x-goog-upload-protocol'];
  if (related === null) {
    if (asked === 'multipart') return failure(badRequest('Malformed multipart body.'));
    const mime = headers['content-type'] ?? 'application/octet-stream';
    return finished(complete({ path, mime, metadata: {}, digest, bytes }));
  }
  if (!related.isWhole) return failure(badRequest('Malformed multipart body.'));
  const metadata = objectIn(related.metadata);
  return finished(complete({ path, mime: related.mime, metadata, digest, bytes }));
}

function refusalOf(
  session: Session,
  piece: {
    readonly headers: IncomingHttpHeaders;
    readonly intake: Intake;
    readonly isLast: boolean;
    readonly context: UploadContext;
  },
): ResourceAnswer | null {
  const { headers, intake, isLast, context } = piece;
  const status = { 'x-goog-upload-status': session.status };
  const offset = offsetIn(headers);
  if (!Number.isSafeInteger(offset)) return plain(400, 'Invalid X-Goog-Upload-Offset.', status);
  if (offset !== session.bytes) {
    return plain(409, `Invalid offset: expected ${session.bytes}, got ${offset}`, status);
  }
  const { granularity } = context;
  if (isLast || intake.bytes % granularity === 0) return null;
  const words = `${intake.bytes} is not a multiple of the chunk granularity, ${granularity}.`;
  return plain(400, words, status);
}

function take(session: Session, { digest, bytes }: Intake): void {
  session.digest = digest;
  session.bytes += bytes;
}

function commandsIn(headers: IncomingHttpHeaders): ReadonlySet<string> {
  const value = String(headers['x-goog-upload-command'] ?? '');
  return new Set(value.split(',').map((command) => command.trim().toLowerCase()));
}

function offsetIn(headers: IncomingHttpHeaders): number {
  return Number(headers['x-goog-upload-offset'] ?? 0);
}

function finished(answer: ResourceAnswer): ResourceAnswer {
  if (answer.status !== 200) return answer;
  return { ...answer, headers: { ...answer.headers, 'x-goog-upload-status': 'final' } };
}

/** The protocol's own errors are plain words. */
function plain(
  status: number,
  words: string,
  headers: Readonly<Record<string, string>>,
): ResourceAnswer {
  return { status, contentType: 'text/plain; charset=utf-8', headers, pieces: [words] };
}
