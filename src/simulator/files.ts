import { badRequest } from './google-error.ts';
import { field, list, text } from './json.ts';
import {
  failure,
  keep,
  notFound,
  objectIn,
  ok,
  pageOf,
  type ResourceAnswer,
  type ResourceRequest,
} from './resource-answer.ts';
import { sha256HashOf, type Upload } from './uploads.ts';

interface StoredFile {
  readonly name: string;
  readonly [key: string]: unknown;
}

export interface FileContext {
  readonly ownUrl: string;
  readonly wallMs: number;
  readonly nextId: () => string;
}

const FILE_LIFE_MS = 48 * 3_600_000;

/** What is known of files; of their bytes, the number and the checksum. */
export class Files {
  readonly #files = new Map<string, StoredFile>();
  /** By the path that an environment's file was sent to, without `/upload/VERSION`. */
  readonly #inEnvironments = new Map<string, object>();

  /** `files` and `files/ID`. */
  answer({ method, target }: ResourceRequest, id: string | undefined): ResourceAnswer {
    if (id === undefined) return pageOf('files', [...this.#files.values()], target.query);
    const file = this.#files.get(id);
    if (file === undefined) return notFound();
    if (method === 'DELETE') this.#files.delete(id);
    return method === 'DELETE' ? ok({}) : ok(file);
  }

  /** `files:register`: objects that lie in a bucket, by their URIs. */
  register({ body }: ResourceRequest, context: FileContext): ResourceAnswer {
    const uris = list(field(objectIn(body), 'uris')).map((uri) => text(uri) ?? '');
    if (uris.length === 0) return failure(badRequest('* RegisterFilesRequest.uris: is required\n'));
    const files = uris.map((uri) => this.#keep(context, { uri, source: 'REGISTERED' }));
    return ok({ files });
  }

  /** What an upload to `files` has become. */
  uploaded(upload: Upload, context: FileContext): ResourceAnswer {
    const { mime, bytes } = upload;
    const display = text(field(field(upload.metadata, 'file'), 'display_name', 'displayName'));
    const file = this.#keep(context, {
      ...(display === undefined ? {} : { displayName: display }),
      mimeType: mime,
      sizeBytes: String(bytes),
      sha256Hash: sha256HashOf(upload),
      source: 'UPLOADED',
    });
    return ok({ file });
  }

  /** What an upload to `environments/ID/files/PATH` has become. */
  placed({ path, mime, bytes }: Upload, { wallMs }: FileContext): ResourceAnswer {
    const at = placeOf(path);
    const inside = at.replace(/^environments\/[^/]+\/files\//, '');
    const now = new Date(wallMs).toISOString();
    const file = {
      name: inside.split('/').at(-1) ?? inside,
      path: inside,
      type: 'file',
      mime_type: mime,
      size_bytes: String(bytes),
      created: now,
      modified: now,
    };
    keep(this.#inEnvironments, at, file);
    return ok(file);
  }

  /** `environments/ID/files/PATH`. */
  inEnvironment(path: string): ResourceAnswer {
    const file = this.#inEnvironments.get(path);
    return file === undefined ? notFound() : ok({ files: [file] });
  }

  #keep({ ownUrl, wallMs, nextId }: FileContext, facts: object): StoredFile {
    const id = nextId();
    const file: StoredFile = {
      name: `files/${id}`,
      uri: `${ownUrl}/v1beta/files/${id}`,
      ...facts,
      createTime: new Date(wallMs).toISOString(),
      updateTime: new Date(wallMs).toISOString(),
      expirationTime: new Date(wallMs + FILE_LIFE_MS).toISOString(),
      state: 'ACTIVE',
    };
    keep(this.#files, id, file);
    return file;
  }
}

/** The resource that a path of an upload stands for. */
export function placeOf(path: string): string {
  return path.replace(/^\/upload\/v1\w*\//, '');
}
