import { field, list } from './json.ts';

/** Tokens of one medium whose size in tokens is fixed, as measured on Gemini 3. */
const IMAGE_TOKENS = 1100;
/** Per page of a PDF; without reading it, one page per this many bytes of base64. */
const PDF_PAGE_TOKENS = 530;
const PDF_PAGE_BASE64 = 100_000;
/** Audio is 25 tokens a second at about 16 kB a second; video 90 at 250 kB. */
const AUDIO_TOKENS_PER_BYTE = 25 / 16_000;
const VIDEO_TOKENS_PER_BYTE = 90 / 250_000;
/** A file that lies elsewhere: its size is not known here. */
const FILE_TOKENS = 1100;
/** Thoughts sent back cost about a fifth of a token for each character of base64. */
const SIGNATURE_TOKENS_PER_CHAR = 0.19;

/**
 * Tokens of a text: the same for the same text, never more than its UTF-8 bytes, about a quarter of
 * its characters in English, with up to a quarter more or less from one text to another, so that no
 * estimate made from lengths can be right.
 */
export function countTextTokens(text: string): number {
  if (text === '') return 0;
  let tokens = 0;
  for (const [piece] of text.matchAll(PIECES)) tokens += pieceTokens(piece);
  const swing = 0.75 + (hash(text) % 1001) / 2000;
  return Math.max(1, Math.min(Buffer.byteLength(text), Math.round(tokens * swing)));
}

/** Tokens of a native request: contents, system instruction and tools. Shapes it cannot read cost 0. */
export function countTokens(body: unknown): number {
  const request = field(body, 'generateContentRequest') ?? body;
  let tokens = 0;
  for (const content of list(field(request, 'contents'))) tokens += contentTokens(content);
  const system = field(request, 'systemInstruction', 'system_instruction');
  tokens += contentTokens(system);
  const tools = field(request, 'tools');
  // Declarations are rewritten more tersely before the model sees them: 5 characters a token.
  if (tools !== undefined) tokens += Math.round(countTextTokens(JSON.stringify(tools)) * 0.7);
  return tokens;
}

/** Tokens of one content: `{ parts: [...] }`, one part, or a bare string. */
export function contentTokens(content: unknown): number {
  if (typeof content === 'string') return countTextTokens(content);
  const parts = field(content, 'parts');
  if (parts === undefined) return partTokens(content);
  if (!Array.isArray(parts)) return partTokens(parts);
  let tokens = 0;
  for (const part of parts) tokens += partTokens(part);
  return tokens;
}

function partTokens(part: unknown): number {
  if (typeof part === 'string') return countTextTokens(part);
  let tokens = 0;
  const text = field(part, 'text');
  if (typeof text === 'string') tokens += countTextTokens(text);
  const media = field(part, 'inlineData', 'inline_data');
  if (media !== undefined) tokens += mediaTokens(media);
  if (field(part, 'fileData', 'file_data') !== undefined) tokens += FILE_TOKENS;
  for (const key of ['functionCall', 'functionResponse', 'executableCode', 'codeExecutionResult']) {
    const value = field(part, key);
    if (value !== undefined) tokens += countTextTokens(JSON.stringify(value));
  }
  const signature = field(part, 'thoughtSignature');
  if (typeof signature === 'string') {
    tokens += Math.round(signature.length * SIGNATURE_TOKENS_PER_CHAR);
  }
  return tokens;
}

function mediaTokens(media: unknown): number {
  const mime = field(media, 'mimeType', 'mime_type');
  const data = field(media, 'data');
  const base64 = typeof data === 'string' ? data.length : 0;
  const bytes = base64 * 0.75;
  const kind = typeof mime === 'string' ? mime : '';
  if (kind.startsWith('audio/')) return Math.max(1, Math.round(bytes * AUDIO_TOKENS_PER_BYTE));
  if (kind.startsWith('video/')) return Math.max(1, Math.round(bytes * VIDEO_TOKENS_PER_BYTE));
  if (kind === 'application/pdf') return PDF_PAGE_TOKENS * Math.ceil(base64 / PDF_PAGE_BASE64 || 1);
  if (kind.startsWith('text/')) return Math.round(bytes / 4);
  return IMAGE_TOKENS;
}

/** Runs of one kind of character; a single blank belongs to the word after it and costs nothing. */
const PIECES =
  /[A-Za-z\u00c0-\u024f]+|\d+|[\u0400-\u052f]+|[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+|\s{2,}|[^\sA-Za-z\d]/gu;

function pieceTokens(piece: string): number {
  const code = piece.charCodeAt(0);
  const { length } = piece;
  if (code >= 0x30 && code <= 0x39) return Math.ceil(length / 3);
  if (code <= 0x20) return Math.ceil(length / 8);
  if (code < 0x250) return wordTokens(piece);
  if (code >= 0x400 && code <= 0x52f) return Math.ceil(length / 2.5);
  if (code >= 0x3040 && code <= 0xd7af) return ideogramTokens(piece);
  return Math.min(2, Buffer.byteLength(piece));
}

function wordTokens(word: string): number {
  const { length } = word;
  if (length <= 4) return 1;
  // Without blanks for this long it is no language: base64, hashes, minified names.
  if (length > 24) return Math.ceil(length / 2.5);
  return Math.max(1, Math.round(length / 5 + (hash(word) % 3) / 2 - 0.25));
}

/** About one token for each character; some pairs are common enough to be one. */
function ideogramTokens(run: string): number {
  let tokens = 0;
  for (let at = 0; at < run.length; at += 1) {
    tokens += 1;
    const pair = run.charCodeAt(at) * 31 + run.charCodeAt(at + 1);
    if (pair % 4 === 0) at += 1;
  }
  return tokens;
}

/** FNV-1a over the UTF-16 units; long texts are sampled, or hashing would cost more than counting. */
export function hash(text: string): number {
  let value = 0x811c9dc5 ^ text.length;
  const step = Math.max(1, Math.floor(text.length / 512));
  for (let at = 0; at < text.length; at += step) {
    value = Math.imul(value ^ text.charCodeAt(at), 0x01000193);
  }
  return value >>> 0;
}
