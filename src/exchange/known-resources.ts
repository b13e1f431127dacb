import type { FileMemory, ResourceMemory } from '../gemini/cost.ts';

/** What is known of a file that was uploaded. */
export type KnownFile = FileMemory;

/** What has been seen going by of files and caches, for the cost of calls that name them. */
export interface KnownResources extends ResourceMemory {
  /** By its URI or its name, `files/x`; null for one that has not been seen. */
  file(uri: string): KnownFile | null;
  /** Tokens of a cache by its name, `cachedContents/x`. */
  cacheTokens(name: string): number | null;
  /** Takes in the plain JSON that answered a call of `path`. Never throws; ignores what it cannot read. */
  learn(path: string, body: Buffer): void;
}

/** Each; a project holds 20 GB of files for two days, and rarely more than hundreds. About 1 MB. */
export const KNOWN_MAX = 5_000;
/** Longest name that is kept: Google's own have 40 characters at most. */
const NAME_CHARS_MAX = 200;

const FILE_NAME = /^(?:https?:\/\/[^?#]*\/v1\w*\/)?(files\/[^/?#:]+)(?:[?#].*)?$/i;
const FILE_PATH = /^(?:\/upload)?\/v1(?:beta|alpha)?\/files(?:[/?:]|$)/;
const CACHE_PATH = /^\/v1(?:beta|alpha)?\/cachedContents(?:[/?]|$)/;

/** Whether the answer to a call of `path` can tell of files or caches. */
export function tellsOfResources(path: string): boolean {
  return FILE_PATH.test(path) || CACHE_PATH.test(path);
}

/** A memory that forgets first what was longest out of use, at `KNOWN_MAX` files and as many caches. */
export function createKnownResources(): KnownResources {
  const files = new Map<string, KnownFile>();
  const caches = new Map<string, number>();
  return {
    file(uri) {
      const name = FILE_NAME.exec(uri)?.[1];
      return name === undefined ? null : recall(files, name);
    },
    cacheTokens: (name) => recall(caches, name),
    learn(path, body) {
      if (!tellsOfResources(path)) return;
      let value: unknown;
      try {
        value = JSON.parse(body.toString('utf8'));
      } catch {
        return;
      }
      if (CACHE_PATH.test(path)) {
        for (const cache of each(value, 'cachedContents')) learnCache(caches, cache);
        return;
      }
      for (const file of each(value, 'files')) learnFile(files, file);
    },
  };
}

/** The resources in an answer: a list, one below `file`, as uploads end, or the answer itself. */
function each(value: unknown, list: string): readonly unknown[] {
  const listed = field(value, list);
  if (Array.isArray(listed)) return listed;
  return [field(value, 'file') ?? value];
}

function learnFile(files: Map<string, KnownFile>, value: unknown): void {
  const name = field(value, 'name');
  if (!isName(name) || !name.startsWith('files/')) return;
  const mimeType = field(value, 'mimeType');
  const duration = /^(\d{1,9}(?:\.\d+)?)s$/.exec(
    String(field(field(value, 'videoMetadata'), 'videoDuration')),
  );
  keep(files, name, {
    sizeBytes: wholeNumber(field(value, 'sizeBytes')),
    mimeType: isName(mimeType) ? mimeType : null,
    durationMs: duration === null ? null : Math.ceil(Number(duration[1]) * 1_000),
  });
}

function learnCache(caches: Map<string, number>, value: unknown): void {
  const name = field(value, 'name');
  const tokens = wholeNumber(field(field(value, 'usageMetadata'), 'totalTokenCount'));
  if (isName(name) && tokens !== null) keep(caches, name, tokens);
}

function recall<T>(map: Map<string, T>, key: string): T | null {
  const value = map.get(key);
  if (value === undefined) return null;
  keep(map, key, value);
  return value;
}

/** A map keeps the order of insertion: the first key is the one longest out of use. */
function keep<T>(map: Map<string, T>, key: string, value: T): void {
  map.delete(key);
  map.set(key, value);
  const oldest = map.size > KNOWN_MAX ? map.keys().next().value : undefined;
  if (oldest !== undefined) map.delete(oldest);
}

function isName(value: unknown): value is string {
  return typeof value === 'string' && value !== '' && value.length <= NAME_CHARS_MAX;
}

/** Google writes 64-bit numbers as strings. */
function wholeNumber(value: unknown): number | null {
  const number = typeof value === 'string' && value !== '' ? Number(value) : value;
  return typeof number === 'number' && Number.isSafeInteger(number) && number >= 0 ? number : null;
}

function field(value: unknown, key: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, key) : undefined;
}
