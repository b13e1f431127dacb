/** One message of a chat as it stands after all of the file is applied. */
export interface ChatMessage {
  readonly type: string;
  readonly content: unknown;
  readonly toolCalls: unknown;
  readonly model: string | null;
  readonly timestampMs: number | null;
}

export interface Chat {
  readonly sessionId: string | null;
  readonly updatedAtMs: number | null;
  readonly messages: readonly ChatMessage[];
  /** What was left out, one sentence for each kind of thing. */
  readonly problems: readonly string[];
}

/**
 * The chat that a file of Gemini CLI tells. Until early 2026 that is one JSON object with all
 * `messages`; since then one JSON line for each change, applied in order:
 *
 *   {sessionId, projectHash, ...}   metadata, first line
 *   {id, type, content, ...}        a message; the same id again replaces it in its place
 *   {$set: {...}}                   metadata; with `messages`, all messages anew
 *   {$patch: {...}}                 content of single messages, removals, order
 *   {$rewindTo: id}                 that message and all later ones never were; all, if it is unknown
 *
 * As in google-gemini/gemini-cli, packages/core/src/services/chatRecordingService.ts. Never throws.
 */
export function replayChat(text: string): Chat {
  const replay = new Replay();
  const whole = parse(text);
  if (isRecord(whole) && Array.isArray(whole['messages'])) {
    replay.set(whole);
    return replay.chat();
  }
  const lines = text.split('\n');
  let unreadable = 0;
  for (const [index, line] of lines.entries()) {
    if (line.trim() === '') continue;
    const record = parse(line);
    if (record !== undefined) replay.apply(record);
    else if (index === lines.length - 1) replay.report('the last line is half-written');
    else unreadable++;
  }
  if (unreadable > 0) replay.report(`${unreadable} line(s) are no JSON`);
  return replay.chat();
}

export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

class Replay {
  #sessionId: string | null = null;
  #updatedAtMs: number | null = null;
  #messages = new Map<string, ChatMessage>();
  readonly #problems = new Set<string>();

  report(problem: string): void {
    this.#problems.add(problem);
  }

  apply(record: unknown): void {
    if (!isRecord(record)) return this.report('a line is no JSON object');
    if (typeof record['$rewindTo'] === 'string') this.#rewind(record['$rewindTo']);
    else if (isRecord(record['$patch'])) this.#patch(record['$patch']);
    else if (typeof record['id'] === 'string') this.#put(record);
    else if (isRecord(record['$set'])) this.set(record['$set']);
    else if (typeof record['sessionId'] === 'string') this.set(record);
    else this.report('a line is of an unknown kind');
  }

  set(metadata: Readonly<Record<string, unknown>>): void {
    if (typeof metadata['sessionId'] === 'string') this.#sessionId = metadata['sessionId'];
    this.#touch(timeMs(metadata['lastUpdated']));
    if (!Array.isArray(metadata['messages'])) return;
    this.#messages.clear();
    for (const message of metadata['messages']) this.#put(message);
  }

  chat(): Chat {
    return {
      sessionId: this.#sessionId,
      updatedAtMs: this.#updatedAtMs,
      messages: [...this.#messages.values()],
      problems: [...this.#problems],
    };
  }

  #put(message: unknown): void {
    if (!isRecord(message) || typeof message['id'] !== 'string') {
      return this.report('a message has no id');
    }
    if (typeof message['type'] !== 'string') return this.report('a message has no type');
    const timestampMs = timeMs(message['timestamp']);
    this.#touch(timestampMs);
    this.#messages.set(message['id'], {
      type: message['type'],
      content: message['content'],
      toolCalls: message['toolCalls'],
      model: typeof message['model'] === 'string' ? message['model'] : null,
      timestampMs,
    });
  }

  #rewind(id: string): void {
    let rewound = !this.#messages.has(id);
    for (const key of this.#messages.keys()) {
      rewound ||= key === id;
      if (rewound) this.#messages.delete(key);
    }
  }

  #patch(patch: Readonly<Record<string, unknown>>): void {
    for (const update of Array.isArray(patch['updates']) ? patch['updates'] : [patch]) {
      if (!isRecord(update) || typeof update['id'] !== 'string') continue;
      const message = this.#messages.get(update['id']);
      if (message === undefined || update['content'] === undefined) continue;
      this.#messages.set(update['id'], { ...message, content: update['content'] });
    }
    for (const id of strings(patch['removeIds'])) this.#messages.delete(id);
    for (const id of strings(patch['orderIds'])) {
      const message = this.#messages.get(id);
      if (message === undefined) continue;
      this.#messages.delete(id);
      this.#messages.set(id, message);
    }
  }

  #touch(atMs: number | null): void {
    if (atMs !== null) this.#updatedAtMs = Math.max(this.#updatedAtMs ?? atMs, atMs);
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function strings(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.filter((item) => typeof item === 'string') : [];
}

function timeMs(value: unknown): number | null {
  const ms = typeof value === 'string' ? Date.parse(value) : Number.NaN;
  return Number.isNaN(ms) ? null : ms;
}
