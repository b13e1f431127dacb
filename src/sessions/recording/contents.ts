import { createHash } from 'node:crypto';
import { asArray, asObject, asString } from '../../gemini/json-value.ts';
import type { JsonObject } from '../../gemini/json-value.ts';
import type { GeminiContent } from '../session.ts';

/** 64 bits: enough to tell apart the contents of one conversation, and short in a file. */
const HASH_CHARS = 16;

/**
 * One content as it is compared: neighbours of one role are one, adjacent texts are one text without
 * white space around it, thoughts, signatures and empty parts are left out, keys are in camelCase
 * and sorted. Clients send the same history back in all these shapes.
 */
export interface NormalContent {
  readonly role: GeminiContent['role'];
  /** The same text means the same content. */
  readonly text: string;
  /** Whether it carries results of function calls, which belong to the question before them. */
  readonly hasFunctionResponse: boolean;
  /** Of the given contents, those it is made of: from `from` up to, not including, `to`. */
  readonly from: number;
  readonly to: number;
}

/** What is remembered of a conversation to recognise it when it is sent again. */
export interface KnownContents {
  /** `prefixHashes` of its normalised contents. */
  readonly prefixes: readonly string[];
  /** How many of them were known before the last exchange; 0 when there was none. */
  readonly lastKeep: number;
  /** Hash of the first content that was new in the last exchange, taken alone; null without one. */
  readonly lastNew: string | null;
  /** Whether the last exchange was asked without the history that there was. */
  readonly lastBare: boolean;
}

export interface NewContents {
  /** Normalised contents known so far that stay in front. */
  readonly keep: number;
  /** What comes after them, as sent; ends with the new question. */
  readonly contents: readonly GeminiContent[];
  /** The client has sent no history although there is one. */
  readonly bare: boolean;
}

/**
 * `contents` of a request, in the shapes that the API takes: a list or a single content, parts as a
 * list or a single part, the role absent or `function`. Parts stay as they are.
 */
export function readContents(value: unknown): readonly GeminiContent[] {
  return listOf(value)
    .map(asObject)
    .filter((content) => content !== null)
    .map(({ role, parts }) => ({
      role: role === 'model' ? 'model' : 'user',
      parts: listOf(parts)
        .map(asObject)
        .filter((part) => part !== null),
    }));
}

/** Contents as they are compared. Those without anything to compare are in the range of a neighbour. */
export function normaliseContents(contents: readonly GeminiContent[]): readonly NormalContent[] {
  const groups: { role: GeminiContent['role']; atoms: Atom[]; from: number; to: number }[] = [];
  for (const [index, { role, parts }] of contents.entries()) {
    const atoms = parts.flatMap((part) => atomOf(part) ?? []);
    const last = groups.at(-1);
    if (last !== undefined && (last.role === role || atoms.length === 0)) {
      last.atoms.push(...atoms);
      last.to = index + 1;
    } else if (atoms.length > 0) {
      groups.push({ role, atoms, from: last?.to ?? 0, to: index + 1 });
    }
  }
  return groups.map(({ role, atoms, from, to }) => ({
    role,
    text: JSON.stringify([role, ...joinTexts(atoms)]),
    hasFunctionResponse: atoms.some(({ key }) => key === 'functionResponse'),
    from,
    to,
  }));
}

/**
 * For each content the hash of all up to it. They are written into records, so that the same contents
 * must have the same hash in every version.
 */
export function prefixHashes(contents: readonly NormalContent[], before = ''): readonly string[] {
  let hash = before;
  return contents.map(({ text }) => {
    hash = createHash('sha256').update(`${hash}\n${text}`).digest('hex').slice(0, HASH_CHARS);
    return hash;
  });
}

/**
 * What of a request is new. Null when it has no contents.
 *
 *   extends what is known          all stays, the rest is new
 *   leaves it somewhere            a rewind or an edit: what is common stays
 *   only the user speaks, and      a client that sends no history: the next turn
 *     something is known already
 *   has nothing in common          the client has put a summary in its place: nothing stays
 *   is the last request again      its answer is replaced
 */
