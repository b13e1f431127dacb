import {
  BUCKETS,
  CALL,
  CAPTURED,
  NONE,
  RESPONSE,
  ROLES,
  SAMPLED,
  TEXT,
  TOOLS,
  bucketOf,
  containerBucketOf,
} from './body-roles.ts';
import type { Role } from './body-roles.ts';
import type { BodyFacts, FileReference } from './body-scan.ts';
import type { JsonSink, StringWish } from './json-scan.ts';
import { MediaSample } from './media-sample.ts';
import type { Sampled } from './media-sample.ts';
import { kindOf, resolutionOf, sumOf, totalOf } from './media-total.ts';
import type { MediaTotal, Resolution } from './media-total.ts';
import { TextCount } from './text-count.ts';

/** Shorter ones stand for an empty thought. */
const SIGNATURE_CHARS_MIN = 60;
/** A captured value longer than this is no model, role or MIME type. */
const CAPTURE_CHARS_MAX = 256;

/** Files beyond these are only counted; models take some ten to 3,000 in one request. */
export const FILES_MAX = 100;

/** Messages of Interactions that a person or program sent; the other types are the model's. */
const SENT_TYPES: ReadonlySet<string> = new Set([
  'user_input',
  'message',
  'text',
  'image',
  'audio',
  'video',
  'document',
]);

/** A medium whose object has not ended, or whose part has not, which says how closely to look. */
interface Medium {
  readonly sampled: Sampled;
  readonly base64Bytes: number;
  readonly mime: string | null;
}

interface Frame {
  readonly isArray: boolean;
  /** The name that it stands behind. */
  readonly own: Role;
  /** Of the members (in an object, as set by the last name). */
  role: Role;
  readonly bucket: number;
  /** Inside inlineData or fileData, where `data` is media even within a function's response. */
  readonly isMedium: boolean;
  /** A message of the conversation. */
  readonly isContent: boolean;
  /** The array whose elements are items of a batch. */
  readonly isItems: boolean;
  sampled: { readonly what: Sampled; readonly rawBytes: number } | null;
  mime: string | null;
  /** Of the object inside that holds the medium, while this one may still say more of it. */
  medium: Medium | null;
  resolution: Resolution | null;
  clip: { startSeconds: number | null; endSeconds: number | null; fps: number | null };
}

const NO_FILE: Sampled = { uri: '', mime: null, bytes: 0, measure: null };

/** Gathers the facts of one body from the tokens of its scan. */
export class FactSink implements JsonSink {
  readonly #count = new TextCount(BUCKETS);
  readonly #frames: Frame[] = [];
  readonly #media = new Map<string, MediaTotal>();
  readonly #sample = new MediaSample();
  readonly #files: FileReference[] = [];
  /** What to do with the string that is being read. */
  #string: Role = 'none';
  /** As bytes in Latin-1, because a character may be split between two chunks. */
  #captured = '';
  #model: string | null = null;
  #stream = false;
  #items = 0;
  #signatureChars = 0;
  #resolution: Resolution | null = null;
  #fileDataCount = 0;
  #cachedContent: string | null = null;
  #maxOutputTokens: number | null = null;
  #hasPrevious = false;
  /** The last message so far is a function's result. */
  #endsWithResponse = false;
  /** Of the message that is being read. */
  #contentRole: string | null = null;
  #contentType: string | null = null;
  #contentHasInput = false;
  #contentHasResponse = false;

