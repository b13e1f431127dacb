import { brotliDecompressSync, gunzipSync, inflateRawSync, inflateSync } from 'node:zlib';
import { streamErrorOf, usageOf } from '../../gemini/answer-json.ts';
import type { Usage } from '../../gemini/answer-json.ts';
import { asArray, asCount, asObject, asString, parseJson } from '../../gemini/json-value.ts';
import type { JsonObject } from '../../gemini/json-value.ts';
import { textOfContents } from './contents.ts';
import type { GeminiContent } from '../session.ts';

/** An answer is some kilobytes, with images some megabytes; beyond this it is a bomb. */
const UNPACKED_BYTES_MAX = 64 * 1024 * 1024;

type Part = GeminiContent['parts'][number];

/** A model's answer, whole. */
export interface ReadAnswer {
  /** What the model said in its first candidate; empty where that is nothing. */
  readonly contents: readonly GeminiContent[];
  /** Its texts, without thoughts. */
  readonly text: string;
  /** The answer as sent; of a stream, its chunks made one. */
  readonly response: JsonObject;
  readonly usage: Usage | null;
  readonly finishReason: string | null;
  /** Why this is no whole answer, for people; null when it is one. */
  readonly error: string | null;
  /** It may be whole, but is packed in a way that is not known here, or too long. */
  readonly isUnreadable: boolean;
}

/**
 * Reads an answer of generateContent or streamGenerateContent (server-sent events, or a JSON array),
 * packed with gzip, deflate or br or not at all. Never throws: what is wrong is in `error`.
 */
export function readAnswer(
  bytes: Uint8Array,
  headers: { readonly contentType: string | null; readonly contentEncoding: string | null },
): ReadAnswer {
  const unpacked = unpack(bytes, headers.contentEncoding);
  if (typeof unpacked === 'string') return { ...nothing(unpacked), isUnreadable: unpacked !== CUT };
  const text = unpacked.toString('utf8');
  const isEvents =
    (headers.contentType ?? '').toLowerCase().includes('text/event-stream') ||
    /^\s*(?:data|event|id):/.test(text);
  const chunks = isEvents ? eventsIn(text) : jsonIn(text);
  if (typeof chunks === 'string') return nothing(chunks);
  return merge(chunks);
}

/** The plain bytes, or why there are none. */
function unpack(bytes: Uint8Array, contentEncoding: string | null): Buffer | string {
  const packed = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const encoding = (contentEncoding ?? '').trim().toLowerCase();
  const limit = { maxOutputLength: UNPACKED_BYTES_MAX };
  try {
    switch (encoding) {
      case '':
      case 'identity':
        return packed.length > UNPACKED_BYTES_MAX ? TOO_LONG : packed;
      case 'gzip':
      case 'x-gzip':
        return gunzipSync(packed, limit);
      case 'deflate':
        // RFC 9110 section 8.4.1.2 means the zlib format; some servers send bare deflate.
        return ((packed[0] ?? 0) & 0x0f) === 8
          ? inflateSync(packed, limit)
          : inflateRawSync(packed, limit);
      case 'br':
        return brotliDecompressSync(packed, limit);
      default:
        return `its encoding ${JSON.stringify(encoding.slice(0, 40))} cannot be unpacked`;
    }
  } catch (error) {
    const isLong = error instanceof Error && 'code' in error && error.code === LONG_CODE;
    return isLong ? TOO_LONG : CUT;
  }
}

const LONG_CODE = 'ERR_BUFFER_TOO_LARGE';
const CUT = 'it is cut short or not packed as its content-encoding says';
const TOO_LONG = `it is longer than ${UNPACKED_BYTES_MAX} bytes`;

function jsonIn(text: string): readonly JsonObject[] | string {
  const value = parseJson(text);
  if (value === undefined) return 'it is cut short, or no JSON';
  const chunks: readonly unknown[] = Array.isArray(value) ? value : [value];
  return chunks.map(asObject).filter((chunk) => chunk !== null);
}

