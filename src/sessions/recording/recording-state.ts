import type { JsonObject } from '../../gemini/json-value.ts';
import type { KnownContents } from './contents.ts';
import { normaliseContents, prefixHashes } from './contents.ts';
import type { NewLine, RecordLine, RecordSettings, SettingName } from './recording-line.ts';
import { isNewer, readLine, SETTING_NAMES } from './recording-line.ts';
import type { GeminiContent } from '../session.ts';

/** Problems of one record that are told; a file full of damage has as many as lines. */
const PROBLEMS_MAX = 50;

/** One normalised content of the conversation. */
export interface RecordedContent {
  /** Of all contents up to this one; null where they are lost. */
  readonly hash: string | null;
  readonly hasFunctionResponse: boolean;
  /** Null where it is lost with a damaged line, or not kept. */
  readonly content: GeminiContent | null;
  /** The exchange that it came with; null as above. */
  readonly line: RecordLine | null;
}

/** An agent as its last exchange shows it. */
export interface RecordedAgent {
  readonly model: string;
  /** JSON by name. */
  readonly settings: ReadonlyMap<SettingName, string>;
}

/**
 * What the lines of a record come to, one after the other:
 *
 *   line 1  keep 0  contents u1     answer m1      u1 m1
 *   line 2  keep 2  contents u2     answer m2      u1 m1 u2 m2
 *   line 3  keep 2  contents u2'    answer m2'     u1 m1 u2' m2'      (a rewind)
 *   line 4  keep 0  contents s u3   answer m3      s u3 m3            (a compaction)
 *
 * A line that is lost leaves a gap, never a shift: what later lines keep is counted from the front,
 * and they name its hash.
 */
export class RecordState implements KnownContents {
  readonly #keepsContents: boolean;
  readonly #items: RecordedContent[] = [];
  #settings: ReadonlyMap<SettingName, string> = new Map();
  readonly #agents = new Map<string, RecordedAgent>();
  readonly #problems: string[] = [];
  #prefixes: readonly string[] | null = null;
  #header: JsonObject | null = null;
  #updatedAtMs: number | null = null;
  #lineNumber = 0;
  lastKeep = 0;
  lastNew: string | null = null;
  lastBare = false;

  /** Without contents it holds what is needed to append, some 100 bytes for each. */
  constructor({ keepsContents }: { readonly keepsContents: boolean }) {
    this.#keepsContents = keepsContents;
  }

  get contents(): readonly RecordedContent[] {
    return this.#items;
  }

  /** A lost content has a hash that nothing has. */
  get prefixes(): readonly string[] {
    this.#prefixes ??= this.#items.map(({ hash }) => hash ?? 'lost');
    return this.#prefixes;
  }

  get header(): JsonObject | null {
    return this.#header;
  }

  /** In order of their first exchange. */
  get agents(): ReadonlyMap<string, RecordedAgent> {
    return this.#agents;
  }

  /** Each names its line: "3 is cut short or damaged". */
  get problems(): readonly string[] {
    return this.#problems;
  }

  /** Of the last exchange; null without one. */
  get updatedAtMs(): number | null {
    return this.#updatedAtMs;
  }

  /** The settings of a request as a line has them after those before it. */
  changesTo(wanted: RecordSettings): RecordSettings {
    const changes: Partial<Record<SettingName, unknown>> = {};
    for (const name of SETTING_NAMES) {
      const value = wanted[name] ?? null;
      const before = this.#settings.get(name) ?? 'null';
      if (JSON.stringify(value) !== before) changes[name] = value;
    }
    return changes;
  }

  /** Takes in the next lines; what follows the last line end counts as a line. Never throws. */
  replay(bytes: Buffer): void {
    let at = 0;
    while (at < bytes.length) {
      const newline = bytes.indexOf(0x0a, at);
      const end = newline === -1 ? bytes.length : newline;
      this.#lineNumber += 1;
      const text = bytes.toString('utf8', at, end);
      if (text.trim() !== '') this.#take(text);
      at = end + 1;
    }
  }

  /** The line as it is to be written. */
  seal(line: NewLine): RecordLine {
    const prefix = line.keep === 0 ? null : (this.prefixes[line.keep - 1] ?? null);
    const normal = normaliseContents([...line.contents, ...line.answer]);
    const hash = prefixHashes(normal, prefix ?? '').at(-1) ?? '';
    return { ...line, prefix, hash };
  }

  /** Takes in a line that has just been written. */
  apply(line: RecordLine): void {
    this.#lineNumber += 1;
    this.#apply(line);
  }

  #take(text: string): void {
    let problem: string;
    try {
      const read = readLine(text);
      if (typeof read === 'string') problem = `${read}; it is left out`;
      else if ('line' in read) {
        if (this.#apply(read.line)) return;
        problem = 'is damaged; it is left out';
      } else {
        this.#header ??= read.header;
        if (!isNewer(read.header)) return;
        return this.#tell('was written by a newer headgate; what it does not know is left out');
      }
    } catch {
      // JSON that is nested deeper than the stack.
      problem = 'is damaged; it is left out';
    }
    this.#tell(problem);
  }

  /** False, and nothing is changed, when what the line says is not what was written. */
  #apply(line: RecordLine): boolean {
    // What can fail, on JSON deeper than the stack, comes before anything is changed.
    const raw = [...line.contents, ...line.answer];
    const normal = normaliseContents(raw);
    const settings = new Map(this.#settings);
    for (const name of SETTING_NAMES) {
      const value = line.settings[name];
      if (value === null) settings.delete(name);
      else if (value !== undefined) settings.set(name, JSON.stringify(value));
    }
    const hashes = prefixHashes(normal, line.prefix ?? '');
    if (hashes.at(-1) !== line.hash) return false;
    this.#keep(line);
    for (const [index, { role, hasFunctionResponse, from, to }] of normal.entries()) {
      const parts = raw.slice(from, to).flatMap((content) => content.parts);
      this.#items.push({
        hash: hashes[index] ?? null,
        hasFunctionResponse,
        content: this.#keepsContents ? { role, parts } : null,
        line: this.#keepsContents ? line : null,
      });
    }
    this.#prefixes = null;
    this.lastKeep = line.keep;
    this.lastBare = line.bare;
    this.lastNew = prefixHashes(normal.slice(0, 1))[0] ?? null;
    this.#updatedAtMs = Math.max(this.#updatedAtMs ?? 0, line.endedAtMs);
    this.#settings = settings;
    this.#agents.set(line.agent, { model: line.model, settings });
    return true;
  }

  /** Leaves the contents that the line keeps. Where others stand there, those are taken for lost. */
  #keep({ keep, prefix }: RecordLine): void {
    const items = this.#items;
    const isKnown = keep === 0 || items[keep - 1]?.hash === prefix;
    if (!isKnown) this.#tell('builds on contents that are lost');
    // Of fewer contents than it keeps, those that are known are the first of them.
    if (!isKnown && items.length >= keep) items.length = 0;
    items.length = Math.min(items.length, keep);
    while (items.length < keep) items.push(LOST);
    if (!isKnown) items[keep - 1] = { ...LOST, hash: prefix };
  }

  #tell(problem: string): void {
    if (this.#problems.length < PROBLEMS_MAX) this.#problems.push(`${this.#lineNumber} ${problem}`);
  }
}

const LOST: RecordedContent = {
  hash: null,
  hasFunctionResponse: false,
  content: null,
  line: null,
};