  facts(): Omit<BodyFacts, 'bytes' | 'valid' | 'problem'> {
    const { ascii, twoByte, threeByte, fourByte, massgen } = this.#count;
    return {
      model: this.#model,
      stream: this.#stream,
      items: Math.max(1, this.#items),
      asciiChars: ascii[TEXT] ?? 0,
      cyrillicLikeChars: twoByte,
      cjkChars: threeByte,
      otherChars: fourByte,
      toolDeclarationChars: ascii[TOOLS] ?? 0,
      functionCallChars: ascii[CALL] ?? 0,
      functionResponseChars: ascii[RESPONSE] ?? 0,
      signatureChars: this.#signatureChars,
      media: [...this.#media.values()],
      mediaResolution: this.#resolution,
      fileDataCount: this.#fileDataCount,
      files: this.#files,
      cachedContent: this.#cachedContent,
      maxOutputTokens: this.#maxOutputTokens,
      isHop: this.#hasPrevious || this.#endsWithResponse,
      massgen,
    };
  }

  open(isArray: boolean): void {
    const parent = this.#frames.at(-1);
    const role = parent?.role ?? 'none';
    const outer = parent?.bucket ?? NONE;
    if (parent?.isItems === true) this.#items += 1;
    const isMedium =
      (role === 'inline' || role === 'file') && (outer === NONE || outer === RESPONSE);
    const bucket = isMedium ? NONE : outer === NONE ? containerBucketOf(role) : outer;
    const isMessage = role === 'contents' || (role === 'input' && this.#frames.length <= 2);
    const isContent = isMessage && !isArray && outer === NONE;
    if (bucket !== NONE) this.#count.add(bucket, 2);
    if (bucket === RESPONSE) this.#contentHasResponse = true;
    if (isContent) {
      this.#contentRole = null;
      this.#contentType = null;
      this.#contentHasInput = false;
      this.#contentHasResponse = false;
    }
    this.#frames.push({
      isArray,
      own: role,
      // Elements of an array mean what the array's name says.
      role: isArray ? role : 'none',
      bucket,
      isMedium,
      isContent,
      isItems: isArray && this.#frames.length === 1 && (role === 'items' || role === 'input'),
      sampled: null,
      mime: null,
      medium: null,
      resolution: null,
      clip: { startSeconds: null, endSeconds: null, fps: null },
    });
  }

  close(): void {
    const frame = this.#frames.pop();
    if (frame === undefined) return;
    this.#closeMedium(frame);
    if (frame.isContent) {
      this.#endsWithResponse = this.#contentHasResponse || this.#contentType === 'function_result';
    }
    if (!frame.isContent || !this.#contentHasInput || this.#contentHasResponse) return;
    // A new question ends the tool loop: Google drops the thoughts of the loops before it.
    const role = this.#contentRole;
    const isSent = this.#contentType === null || SENT_TYPES.has(this.#contentType);
    if (isSent && (role === null || role === 'user')) this.#signatureChars = 0;
  }

  key(name: string): void {
    const frame = this.#frames.at(-1);
    if (frame === undefined) return;
    frame.role = ROLES.get(name) ?? 'none';
    if (frame.bucket !== NONE) this.#count.add(frame.bucket, name.length + 4);
  }

  startString(): StringWish {
    const frame = this.#frames.at(-1);
    if (frame?.isItems === true) this.#items += 1;
    const role = frame?.role ?? 'none';
    const bucket = frame?.bucket ?? NONE;
    this.#captured = '';
    this.#string = role;
    if (bucket !== NONE && role !== 'signature') {
      this.#string = 'text';
      this.#count.add(bucket, 2);
      this.#count.start(bucket, false);
      return 'read';
    }
    const own = bucketOf(role);
    if (SAMPLED.has(role)) {
      this.#sample.start(role !== 'data');
      return 'sample';
    }
    if (own === NONE) return CAPTURED.has(role) ? 'read' : 'skip';
    this.#count.start(own, own === TEXT);
    if (own === TEXT) this.#contentHasInput = true;
    if (own === RESPONSE) this.#contentHasResponse = true;
    return 'read';
  }

  sample(chunk: Buffer, start: number, end: number): void {
    this.#sample.push(chunk, start, end);
  }

  run(chunk: Buffer, start: number, end: number): void {
    if (!CAPTURED.has(this.#string)) {
      this.#count.run(chunk, start, end);
    } else if (this.#captured.length < CAPTURE_CHARS_MAX) {
      this.#captured += chunk.toString('latin1', start, Math.min(end, start + CAPTURE_CHARS_MAX));
    }
  }

  escaped(codeUnit: number): void {
    if (!CAPTURED.has(this.#string)) this.#count.escaped(codeUnit);
    else if (this.#captured.length < CAPTURE_CHARS_MAX) {
      this.#captured += Buffer.from(String.fromCharCode(codeUnit)).toString('latin1');
    }
  }

  endString(rawBytes: number): void {
    const frame = this.#frames.at(-1);
    if (frame === undefined) return;
    const top = this.#frames.length === 1;
    const role = this.#string;
    if (role === 'signature') {
      if (rawBytes >= SIGNATURE_CHARS_MIN) this.#signatureChars += rawBytes;
    } else if (SAMPLED.has(role)) this.#endSample(frame, rawBytes);
    else if (CAPTURED.has(role)) this.#endCaptured(frame, role, top);
  }

  #endCaptured(frame: Frame, role: Role, top: boolean): void {
    const text = this.#capturedText();
    if (role === 'mime') frame.mime = text;
    else if (role === 'role') this.#contentRole = text;
    else if (role === 'type' && frame.isContent) this.#contentType = text;
    else if (role === 'model' && top) this.#model = text;
    // Of an interaction that names no model. What its agent asks is counted for the agent.
    else if (role === 'agent' && top) this.#model ??= text;
    else if (role === 'previous' && top) this.#hasPrevious ||= text !== '';
    else if (role === 'cached' && top) this.#cachedContent = text;
    else if (role === 'resolution') {
      frame.resolution = resolutionOf(text);
      // In generationConfig, or in the only item of an interaction, which comes to the same.
      if (this.#frames.length === 2) this.#resolution = frame.resolution;
    } else this.#describePart(frame, role, text);
  }

  /** `mediaResolution: {level}` and `videoMetadata: {...}` speak of the part that they stand in. */
  #describePart({ own }: Frame, role: Role, text: string): void {
    const part = this.#frames.at(-2);
    if (part === undefined) return;
    if (own === 'resolution' && role === 'level') part.resolution = resolutionOf(text);
    if (own !== 'clip') return;
    if (role === 'clip_start') part.clip.startSeconds = secondsOf(text);
    else if (role === 'clip_end') part.clip.endSeconds = secondsOf(text);
    else if (role === 'fps' && Number(text) > 0) part.clip.fps = Number(text);
  }

  scalar(token: string): void {
    const frame = this.#frames.at(-1);
    if (frame === undefined) return;
    if (frame.bucket !== NONE) this.#count.add(frame.bucket, token.length);
    if (frame.bucket !== NONE || frame.isArray) return;
    if (frame.role === 'stream' && this.#frames.length === 1) this.#stream = token === 'true';
    // At the top in OpenAI's bodies, one level down in generationConfig.
    if (frame.role === 'max_output' && this.#frames.length <= 2 && /^\d{1,15}$/.test(token)) {
      this.#maxOutputTokens = Number(token);
    }
    if (frame.role === 'fps' || frame.role === 'level') {
      this.#describePart(frame, frame.role, token);
    } else if (frame.role === 'resolution' && this.#frames.length === 2) {
      this.#resolution = resolutionOf(token);
    }
  }

  #capturedText(): string {
    const bytes = Buffer.from(this.#captured.slice(0, CAPTURE_CHARS_MAX), 'latin1');
    return bytes.toString('utf8');
  }

  #endSample(frame: Frame, rawBytes: number): void {
    const what = this.#sample.end();
    if (what.uri === '') return;
    this.#contentHasInput = true;
    if (frame.isArray) this.#add({ sampled: what, base64Bytes: rawBytes, mime: null }, frame);
    else frame.sampled = { what, rawBytes };
  }

  #closeMedium(frame: Frame): void {
    // A file without an address is one all the same.
    const isFile = frame.own === 'file' && frame.isMedium && !frame.isArray;
    const found = frame.sampled ?? (isFile ? { what: NO_FILE, rawBytes: 0 } : null);
    if (frame.medium !== null) this.#add(frame.medium, frame);
    if (found === null) return;
    const base64Bytes = found.what.uri === null ? found.rawBytes : 0;
    const medium = { sampled: found.what, base64Bytes, mime: frame.mime };
    const part = this.#frames.at(-1);
    if (!frame.isMedium || part === undefined || part.isArray) return this.#add(medium, frame);
    if (part.medium !== null) this.#add(part.medium, part);
    part.medium = medium;
  }

  #add({ sampled, base64Bytes, mime }: Medium, { resolution, clip }: Frame): void {
    const { uri, bytes, measure } = sampled;
    if (uri !== null) {
      this.#fileDataCount += 1;
      if (this.#files.length < FILES_MAX) {
        this.#files.push({ uri, mimeType: mime, resolution, clip: { ...clip } });
      }
      return;
    }
    // OpenAI's image_url carries the type within itself.
    const kind = kindOf(sampled.mime ?? mime);
    const total = totalOf({ kind, resolution, bytes, base64Bytes, measure, clip });
    const key = `${kind} ${resolution ?? ''}`;
    const known = this.#media.get(key);
    this.#media.set(key, known === undefined ? total : sumOf(known, total));
  }
}

/** A duration as protobuf's JSON writes it, such as `12.5s`; null for anything else. */
function secondsOf(text: string): number | null {
  const seconds = /^(\d{1,9}(?:\.\d{1,9})?)s$/.exec(text)?.[1];
  return seconds === undefined ? null : Number(seconds);
}