export function newContents(
  known: KnownContents,
  sent: readonly GeminiContent[],
): NewContents | null {
  const normal = normaliseContents(sent);
  const [first] = normal;
  if (first === undefined) return null;
  const hashes = prefixHashes(normal);
  const { prefixes, lastBare, lastKeep, lastNew } = known;
  const isBare = prefixes.length > 0 && normal.every(({ role }) => role === 'user');
  if (isBare && (lastBare || hashes[0] !== prefixes[0])) {
    const isAgain = lastBare && hashes[0] === lastNew;
    return { keep: isAgain ? lastKeep : prefixes.length, contents: sent, bare: true };
  }
  // The last one is always written, so that an answer stands in one line with what it answers.
  const keep = Math.min(commonCount(prefixes, hashes), normal.length - 1);
  return { keep, contents: sent.slice(normal[keep]?.from ?? 0), bare: false };
}

/** Texts of the parts joined, without thoughts. */
export function textOfContents(contents: readonly GeminiContent[]): string {
  return contents
    .flatMap(({ parts }) => parts)
    .map((part) => (part['thought'] === true ? '' : (asString(part['text']) ?? '')))
    .join('');
}

/** A text, or any other part by its key. */
interface Atom {
  readonly key: string;
  readonly value: unknown;
}

/** Keys of a part that say something about it rather than what it is. */
const ASIDES: ReadonlySet<string> = new Set(['thought', 'thoughtSignature', 'partMetadata']);

/** Null for a part without content. */
function atomOf(part: JsonObject): Atom | null {
  if (part['thought'] === true) return null;
  const members = Object.entries(part)
    .map(([key, value]) => [camelCase(key), value] as const)
    .filter(([key, value]) => !ASIDES.has(key) && value !== null && value !== undefined);
  const [only] = members;
  if (only === undefined) return null;
  if (members.length === 1) {
    const [key, value] = only;
    if (key === 'text') return value === '' ? null : { key, value };
    if (key === 'functionCall') return { key, value: functionOf(value, 'args') };
    if (key === 'functionResponse') return { key, value: functionOf(value, 'response') };
  }
  const keys = members.map(([key]) => key).toSorted();
  return { key: keys.join(), value: sorted(Object.fromEntries(members), camelCase) };
}

/** Ids of calls come and go between client and API; arguments keep their own keys. */
function functionOf(value: unknown, member: 'args' | 'response'): unknown {
  const call = asObject(value);
  return [call?.['name'] ?? null, sorted(call?.[member] ?? {}, (key) => key)];
}

function joinTexts(atoms: readonly Atom[]): readonly unknown[] {
  const joined: unknown[] = [];
  let text = '';
  const endText = (): void => {
    if (text.trim() !== '') joined.push(text.trim());
    text = '';
  };
  for (const { key, value } of atoms) {
    if (key === 'text' && typeof value === 'string') text += value;
    else {
      endText();
      joined.push({ [key]: value });
    }
  }
  endText();
  return joined;
}

function sorted(value: unknown, rename: (key: string) => string): unknown {
  if (Array.isArray(value)) return value.map((item: unknown) => sorted(item, rename));
  const object = asObject(value);
  if (object === null) return value;
  const members = Object.entries(object)
    .map(([key, member]) => [rename(key), sorted(member, rename)] as const)
    .toSorted(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
  return Object.fromEntries(members);
}

function camelCase(key: string): string {
  return key.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}

function commonCount(a: readonly string[], b: readonly string[]): number {
  let count = 0;
  while (count < a.length && a[count] === b[count]) count += 1;
  return count;
}

/** JSON of protocol buffers takes a single value for a list of one. */
function listOf(value: unknown): readonly unknown[] {
  return asObject(value) === null ? asArray(value) : [value];
}
