import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { ProxyError } from '../../errors.ts';
import { asObject, parseJson } from '../../gemini/json-value.ts';
import type { JsonObject } from '../../gemini/json-value.ts';
import { readAnswer } from './answer-text.ts';
import { newContents, normaliseContents, prefixHashes, readContents } from './contents.ts';
import type { NewLine, RecordSettings } from './recording-line.ts';
import type { RecordState } from './recording-state.ts';
import { Recording, withoutContents } from './recording.ts';
import type { GeminiContent } from '../session.ts';

/** Records whose state is remembered; another one is read from its file again, some ms for a MiB. */
const RECORDS_MAX = 200;
/** Conversations without a name that may still go on; an older one goes on as a new record. */
const CONVERSATIONS_MAX = 1_000;
/** Records of one agent that began in one second. */
const NUMBER_MAX = 999;
/** With a time and a number it stays within the 64 characters of a session's name. */
const AGENT_CHARS_MAX = 40;

/** Names of sessions, which are names of directories too. */
const NAME = /^[A-Za-z0-9_:@-][A-Za-z0-9._:@-]{0,63}$/;

/** A call of generateContent or streamGenerateContent, and its answer with a status below 400. */
export interface RecordedExchange {
  /** The session as the client named it; null where each conversation becomes one. */
  readonly name: string | null;
  readonly agent: string;
  readonly requestId: string;
  /** Without `models/`. */
  readonly model: string;
  /** ms since 1970 UTC. */
  readonly startedAtMs: number;
  readonly endedAtMs: number;
  /** Bodies as they came. */
  readonly request: Uint8Array;
  readonly answer: Uint8Array;
  readonly contentType: string | null;
  readonly contentEncoding: string | null;
}

interface ReadRequest {
  readonly contents: readonly GeminiContent[];
  readonly settings: RecordSettings;
}

/**
 * Writes exchanges of any client into records, `<directory>/<name>/session.jsonl`. A conversation
 * without a name is found by its history among those of the same agent that this process records; it
 * goes on only where nothing of it would be replaced, else a new record is begun.
 */
export class Recorder {
  readonly #directory: () => string;
  /** By path, the latest used last. */
  readonly #records = new Map<string, Recording>();
  /** Names by agent and hash of all contents, the latest used last. */
  readonly #conversations = new Map<string, string>();

  /** `directory` is absolute and asked at every exchange. */
  constructor({ directory }: { readonly directory: () => string }) {
    this.#directory = directory;
  }

  /**
   * Adds an exchange to its record; it is on the disk when this returns. Answers that are errors, cut
   * short or empty are left out.
   *
   * @throws ProxyError BAD_REQUEST for a name that cannot be a directory, TURN_NOT_WRITTEN for
   * everything else: what cannot be read, and a record that cannot be written.
   */
  record(exchange: RecordedExchange): void {
    const { name } = exchange;
    if (name !== null) checkName(name);
    const answer = readAnswer(exchange.answer, exchange);
    if (answer.isUnreadable) throw unreadable(`the answer: ${answer.error ?? ''}`);
    if (answer.error !== null || normaliseContents(answer.contents).length === 0) return;
    const request = readRequest(exchange.request);
    const lineFor = (state: RecordState): NewLine => {
      const fresh = newContents(state, request.contents);
      if (fresh === null) throw unreadable('the request has no contents');
      const { keep, contents, bare } = fresh;
      return {
        atMs: exchange.startedAtMs,
        endedAtMs: exchange.endedAtMs,
        requestId: exchange.requestId,
        agent: exchange.agent,
        model: exchange.model,
        keep,
        bare,
        contents,
        settings: state.changesTo(request.settings),
        answer: answer.contents,
        response: withoutContents(answer.response),
        idempotencyKey: null,
        turn: null,
        question: null,
      };
    };
    if (name === null) this.#addToConversation(exchange, request, lineFor);
    else this.#add(name, exchange, lineFor);
  }

