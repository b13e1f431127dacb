import { answerTo } from './answer-to.ts';
import { askedOf } from './asked.ts';
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
import { routeOf, type Target } from './route.ts';

const TYPE = 'type.googleapis.com/google.ai.generativelanguage.v1beta';
/** What a batch may hold here; Google bounds its bytes, not its requests. */
const BATCH_REQUESTS_MAX = 1000;
/** Not a film, but bytes that say of themselves that they are MP4. */
const FILM = '\0\0\0\u0018ftypmp42\0\0\0\0mp42isom';

interface Video {
  readonly name: string;
  readonly fileId: string;
  readonly samples: number;
  readonly doneAtMs: number;
}

interface Batch {
  readonly name: string;
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly requests: number;
  readonly response: unknown;
  /** Of its answers, where it was sent as a file; null for one sent inline. */
  readonly outputId: string | null;
  isCancelled: boolean;
}

/** Work that goes on after its answer: films in the making, and batches. */
export class Operations {
  readonly #videos = new Map<string, Video>();
  readonly #batches = new Map<string, Batch>();
  #last = 0;

  /** Begins a film under the name of its operation. Wall ms. */
  beginVideo(name: string, { samples, doneAtMs }: { samples: number; doneAtMs: number }): void {
    this.#last += 1;
    keep(this.#videos, name, { name, fileId: `veo${this.#last}`, samples, doneAtMs });
  }

  /** `models/M/operations/ID`: the film, once it is done, lies at an absolute URL on `ownUrl`. */
  video(name: string, wallMs: number, ownUrl: string): ResourceAnswer {
    const video = this.#videos.get(name);
    if (video === undefined) return notFound();
    if (wallMs < video.doneAtMs) return ok({ name });
    const generatedSamples = Array.from({ length: video.samples }, (_, index) => ({
      video: { uri: `${ownUrl}/v1beta/files/${video.fileId}-${index}:download?alt=media` },
    }));
    const generateVideoResponse = { generatedSamples };
    const response = { '@type': `${TYPE}.PredictLongRunningResponse`, generateVideoResponse };
    return ok({ name, done: true, response });
  }

  /** What came out of work: a film, or a batch's answers, one a line; null for any other file. */
  output(fileId: string): ResourceAnswer | null {
    const isBatch = [...this.#batches.values()].some(({ outputId }) => outputId === fileId);
    if (isBatch) return { status: 200, contentType: 'application/jsonl', pieces: [batchLine()] };
    const films = [...this.#videos.values()].map((video) => video.fileId);
    if (!films.includes(fileId.replace(/-\d+$/, ''))) return null;
    return { status: 200, contentType: 'video/mp4', pieces: [FILM] };
  }

  /** `models/M:batchGenerateContent` and `:asyncBatchEmbedContent`. */
  beginBatch({ body, target, wallMs }: ResourceRequest, model: string): ResourceAnswer {
    const batch = field(objectIn(body), 'batch');
    const config = field(batch, 'inputConfig', 'input_config');
    const items = list(field(field(config, 'requests'), 'requests'));
    const fileName = text(field(config, 'fileName', 'file_name'));
    if (items.length === 0 && fileName === undefined) {
      return failure(badRequest('* BatchRequest.batch.input_config: input is not specified\n'));
    }
    if (items.length > BATCH_REQUESTS_MAX) {
      return failure(badRequest(`Batch size exceeds the limit: ${BATCH_REQUESTS_MAX} requests.`));
    }
    const isEmbedding = target.path.endsWith(':asyncBatchEmbedContent');
    this.#last += 1;
    const name = `batches/sim${this.#last}`;
    const createTime = new Date(wallMs).toISOString();
    const kind = isEmbedding ? 'EmbedContentBatch' : 'GenerateContentBatch';
    const metadata = {
      '@type': `${TYPE}.${kind}`,
      name,
      model: `models/${model}`,
      displayName: text(field(batch, 'displayName', 'display_name')) ?? '',
      createTime,
      updateTime: createTime,
    };
    const responses = items.map((item) => inlined(item, model, isEmbedding));
    const outputId = fileName === undefined ? null : `batch-sim${this.#last}`;
    const output =
      outputId === null
        ? { inlinedResponses: { inlinedResponses: responses } }
        : { responsesFile: `files/${outputId}` };
    const response = { '@type': `${TYPE}.${kind}Output`, ...output };
    const requests = Math.max(1, items.length);
    const made: Batch = { name, metadata, requests, response, outputId, isCancelled: false };
    keep(this.#batches, name, made);
    return ok(shown(made, false));
  }

  /** `batches`, `batches/ID`, `batches/ID:cancel`. A batch is done when it is asked for. */
  batch({ method, target }: ResourceRequest, id: string | undefined): ResourceAnswer {
    const isRead = method === 'GET' || method === 'HEAD';
    if (id === undefined) {
      if (!isRead) return notFound();
      const all = [...this.#batches.values()].map((batch) => shown(batch, true));
      return pageOf('operations', all, target.query);
    }
    const name = `batches/${id.replace(/:cancel$/, '')}`;
    const batch = this.#batches.get(name);
    if (batch === undefined) return notFound();
    if (isRead && !id.endsWith(':cancel')) return ok(shown(batch, true));
    if (method === 'POST' && id.endsWith(':cancel')) {
      batch.isCancelled = true;
      return ok({});
    }
    if (method !== 'DELETE') return notFound();
    this.#batches.delete(name);
    return ok({});
  }
}

function shown({ name, metadata, requests, response, isCancelled }: Batch, isAsked: boolean) {
  const requestCount = String(requests);
  const isDone = isAsked && !isCancelled;
  const state = isCancelled ? 'CANCELLED' : isDone ? 'SUCCEEDED' : 'PENDING';
  const batchStats = isDone
    ? { requestCount, successfulRequestCount: requestCount }
    : { requestCount, pendingRequestCount: requestCount };
  const told = { ...metadata, batchStats, state: `BATCH_STATE_${state}` };
  if (isCancelled) return { name, metadata: told, done: true };
  return isDone
    ? { name, metadata: { ...told, output: response }, done: true, response }
    : { name, metadata: told };
}

/** The answer to a file of which nothing is kept here, and so nothing is known but that it came. */
function batchLine(): string {
  const request = {
    contents: [{ role: 'user', parts: [{ text: 'The first line of the file.' }] }],
  };
  return `${JSON.stringify(inlined({ request, metadata: { key: 'request-1' } }, 'batch', false))}\n`;
}

/** One request of a batch, answered as if it had come alone. */
function inlined(item: unknown, model: string, isEmbedding: boolean): unknown {
  const metadata = field(item, 'metadata');
  const verb = isEmbedding ? 'embedContent' : 'generateContent';
  const target: Target = { path: `/v1beta/models/${model}:${verb}`, query: new URLSearchParams() };
  const route = routeOf('POST', target);
  const request = Buffer.from(JSON.stringify(field(item, 'request') ?? {}));
  const asked = route === null ? null : askedOf(route, request);
  const kept = metadata === undefined ? {} : { metadata };
  if (asked === null || !('body' in asked)) return { ...kept, error: asked };
  const facts = { id: `batch-${asked.seed}`, model, createdMs: 0, chunks: 1 };
  const response: unknown = JSON.parse(answerTo(asked, facts).pieces.join(''));
  return { ...kept, response };
}
