import {
  closeSync,
  constants,
  fstatSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readSync,
  writeSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { ProxyError } from '../../errors.ts';
import { asArray, asObject, parseJson } from '../../gemini/json-value.ts';
import type { JsonObject } from '../../gemini/json-value.ts';
import { openConfined } from '../confined-directory.ts';
import { textOfContents } from './contents.ts';
import type { NewTurn, TakenTurn } from '../contracts.ts';
import type { NewLine, RecordHeader } from './recording-line.ts';
import { headerText, lineText, readLine } from './recording-line.ts';
import { RecordState } from './recording-state.ts';
import type { GeminiContent } from '../session.ts';

/** The one file of a record. */
export const RECORD_FILE = 'session.jsonl';

/** A record is read whole. Nothing is appended beyond this, so that nothing is left out in reading. */
export const RECORD_BYTES_MAX = 64 * 1024 * 1024;

/** Records hold prompts and answers: only their owner reads them. */
const DIRECTORY_MODE = 0o700;
const FILE_MODE = 0o600;

export interface AppendTurnHeader {
  /** Default: the name of the directory. */
  readonly session?: string;
  /** The log whose later turns the record holds. */
  readonly continues?: { readonly path: string; readonly format: string };
}

/**
 * A record to append to. It remembers what the file comes to, and takes in what other processes have
 * added since.
 */
export class Recording {
  readonly #directory: string;
  #state = new RecordState({ keepsContents: false });
  /** How far the file has been taken in, and which file. */
  #offset = 0;
  #inode: number | null = null;

  /** Absolute path of the record's directory, which need not exist yet. */
  constructor(directory: string) {
    this.#directory = directory;
  }

  /** As of the last append. */
  get state(): RecordState {
    return this.#state;
  }

  /**
   * Adds the line that `make` builds on what the record holds by now, unless it gives null; it is on
   * the disk when this returns, and true tells so. Lines of several processes stay whole, since each is one write to the file's end; of two
   * that build on the same contents at the same time, the later stands.
   *
   * @throws ProxyError TURN_NOT_WRITTEN; the record then reads as before.
   */
  append(header: RecordHeader, make: (state: RecordState) => NewLine | null): boolean {
    let descriptor: number | null = null;
    try {
      const isNew = makeDirectory(this.#directory);
      descriptor = openRecord(this.#directory);
      const endsInLine = this.#takeIn(descriptor);
      const made = make(this.#state);
      if (made === null) return false;
      const line = this.#state.seal(made);
      const before = this.#offset === 0 ? `${headerText(header)}\n` : endsInLine ? '' : '\n';
      this.#write(descriptor, Buffer.from(`${before}${lineText(line)}\n`));
      this.#state.apply(line);
      if (before !== '' || isNew) syncDirectories(this.#directory);
      return true;
    } catch (error) {
      // What the file holds now is not known.
      this.#forget();
      throw notWritten(this.#directory, error);
    } finally {
      if (descriptor !== null) closeSync(descriptor);
    }
  }

  #takeIn(descriptor: number): boolean {
    const { ino, size } = fstatSync(descriptor);
    if (ino !== this.#inode || size < this.#offset) this.#forget();
    this.#inode = ino;
    if (size > RECORD_BYTES_MAX) throw full(this.#directory);
    const bytes = Buffer.alloc(size - this.#offset);
    let filled = 0;
    while (filled < bytes.length) {
      const position = this.#offset + filled;
      const count = readSync(descriptor, bytes, filled, bytes.length - filled, position);
      if (count === 0) break;
      filled += count;
    }
    this.#state.replay(bytes.subarray(0, filled));
    this.#offset += filled;
    // Of a file that has not grown, the last line is our own and whole.
    return filled === 0 || bytes[filled - 1] === 0x0a;
  }

  #write(descriptor: number, bytes: Buffer): void {
    if (this.#offset + bytes.length > RECORD_BYTES_MAX) throw full(this.#directory);
    const written = writeSync(descriptor, bytes);
    if (written < bytes.length) throw new Error('the disk is full');
    fsyncSync(descriptor);
    this.#offset += written;
    // Somebody has appended in between: the next append reads it all anew.
    if (fstatSync(descriptor).size !== this.#offset) this.#inode = null;
  }

  #forget(): void {
    this.#state = new RecordState({ keepsContents: false });
    this.#offset = 0;
    this.#inode = null;
  }
}

/**
 * Adds a turn that headgate has taken to a record, and makes the record if there is none. It is on
 * the disk when this returns.
 *
 * @throws ProxyError TURN_NOT_WRITTEN; the record then reads as before.
 */
export function appendTurn(
  directory: string,
  turn: NewTurn,
  number: number,
  header: AppendTurnHeader = {},
): void {
  const { session = basename(directory), continues = null } = header;
  const [contents, answer] = questionAndAnswer(turn);
  const { id, systemMessage, backend } = turn.agentConfig;
  const { type: _type, model: _model, ...settings } = backend;
  new Recording(directory).append(
    { session, createdAtMs: turn.startedAtMs, continues },
    (state) => ({
      atMs: turn.startedAtMs,
      endedAtMs: turn.endedAtMs,
      requestId: turn.requestId,
      agent: id,
      model: turn.model,
      keep: state.contents.length,
      bare: false,
      contents,
      settings: state.changesTo({
        ...(systemMessage === null ? {} : { system_instruction: systemContent(systemMessage) }),
        ...(Object.keys(settings).length === 0 ? {} : { backend: settings }),
      }),
      answer,
      response: withoutContents(turn.response),
      idempotencyKey: turn.idempotencyKey,
      turn: number,
      question: turn.question === textOfContents(contents) ? null : turn.question,
    }),
  );
}

/** The turn that was taken under an idempotency key; null where there is none. Never throws. */
export function takenTurnIn(directory: string, key: string): TakenTurn | null {
  let bytes: Buffer | undefined;
  try {
    bytes = openConfined(directory).read(RECORD_FILE, RECORD_BYTES_MAX)?.bytes;
  } catch {
    return null;
  }
  const mark = `"idempotency_key":${JSON.stringify(key)}`;
  const texts = (bytes?.toString('utf8') ?? '').split('\n').filter((text) => text.includes(mark));
  for (const text of texts) {
    const read = readLine(text);
    if (typeof read === 'string' || !('line' in read)) continue;
    const { line } = read;
    if (line.idempotencyKey !== key || line.turn === null) continue;
    return {
      number: line.turn,
      question: line.question ?? textOfContents(line.contents),
      contents: [...line.contents, ...line.answer],
      answer: textOfContents(line.answer),
      agent: line.agent,
      model: line.model,
      response: withContents(line.response, line.answer),
    };
  }
  return null;
}

/** An answer without what its candidates say, which a record keeps beside it. */
export function withoutContents(response: JsonObject): JsonObject {
  if (!Array.isArray(response['candidates'])) return response;
  const candidates = response['candidates'].map((value: unknown) => {
    const { content: _, ...rest } = asObject(value) ?? {};
    return rest;
  });
  return { ...response, candidates };
}

function withContents(response: JsonObject, answer: readonly GeminiContent[]): JsonObject {
  const [content] = answer;
  if (content === undefined) return response;
  const [first, ...others] = asArray(response['candidates']);
  const told = { parts: content.parts, role: content.role };
  return { ...response, candidates: [{ content: told, ...asObject(first) }, ...others] };
}

/** What was asked, and what the model said at the end. */
function questionAndAnswer({
  contents,
  question,
  answer,
}: NewTurn): readonly [readonly GeminiContent[], readonly GeminiContent[]] {
  const count = contents.findLastIndex(({ role }) => role === 'user') + 1;
  if (count > 0 && count < contents.length) {
    return [contents.slice(0, count), contents.slice(count)];
  }
  return [
    [{ role: 'user', parts: [{ text: question }] }],
    [{ role: 'model', parts: [{ text: answer }] }],
  ];
}

/** A system message that is no mere text is handed over as the JSON of a content. */
function systemContent(message: string): JsonObject {
  const content = message.startsWith('{') ? asObject(parseJson(message)) : null;
  return Array.isArray(content?.['parts']) ? content : { parts: [{ text: message }] };
}

/** Whether it was made. What is there already must be a directory itself, not a link to one. */
function makeDirectory(directory: string): boolean {
  mkdirSync(dirname(directory), { recursive: true, mode: DIRECTORY_MODE });
  try {
    mkdirSync(directory, { mode: DIRECTORY_MODE });
    return true;
  } catch (error) {
    if (lstatSync(directory, { throwIfNoEntry: false })?.isDirectory() === true) return false;
    throw error;
  }
}

function openRecord(directory: string): number {
  const flags = constants.O_RDWR | constants.O_APPEND | constants.O_CREAT | constants.O_NOFOLLOW;
  const descriptor = openSync(join(directory, RECORD_FILE), flags, FILE_MODE);
  if (fstatSync(descriptor).isFile()) return descriptor;
  closeSync(descriptor);
  throw new Error('it is no regular file');
}

/** A new file is found after a power failure only when the directories that name it are synced too. */
function syncDirectories(directory: string): void {
  for (const path of [directory, dirname(directory)]) {
    const descriptor = openSync(path, constants.O_RDONLY);
    try {
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
  }
}

function full(directory: string): ProxyError {
  return new ProxyError(
    'TURN_NOT_WRITTEN',
    `The record ${basename(directory)} is full (${RECORD_BYTES_MAX} bytes); record under another name.`,
  );
}

function notWritten(directory: string, error: unknown): ProxyError {
  if (error instanceof ProxyError) return error;
  const why = error instanceof Error && 'code' in error ? String(error.code) : String(error);
  return new ProxyError(
    'TURN_NOT_WRITTEN',
    `The record ${basename(directory)} cannot be written (${why}). Check that sessions.record_dir ` +
      'can be written and has room.',
    { cause: error },
  );
}
