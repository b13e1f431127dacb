import {
  isFinished,
  lastMember,
  lastString,
  modelVersionOf,
  streamErrorOf,
  usageOf,
} from './answer-json.ts';
import type { StreamError, Usage } from './answer-json.ts';
import { asObject, parseJson } from './json-value.ts';
import type { JsonObject } from './json-value.ts';

/** What an answer told. */
export interface AnswerFacts {
  /** The last word on it; null where none came. */
  readonly usage: Usage | null;
  /** The model that answered, without `models/`; null where not told. */
  readonly modelVersion: string | null;
  /** Whether the model ended its answer; false when the answer was cut short. */
  readonly finishReasonSeen: boolean;
  readonly streamError: StreamError | null;
}

/** Of an answer that could not be read. */
export const NO_ANSWER_FACTS: AnswerFacts = {
  usage: null,
  modelVersion: null,
  finishReasonSeen: false,
  streamError: null,
};

/** Reads one answer's plain bytes as they go by. */
export interface AnswerReader {
  push(chunk: Buffer): void;
  end(): AnswerFacts;
}

/** Parsed whole up to here (a few ms); of anything longer only the tail is looked at. */
const WHOLE_BYTES_MAX = 1_048_576;
/** Usage and model version stand behind the candidates, in a few hundred bytes. */
const TAIL_BYTES = 65_536;
/** An event with an image is 1 to 4 MB; no longer one is kept whole. */
const EVENT_BYTES_MAX = 8_388_608;

/** Reads a JSON answer: one object, or an array of objects in pieces. */
export class JsonAnswerReader implements AnswerReader {
  readonly #copy = new BoundedCopy(WHOLE_BYTES_MAX);

  push(chunk: Buffer): void {
    this.#copy.push(chunk);
  }

  end(): AnswerFacts {
    const text = this.#copy.text();
    if (this.#copy.isCut) return factsOfTail(text);
    const answer = parseJson(text);
    if (answer === undefined) return factsOfTail(text);
    let facts = NO_ANSWER_FACTS;
    for (const element of Array.isArray(answer) ? answer : [answer]) {
      const object = asObject(element);
      if (object !== null) facts = later(facts, factsOf(object));
    }
    return facts;
  }
}

/**
 * Reads server-sent events. Only the last event with usage is parsed, and it is parsed at the end;
 * the others are merely searched for their marks.
 */
export class SseAnswerReader implements AnswerReader {
  /** The unfinished last line. */
  #line = new BoundedCopy(EVENT_BYTES_MAX);
  #data: Buffer[] = [];
  #dataBytes = 0;
  #isCut = false;
  /** Text that is no event: some errors come as bare JSON after the last one. */
  readonly #stray = new BoundedCopy(TAIL_BYTES);
  #firstEvent: SseEvent | null = null;
  #usageEvent: SseEvent | null = null;
  #finishReasonSeen = false;
  #streamError: StreamError | null = null;

  push(chunk: Buffer): void {
    let at = 0;
    for (;;) {
      const newline = chunk.indexOf(0x0a, at);
      if (newline === -1) break;
      const rest = chunk.subarray(at, newline);
      if (this.#line.isEmpty) {
        this.#endLine(rest, false);
      } else {
        this.#line.push(rest);
        this.#endLine(this.#line.bytes(), this.#line.isCut);
        this.#line = new BoundedCopy(EVENT_BYTES_MAX);
      }
      at = newline + 1;
    }
    if (at < chunk.length) this.#line.push(chunk.subarray(at));
  }

  end(): AnswerFacts {
    if (!this.#line.isEmpty) this.#endLine(this.#line.bytes(), this.#line.isCut);
    this.#endEvent();
    const usageFacts = this.#usageEvent === null ? NO_ANSWER_FACTS : this.#usageEvent.facts();
    const modelVersion = usageFacts.modelVersion ?? this.#firstEvent?.facts().modelVersion ?? null;
    const stray = this.#stray.isEmpty ? null : factsOfTail(this.#stray.text()).streamError;
    return {
      usage: usageFacts.usage,
      modelVersion,
      finishReasonSeen: this.#finishReasonSeen,
      streamError: this.#streamError ?? stray,
    };
  }

  #endLine(withReturn: Buffer, isCut: boolean): void {
    const line = withReturn.at(-1) === 0x0d ? withReturn.subarray(0, -1) : withReturn;
    if (line.length === 0) {
      this.#endEvent();
    } else if (isCut || startsWith(line, 'data:')) {
      this.#isCut ||= isCut || this.#dataBytes + line.length > EVENT_BYTES_MAX;
      if (this.#isCut) this.#data = this.#data.slice(-1);
      this.#data.push(isCut ? line : line.subarray('data:'.length));
      this.#dataBytes += line.length;
    } else if (!IGNORED_FIELDS.some((field) => startsWith(line, field))) {
      this.#stray.push(line);
    }
  }

  #endEvent(): void {
    const [first] = this.#data;
    if (first === undefined) return;
    const bytes = this.#data.length === 1 ? first : Buffer.concat(this.#data);
    const event = new SseEvent(bytes, this.#isCut);
    this.#data = [];
    this.#dataBytes = 0;
    this.#isCut = false;
    this.#firstEvent ??= event;
    if (event.hasUsage) this.#usageEvent = event;
    this.#finishReasonSeen ||= event.mayFinish && event.facts().finishReasonSeen;
    if (event.mayFail) this.#streamError = event.facts().streamError ?? this.#streamError;
  }
}

const IGNORED_FIELDS = [':', 'event:', 'id:', 'retry:'];

/** The data of one event. Searching its bytes is far cheaper than parsing them. */
class SseEvent {
  readonly #bytes: Buffer;
  readonly #isCut: boolean;

