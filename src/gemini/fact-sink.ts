import {
  BUCKETS,
  CALL,
  CAPTURED,
  NONE,
  RESPONSE,
  ROLES,
  TEXT,
  TOOLS,
  bucketOf,
  containerBucketOf,
} from './body-roles.ts';
import type { Role } from './body-roles.ts';
import type { BodyFacts, MediaKind, MediaTotal } from './body-scan.ts';
import type { JsonSink } from './json-scan.ts';
import { TextCount } from './text-count.ts';

/** Shorter ones stand for an empty thought. */
const SIGNATURE_CHARS_MIN = 60;
/** A captured value longer than this is no model, role or MIME type. */
const CAPTURE_CHARS_MAX = 256;

interface Frame {
  readonly isArray: boolean;
  /** Of the members (in an object, as set by the last name). */
  role: Role;
  readonly bucket: number;
  /** Inside inlineData, where `data` is media even within a function's response. */
  readonly isInline: boolean;
  /** A message of the conversation. */
  readonly isContent: boolean;
  /** The array whose elements are items of a batch. */
  readonly isItems: boolean;
  mediaBytes: number | null;
  mime: string | null;
}

/** Gathers the facts of one body from the tokens of its scan. */
export class FactSink implements JsonSink {
  readonly #count = new TextCount(BUCKETS);
  readonly #frames: Frame[] = [];
  readonly #media = new Map<MediaKind, MediaTotal>();
  /** What to do with the string that is being read. */
  #string: Role = 'none';
  /** As bytes in Latin-1, because a character may be split between two chunks. */
  #captured = '';
  #model: string | null = null;
  #stream = false;
  #items = 0;
  #signatureChars = 0;
  #fileDataCount = 0;
  #cachedContent: string | null = null;
  #maxOutputTokens: number | null = null;
  /** Of the message that is being read. */
  #contentRole: string | null = null;
  #contentHasText = false;
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
      fileDataCount: this.#fileDataCount,
      cachedContent: this.#cachedContent,
      maxOutputTokens: this.#maxOutputTokens,
      massgen,
    };
  }

  open(isArray: boolean): void {
    const parent = this.#frames.at(-1);
    const role = parent?.role ?? 'none';
    const outer = parent?.bucket ?? NONE;
    if (parent?.isItems === true) this.#items += 1;
    const isInline = role === 'inline' && (outer === NONE || outer === RESPONSE);
    const bucket = isInline ? NONE : outer === NONE ? containerBucketOf(role) : outer;
    const isMessage = role === 'contents' || (role === 'input' && this.#frames.length <= 2);
    const isContent = isMessage && !isArray && outer === NONE;
    if (bucket !== NONE) this.#count.add(bucket, 2);
    if (bucket === RESPONSE) this.#contentHasResponse = true;
    if (role === 'file' && !isArray && (outer === NONE || outer === RESPONSE)) {
      this.#fileDataCount += 1;
    }
    if (isContent) {
      this.#contentRole = null;
      this.#contentHasText = false;
      this.#contentHasResponse = false;
    }
    this.#frames.push({
      isArray,
      // Elements of an array mean what the array's name says.
      role: isArray ? role : 'none',
      bucket,
      isInline,
      isContent,
      isItems: isArray && this.#frames.length === 1 && (role === 'items' || role === 'input'),
      mediaBytes: null,
      mime: null,
    });
  }

  close(): void {
    const frame = this.#frames.pop();
    if (frame === undefined) return;
    if (frame.mediaBytes !== null) this.#addMedia(kindOf(frame.mime), frame.mediaBytes);
    if (frame.isContent && this.#contentHasText && !this.#contentHasResponse) {
      // A new question ends the tool loop: Google drops the thoughts of the loops before it.
      const role = this.#contentRole;
      if (role === null || role === 'user') this.#signatureChars = 0;
    }
  }

  key(name: string): void {
    const frame = this.#frames.at(-1);
    if (frame === undefined) return;
    frame.role = ROLES.get(name) ?? 'none';
    if (frame.bucket !== NONE) this.#count.add(frame.bucket, name.length + 4);
  }

  startString(): boolean {
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
      return true;
    }
    const own = bucketOf(role);
    if (own === NONE) return CAPTURED.has(role);
    this.#count.start(own, own === TEXT);
    if (own === TEXT) this.#contentHasText = true;
    if (own === RESPONSE) this.#contentHasResponse = true;
    return true;
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
    } else if (role === 'data') frame.mediaBytes = rawBytes;
    else if (role === 'mime') frame.mime = this.#capturedText();
    else if (role === 'url') this.#addUrl(rawBytes);
    else if (role === 'role') this.#contentRole = this.#capturedText();
    else if (role === 'model' && top) this.#model = this.#capturedText();
    // Of an interaction that names no model. What its agent asks is counted for the agent.
    else if (role === 'agent' && top) this.#model ??= this.#capturedText();
    else if (role === 'cached' && top) this.#cachedContent = this.#capturedText();
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
  }

  #capturedText(): string {
    const bytes = Buffer.from(this.#captured.slice(0, CAPTURE_CHARS_MAX), 'latin1');
    return bytes.toString('utf8');
  }

  /** OpenAI's image_url carries either the image itself or where it lies. */
  #addUrl(rawBytes: number): void {
    const inline = /^data:([^;,]*)/.exec(this.#captured);
    if (inline !== null) this.#addMedia(kindOf(inline[1] ?? null), rawBytes);
    else if (rawBytes > 0) this.#fileDataCount += 1;
  }

  #addMedia(kind: MediaKind, base64Bytes: number): void {
    const total = this.#media.get(kind) ?? { kind, items: 0, base64Bytes: 0 };
    this.#media.set(kind, {
      kind,
      items: total.items + 1,
      base64Bytes: total.base64Bytes + base64Bytes,
    });
  }
}

function kindOf(mime: string | null): MediaKind {
  const type = (mime ?? '').toLowerCase();
  if (type.startsWith('image/')) return 'image';
  // OpenAI's input_audio gives the bare format.
  if (type.startsWith('audio/') || type === 'wav' || type === 'mp3') return 'audio';
  if (type.startsWith('video/')) return 'video';
  return type === 'application/pdf' ? 'pdf' : 'other';
}
