import type { ConfinedDirectory, Entry, SessionWarning } from '../session.ts';
import { cleanText, decodeText } from '../text.ts';

/** Answers, contexts and logs beyond this are not read to the end. */
const TEXT_BYTES_MAX = 8 * 1024 * 1024;

export interface LogText {
  readonly text: string;
  readonly encoding: string;
  readonly cut: boolean;
}

/** A mapping of unknown content. */
export type Fields = Readonly<Record<string, unknown>>;

/**
 * The files of one log, and the warnings about them. A file that is not there is simply null; one that
 * is there and cannot be used is null with a warning, once.
 */
export class LogFiles {
  readonly #directory: ConfinedDirectory;
  readonly #entries = new Map<string, readonly Entry[]>();
  readonly #warnings = new Map<string, SessionWarning>();

  constructor(directory: ConfinedDirectory) {
    this.#directory = directory;
  }

  get warnings(): readonly SessionWarning[] {
    return [...this.#warnings.values()];
  }

  warn(file: string, message: string): void {
    this.#warnings.set(`${file}\n${message}`, { file, message });
  }

  entries(directory: string): readonly Entry[] {
    const known = this.#entries.get(directory);
    if (known !== undefined) return known;
    const entries = this.#directory.list(directory);
    this.#entries.set(directory, entries);
    return entries;
  }

  /** Names of the directories in it, sorted; links are left out. */
  directories(directory: string): readonly string[] {
    return this.entries(directory)
      .filter((entry) => entry.kind === 'directory')
      .map((entry) => entry.name);
  }

  /** Whether something of this name is there, of whatever kind. */
  has(directory: string, name: string): boolean {
    return this.entries(directory).some((entry) => entry.name === name);
  }

  text(directory: string, name: string, bytesMax = TEXT_BYTES_MAX): LogText | null {
    if (!this.has(directory, name)) return null;
    const path = within(directory, name);
    const result = this.#directory.read(path, bytesMax);
    if (result === null) {
      this.warn(path, this.#directory.problem(path) ?? 'cannot be read');
      return null;
    }
    return { ...decodeText(result.bytes), cut: result.cut };
  }

  /** A JSON file whose top is an object. */
  json(directory: string, name: string): Fields | null {
    const file = this.text(directory, name);
    if (file === null) return null;
    const path = within(directory, name);
    if (file.cut) {
      this.warn(path, 'is too long and was not read');
      return null;
    }
    const value = parseObject(file.text);
    if (value === null) this.warn(path, file.text.trim() === '' ? 'is empty' : 'is damaged JSON');
    return value;
  }
}

export function within(directory: string, name: string): string {
  return directory === '.' ? name : `${directory}/${name}`;
}

export function parseObject(text: string): Fields | null {
  try {
    return fieldsOf(JSON.parse(text));
  } catch {
    return null;
  }
}

export function fieldsOf(value: unknown): Fields | null {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return null;
  // An object that is no array has string keys, and its values are unknown.
  return value as Fields;
}

/** A text with something in it, cleaned; null for anything else. */
export function textOf(value: unknown): string | null {
  if (typeof value !== 'string') return null;
  const text = cleanText(value);
  return text.trim() === '' ? null : text;
}

/** Epoch seconds as ms; null for what is no time of this or the next centuries. */
export function epochMsOf(value: unknown): number | null {
  return typeof value === 'number' && value > 0 && value < 1e11 ? Math.round(value * 1000) : null;
}

export function sameText(one: string, other: string): boolean {
  return one.trim() === other.trim();
}
