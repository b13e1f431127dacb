import { StringDecoder } from 'node:string_decoder';

/** A streamed answer as it arrives: all of its bytes, and its text as it comes. */
export interface AnswerStream {
  /** Takes bytes and answers the text of the model that they brought; thoughts are left out. */
  push(chunk: Buffer): string;
  /** What a last line without its end held. */
  end(): string;
  /** Everything so far. */
  bytes(): Buffer;
  /** An error that came inside the answer, in words; null while none has. */
  readonly error: string | null;
  /** Whether the model has said that it ended, or that it will not begin. */
  readonly isEnded: boolean;
}

/** An answer with images is some MB; nothing that a person waits for is longer. */
export const ANSWER_BYTES_MAX = 67_108_864;
/** Text that is no event: some errors come as bare JSON after the last one. */
const STRAY_CHARS_MAX = 65_536;

/** Reads server-sent events of streamGenerateContent (https://ai.google.dev/api/generate-content). */
export function createAnswerStream(): AnswerStream {
  const decoder = new StringDecoder('utf8');
  const chunks: Buffer[] = [];
  let line: string[] = [];
  let data: string[] = [];
  let stray = '';
  let error: string | null = null;
  let isEnded = false;

  function endEvent(): string {
    const event = data.length === 0 ? null : asObject(parsed(data.join('\n')));
    data = [];
    if (event === null) return '';
    error ??= errorOf(event);
    isEnded ||= endsAnswer(event);
    return textOf(event);
  }

  function endLine(): string {
    const text = line.join('').replace(/\r$/, '');
    line = [];
    if (text === '') return endEvent();
    const value = /^data:( ?)/.exec(text);
    if (value !== null) data.push(text.slice(value[0].length));
    else if (!/^(:|event:|id:|retry:)/.test(text) && stray.length < STRAY_CHARS_MAX) stray += text;
    return '';
  }

  function pushText(text: string): string {
    const lines = text.split('\n');
    const rest = lines.pop() ?? '';
    let said = '';
    for (const one of lines) {
      line.push(one);
      said += endLine();
    }
    if (rest !== '') line.push(rest);
    return said;
  }

  return {
    push(chunk) {
      chunks.push(chunk);
      return pushText(decoder.write(chunk));
    },
    end() {
      const said = pushText(`${decoder.end()}\n\n`);
      const trouble = stray === '' ? null : asObject(parsed(stray));
      if (trouble !== null) error ??= errorOf(trouble);
      return said;
    },
    bytes: () => Buffer.concat(chunks),
    get error() {
      return error;
    },
    get isEnded() {
      return isEnded;
    },
  };
}

/** The text of an answer or of one event of it, thoughts left out. */
function textOf(answer: JsonObject): string {
  const content = asObject(candidateOf(answer)?.['content']);
  const parts = content?.['parts'];
  if (!Array.isArray(parts)) return '';
  return parts
    .map((part: unknown) => asObject(part))
    .map((part) => (part === null || part['thought'] === true ? '' : (part['text'] ?? '')))
    .filter((text) => typeof text === 'string')
    .join('');
}

function endsAnswer(answer: JsonObject): boolean {
  const blocked = asObject(answer['promptFeedback'])?.['blockReason'];
  return typeof candidateOf(answer)?.['finishReason'] === 'string' || typeof blocked === 'string';
}

function errorOf(answer: JsonObject): string | null {
  const error = asObject(answer['error']);
  if (error === null) return null;
  return typeof error['message'] === 'string' ? error['message'] : 'an error without a message';
}

function candidateOf(answer: JsonObject): JsonObject | null {
  const candidates = answer['candidates'];
  return Array.isArray(candidates) ? asObject(candidates[0]) : null;
}

export type JsonObject = Readonly<Record<string, unknown>>;

export function asObject(value: unknown): JsonObject | null {
  // Checked just here: what is an object and no array has members by name.
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as JsonObject)
    : null;
}

/** The value of a JSON text; null where it is none. */
export function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