/** The data of server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html). */
function eventsIn(text: string): readonly JsonObject[] | string {
  const chunks: JsonObject[] = [];
  const stray: string[] = [];
  let data: string[] = [];
  // A last event without the empty line after it counts if it is whole JSON.
  for (const line of [...text.split(/\r\n|\n|\r/), '']) {
    if (line.startsWith('data:')) data.push(line.slice('data:'.length));
    else if (line !== '') {
      if (!/^(?::|event:|id:|retry:)/.test(line)) stray.push(line);
    } else if (data.length > 0) {
      const joined = data.join('\n').trim();
      data = [];
      if (joined === '[DONE]') continue;
      const chunk = asObject(parseJson(joined));
      if (chunk === null) return 'one of its events is cut short, or no JSON';
      chunks.push(chunk);
    }
  }
  // Some errors come as bare JSON after the last event.
  const last = asObject(parseJson(stray.join('\n')));
  return last === null ? chunks : [...chunks, last];
}

/** Candidates by index: parts in a row, of everything else the last word. */
function merge(chunks: readonly JsonObject[]): ReadAnswer {
  const response: Record<string, unknown> = {};
  const candidates = new Map<number, { rest: Record<string, unknown>; parts: Part[] }>();
  for (const chunk of chunks) {
    Object.assign(response, chunk);
    for (const value of asArray(chunk['candidates'])) {
      const { content, ...rest } = asObject(value) ?? {};
      const index = asCount(rest['index']) ?? 0;
      const candidate = candidates.get(index) ?? { rest: {}, parts: [] };
      candidates.set(index, candidate);
      Object.assign(candidate.rest, rest);
      for (const part of asArray(asObject(content)?.['parts'])) {
        addPart(candidate.parts, asObject(part));
      }
    }
  }
  if (candidates.size > 0) {
    response['candidates'] = [...candidates.values()].map(({ rest, parts }) => ({
      ...(parts.length === 0 ? {} : { content: { parts, role: 'model' } }),
      ...rest,
    }));
  }
  const first = candidates.get(0);
  const contents: GeminiContent[] =
    first === undefined || first.parts.length === 0 ? [] : [{ role: 'model', parts: first.parts }];
  const finishReason = asString(first?.rest['finishReason']);
  return {
    contents,
    text: textOfContents(contents),
    response,
    usage: usageOf(response),
    finishReason,
    error: errorOf(response, finishReason),
    isUnreadable: false,
  };
}

/** Texts that a stream has parted are one part again; a signature keeps the part that it stands in. */
function addPart(parts: Part[], part: JsonObject | null): void {
  if (part === null || Object.keys(part).length === 0 || isEmptyText(part)) return;
  const last = parts.at(-1);
  if (last !== undefined && isPlainText(last) && isPlainText(part)) {
    if ((last['thought'] === true) === (part['thought'] === true)) {
      parts[parts.length - 1] = { ...last, text: `${String(last['text'])}${String(part['text'])}` };
      return;
    }
  }
  parts.push(part);
}

function isPlainText(part: Part): boolean {
  const isKnown = Object.keys(part).every((key) => key === 'text' || key === 'thought');
  return isKnown && typeof part['text'] === 'string';
}

function isEmptyText(part: Part): boolean {
  return isPlainText(part) && part['text'] === '';
}

function errorOf(response: JsonObject, finishReason: string | null): string | null {
  const error = streamErrorOf(response);
  if (error !== null) {
    return error.message === ''
      ? `it ends with an error (${error.status || error.code})`
      : error.message;
  }
  const blocked = asString(asObject(response['promptFeedback'])?.['blockReason']);
  if (blocked !== null) return `the prompt was blocked (${blocked})`;
  return finishReason === null ? 'it ended early: no finishReason has come' : null;
}

function nothing(error: string): ReadAnswer {
  return {
    contents: [],
    text: '',
    response: {},
    usage: null,
    finishReason: null,
    error,
    isUnreadable: false,
  };
}
