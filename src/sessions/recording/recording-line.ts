import { asArray, asObject, asString, parseJson } from '../../gemini/json-value.ts';
import type { JsonObject } from '../../gemini/json-value.ts';
import { readContents } from './contents.ts';
import type { GeminiContent } from '../session.ts';

/** What a request says beside its contents, by the name it has in a record; values as sent. */
export const SETTING_NAMES = [
  'system_instruction',
  'generation_config',
  'tools',
  'tool_config',
  'safety_settings',
  /** Of a turn that headgate has taken: the agent's settings by MassGen's key. */
  'backend',
] as const;

export type SettingName = (typeof SETTING_NAMES)[number];

/** Only those that differ from the line before; null takes one back. */
export type RecordSettings = Readonly<Partial<Record<SettingName, unknown>>>;

/** The first line of a record. */
export interface RecordHeader {
  readonly session: string;
  /** ms since 1970 UTC. */
  readonly createdAtMs: number;
  /** The log whose later turns these are; null where the record is a session of its own. */
  readonly continues: { readonly path: string; readonly format: string } | null;
}

/** One exchange. */
export interface RecordLine {
  /** ms since 1970 UTC. */
  readonly atMs: number;
  readonly endedAtMs: number;
  readonly requestId: string;
  readonly agent: string;
  readonly model: string;
  /** How many of the normalised contents known so far stay in front. */
  readonly keep: number;
  /** Hash of those, so that a reader sees when it knows others; null where nothing stays. */
  readonly prefix: string | null;
  /** Hash of those and of all that this line adds, so that a reader sees when it is damaged. */
  readonly hash: string;
  /** The request carried no history although there was one. */
  readonly bare: boolean;
  /** What came after them, as sent. */
  readonly contents: readonly GeminiContent[];
  readonly settings: RecordSettings;
  readonly answer: readonly GeminiContent[];
  /** The answer without what its candidates say. */
  readonly response: JsonObject;
  /** Of a turn that headgate has taken; null otherwise. */
  readonly idempotencyKey: string | null;
  readonly turn: number | null;
  /** The question as text, where it is another than the texts of `contents`. */
  readonly question: string | null;
}

/** A line as it is made up; the hashes come of where it is put. */
export type NewLine = Omit<RecordLine, 'prefix' | 'hash'>;

/** Longer conversations than any model takes; a larger number is damage. */
const KEEP_MAX = 100_000;

/** Written before the name of the format's version. A newer one may hold what is not known here. */
const VERSION = 1;

export function headerText({ session, createdAtMs, continues }: RecordHeader): string {
  return JSON.stringify({
    headgate: VERSION,
    session,
    created_at_ms: createdAtMs,
    ...(continues === null ? {} : { continues }),
  });
}

export function lineText(line: RecordLine): string {
  const { prefix, bare, idempotencyKey, turn, question } = line;
  return JSON.stringify({
    at_ms: line.atMs,
    ended_at_ms: line.endedAtMs,
    request_id: line.requestId,
    agent: line.agent,
    model: line.model,
    keep: line.keep,
    ...(prefix === null ? {} : { prefix }),
    hash: line.hash,
    ...(bare ? { bare } : {}),
    contents: line.contents,
    ...line.settings,
    answer: line.answer,
    response: line.response,
    ...(idempotencyKey === null ? {} : { idempotency_key: idempotencyKey }),
    ...(turn === null ? {} : { turn }),
    ...(question === null ? {} : { question }),
  });
}

/** What a line of a record is; a text says why it is nothing. */
export function readLine(
  text: string,
): { readonly header: JsonObject } | { readonly line: RecordLine } | string {
  const value = asObject(parseJson(text));
  if (value === null) return 'is cut short or damaged';
  if (value['headgate'] !== undefined) return { header: value };
  const { keep } = value;
  const prefix = asString(value['prefix']);
  const hash = asString(value['hash']);
  const answer = readContents(value['answer']);
  const isExchange =
    typeof keep === 'number' &&
    Number.isSafeInteger(keep) &&
    keep >= 0 &&
    keep <= KEEP_MAX &&
    (keep === 0) === (prefix === null) &&
    hash !== null &&
    Array.isArray(value['contents']) &&
    asArray(value['answer']).length === answer.length;
  if (!isExchange) return 'is no exchange';
  const settings = SETTING_NAMES.filter((name) => value[name] !== undefined);
  return {
    line: {
      atMs: msOf(value['at_ms']) ?? 0,
      endedAtMs: msOf(value['ended_at_ms']) ?? msOf(value['at_ms']) ?? 0,
      requestId: asString(value['request_id']) ?? '',
      agent: asString(value['agent']) ?? 'agent',
      model: asString(value['model']) ?? '',
      keep,
      prefix,
      hash,
      bare: value['bare'] === true,
      contents: readContents(value['contents']),
      settings: Object.fromEntries(settings.map((name) => [name, value[name]])),
      answer,
      response: asObject(value['response']) ?? {},
      idempotencyKey: asString(value['idempotency_key']),
      turn: msOf(value['turn']),
      question: asString(value['question']),
    },
  };
}

/** Whether the header is of a version that has not been known when this was written. */
export function isNewer(header: JsonObject): boolean {
  const version = header['headgate'];
  return typeof version !== 'number' || version > VERSION;
}

function msOf(value: unknown): number | null {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : null;
}