  #addToConversation(
    exchange: RecordedExchange,
    { contents }: ReadRequest,
    lineFor: (state: RecordState) => NewLine,
  ): void {
    // A turn may have been taken meanwhile that this client knows nothing of.
    const lineAtEnd = (state: RecordState): NewLine | null => {
      const line = lineFor(state);
      return line.keep === state.contents.length ? line : null;
    };
    const { agent } = exchange;
    const hashes = prefixHashes(normaliseContents(contents));
    const key = hashes
      .map((hash) => `${hash} ${agent}`)
      .findLast((candidate) => this.#conversations.has(candidate));
    const known = key === undefined ? undefined : this.#conversations.get(key);
    let name = known ?? this.#newName(exchange);
    let state = this.#add(name, exchange, lineAtEnd);
    if (state === null) {
      name = this.#newName(exchange);
      state = this.#add(name, exchange, lineAtEnd);
    }
    if (key !== undefined) this.#conversations.delete(key);
    this.#conversations.set(`${state?.prefixes.at(-1)} ${agent}`, name);
    dropOldest(this.#conversations, CONVERSATIONS_MAX);
  }

  #add(
    name: string,
    { startedAtMs }: RecordedExchange,
    lineFor: (state: RecordState) => NewLine | null,
  ): RecordState | null {
    const path = join(this.#directory(), name);
    const record = this.#records.get(path) ?? new Recording(path);
    this.#records.delete(path);
    this.#records.set(path, record);
    dropOldest(this.#records, RECORDS_MAX);
    const header = { session: name, createdAtMs: startedAtMs, continues: null };
    return record.append(header, lineFor) ? record.state : null;
  }

  #newName({ agent, startedAtMs }: RecordedExchange): string {
    const safe = agent
      .replaceAll(/[^A-Za-z0-9._@-]/g, '_')
      .replace(/^\.+/, '')
      .slice(0, AGENT_CHARS_MAX);
    const time = new Date(startedAtMs).toISOString().replaceAll(/[-:]|\.\d+Z/g, '');
    for (let number = 1; number <= NUMBER_MAX; number += 1) {
      const name = `${safe === '' ? 'agent' : safe}-${time}-${number}`;
      if (!existsSync(join(this.#directory(), name))) return name;
    }
    throw unreadable(`${NUMBER_MAX} conversations of ${safe} began in one second`);
  }
}

function readRequest(bytes: Uint8Array): ReadRequest {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
  const body = asObject(parseJson(text));
  if (body === null) throw unreadable('the request is no JSON object');
  return {
    contents: readContents(body['contents']),
    settings: {
      ...named('system_instruction', either(body, 'systemInstruction', 'system_instruction')),
      ...named('generation_config', either(body, 'generationConfig', 'generation_config')),
      ...named('tools', either(body, 'tools', 'tools')),
      ...named('tool_config', either(body, 'toolConfig', 'tool_config')),
      ...named('safety_settings', either(body, 'safetySettings', 'safety_settings')),
    },
  };
}

function named(name: keyof RecordSettings, value: unknown): RecordSettings {
  return value === undefined || value === null ? {} : { [name]: value };
}

function either(body: JsonObject, name: string, other: string): unknown {
  return body[name] ?? body[other];
}

function checkName(name: string): void {
  if (NAME.test(name)) return;
  throw new ProxyError(
    'BAD_REQUEST',
    `The session ${JSON.stringify(name.slice(0, 100))} cannot be recorded: a name is 1 to 64 letters, ` +
      'digits, or any of . _ : @ -, and begins with no dot.',
    { where: 'x-headgate-session' },
  );
}

function unreadable(why: string): ProxyError {
  return new ProxyError('TURN_NOT_WRITTEN', `The exchange was not recorded: ${why}.`);
}

function dropOldest(map: Map<string, unknown>, sizeMax: number): void {
  for (const key of map.keys()) {
    if (map.size <= sizeMax) return;
    map.delete(key);
  }
}