  constructor(bytes: Buffer, isCut: boolean) {
    this.#bytes = bytes;
    this.#isCut = isCut;
  }

  get hasUsage(): boolean {
    return (
      this.#bytes.includes('"usageMetadata"') ||
      this.#bytes.includes('"total_usage"') ||
      // OpenAI's chunks all have "usage", which is null in all but the last.
      USAGE_OBJECT.test(this.#around('"usage"'))
    );
  }

  get mayFinish(): boolean {
    return (
      this.#bytes.includes('"finishReason"') ||
      STRING_REASON.test(this.#around('"finish_reason"')) ||
      this.#bytes.includes('"completed"') ||
      this.#bytes.includes('"incomplete"')
    );
  }

  get mayFail(): boolean {
    return this.#bytes.includes('"error"');
  }

  facts(): AnswerFacts {
    if (this.#isCut || this.#bytes.length > WHOLE_BYTES_MAX) {
      return factsOfTail(this.#bytes.subarray(-TAIL_BYTES).toString('utf8'));
    }
    const text = this.#bytes.toString('utf8');
    const object = asObject(parseJson(text));
    return object === null ? factsOfTail(text) : factsOf(object);
  }

  #around(mark: string): string {
    const at = this.#bytes.lastIndexOf(mark);
    return at === -1 ? '' : this.#bytes.toString('latin1', at, at + mark.length + 32);
  }
}

const USAGE_OBJECT = /^"usage"\s*:\s*\{/;
const STRING_REASON = /^"finish_reason"\s*:\s*"/;

/** The first bytes up to a bound; once they exceed it, only the last TAIL_BYTES. */
class BoundedCopy {
  readonly #bytesMax: number;
  #chunks: Buffer[] = [];
  #length = 0;
  #isCut = false;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  get isEmpty(): boolean {
    return this.#length === 0;
  }

  get isCut(): boolean {
    return this.#isCut;
  }

  push(chunk: Buffer): void {
    if (chunk.length === 0) return;
    this.#chunks.push(chunk);
    this.#length += chunk.length;
    // Cutting only when the copy has doubled keeps the work linear in the bytes that go by.
    const lengthMax = this.#isCut ? 2 * TAIL_BYTES : this.#bytesMax;
    if (this.#length <= lengthMax) return;
    this.#isCut = true;
    const tail = Buffer.from(Buffer.concat(this.#chunks).subarray(-TAIL_BYTES));
    this.#chunks = [tail];
    this.#length = tail.length;
  }

  bytes(): Buffer {
    const [first] = this.#chunks;
    return this.#chunks.length === 1 && first !== undefined ? first : Buffer.concat(this.#chunks);
  }

  text(): string {
    return this.bytes().toString('utf8');
  }
}

function startsWith(line: Buffer, field: string): boolean {
  return line.length >= field.length && line.toString('latin1', 0, field.length) === field;
}

function factsOf(answer: JsonObject): AnswerFacts {
  return {
    usage: usageOf(answer),
    modelVersion: modelVersionOf(answer),
    finishReasonSeen: isFinished(answer),
    streamError: streamErrorOf(answer),
  };
}

/** Takes what it can from a piece of JSON whose beginning or end is missing. */
function factsOfTail(text: string): AnswerFacts {
  const answer: Record<string, unknown> = {};
  for (const name of ['usageMetadata', 'usage', 'error'] as const) {
    const member = lastMember(text, name);
    if (member !== null) answer[name] = member;
  }
  const modelVersion = lastString(text, 'modelVersion') ?? lastString(text, 'model');
  const reason = lastString(text, 'finishReason') ?? lastString(text, 'finish_reason');
  return {
    usage: usageOf(answer),
    modelVersion: modelVersion === null ? null : modelVersionOf({ modelVersion }),
    finishReasonSeen: reason !== null,
    streamError: streamErrorOf(answer),
  };
}

/** In a row of answers the last word counts; an end or an error, once seen, stays. */
function later(before: AnswerFacts, after: AnswerFacts): AnswerFacts {
  return {
    usage: after.usage ?? before.usage,
    modelVersion: after.modelVersion ?? before.modelVersion,
    finishReasonSeen: before.finishReasonSeen || after.finishReasonSeen,
    streamError: after.streamError ?? before.streamError,
  };
}
