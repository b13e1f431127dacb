import { readFileSync } from 'node:fs';
import Type, { type Static } from 'typebox';
import { Check, Default, Errors } from 'typebox/value';
import { LineCounter, parseDocument } from 'yaml';

/** What a fault may answer instead of the truth. */
export const FAULT_ANSWERS = [
  '429-minute', // the minute's requests, with quota details, though there is room
  '429-tokens', // the minute's input tokens
  '429-day', // the day's requests
  '429-exhausted', // shared capacity: no details at all
  '429-billing', // prepaid credits used up: never comes right
  '429-zero', // the model is not on this tier: several quotas with limit 0
  '503',
  '500',
  '504',
  '400',
  'reset', // the connection is reset before any byte of an answer
  'hang', // no answer, ever
  'stream-error', // a 503 event within a 200 stream
  'stream-429', // a 429 event within a 200 stream
  'stream-raw', // a pretty-printed error after good events, without `data:`
  'truncate', // the connection ends in the middle of the answer
  'slow', // the first byte comes `delay_ms` later
  'dribble', // the answer in pieces of a few bytes, cutting through frames and characters
] as const;

export type FaultAnswer = (typeof FAULT_ANSWERS)[number];

const closed = { additionalProperties: false } as const;
/** Limits of one model; null means no limit, 0 means the model is not on this tier. */
const RowSchema = Type.Object(
  {
    rpm: Type.Union([Type.Integer({ minimum: 0 }), Type.Null()], { default: null }),
    tpm: Type.Union([Type.Integer({ minimum: 0 }), Type.Null()], { default: null }),
    rpd: Type.Union([Type.Integer({ minimum: 0 }), Type.Null()], { default: null }),
    max_input_tokens: Type.Integer({ minimum: 1, default: 1_048_576 }),
    /** Live sessions at once; Google publishes no number. */
    live_sessions: Type.Union([Type.Integer({ minimum: 0 }), Type.Null()], { default: null }),
  },
  closed,
);

const FaultSchema = Type.Object(
  {
    match: Type.Object(
      {
        model: Type.Optional(Type.String()),
        nth: Type.Optional(Type.Array(Type.Integer({ minimum: 1 }), { minItems: 1 })),
        every: Type.Optional(Type.Integer({ minimum: 1 })),
        rate: Type.Optional(Type.Number({ minimum: 0, maximum: 1 })),
        after_ms: Type.Optional(Type.Number({ minimum: 0 })),
        until_ms: Type.Optional(Type.Number({ minimum: 0 })),
      },
      { ...closed, default: {} },
    ),
    answer: Type.Enum([...FAULT_ANSWERS]),
    delay_ms: Type.Number({ minimum: 0, default: 10_000 }),
  },
  closed,
);

const ScenarioSchema = Type.Object(
  {
    name: Type.String({ default: 'strict' }),
    /** Model id, or a pattern with `*`, to its row. The exact id wins, then the longest pattern. */
    models: Type.Record(Type.String(), RowSchema, { default: {} }),
    /** The row of every other model. */
    default: Type.Object(RowSchema.properties, {
      ...closed,
      default: { rpm: 7, tpm: 100_000, rpd: 100 },
    }),
    /** A sliding span ending now, or the UTC minute by the simulator's own wall clock. */
    minute: Type.Enum(['sliding', 'utc'], { default: 'sliding' }),
    /** Length of the "minute" in ms; tests shorten it. */
    minute_span_ms: Type.Number({ exclusiveMinimum: 0, default: 60_000 }),
    day: Type.Enum(['pacific'], { default: 'pacific' }),
    /** When a call enters its windows: once it has been read, or as its answer's first byte leaves. */
    count_at: Type.Enum(['arrival', 'answer'], { default: 'arrival' }),
    tpm_counts: Type.Enum(['input', 'total'], { default: 'input' }),
    latency: Type.Object(
      {
        /** Smallest and largest wait before the first byte, ms. */
        first_byte: Type.Tuple([Type.Number({ minimum: 0 }), Type.Number({ minimum: 0 })], {
          default: [20, 80],
        }),
        /** Between two chunks of a stream, ms. */
        per_chunk: Type.Number({ minimum: 0, default: 10 }),
        /** Chunks of a stream. */
        chunks: Type.Integer({ minimum: 1, maximum: 10_000, default: 4 }),
      },
      { ...closed, default: {} },
    ),
    /** The first one that matches a call answers it. */
    faults: Type.Array(FaultSchema, { default: [] }),
    /** Whether a refused call still takes a place in the minute's requests. */
    rejected_counts_rpm: Type.Boolean({ default: false }),
    /** How far the simulator's wall clock (Date header, calendar edges) is ahead of the machine's. */
    clock_offset_ms: Type.Integer({ default: 0 }),
    /** Compress when asked to. */
    gzip: Type.Boolean({ default: true }),
    /** Patterns of models that answer 404. */
    unknown_models: Type.Array(Type.String(), { default: [] }),
    /** Accepted API keys; without the list every key, and none, will do. */
    keys: Type.Optional(Type.Array(Type.String())),
    /** Another name of a model: the answer names the resolved one, and both share its quota. */
    aliases: Type.Record(Type.String(), Type.String(), {
      default: { 'gemini-flash-latest': 'gemini-3.8-flash' },
    }),
    /** What a 429 calls a model, where that differs from its id. */
    quota_names: Type.Record(Type.String(), Type.String(), {
      default: { 'gemini-3-flash-preview': 'gemini-3-flash' },
    }),
    /** countTokens calls a minute, apart from any model's quota. */
    count_tokens_rpm: Type.Integer({ minimum: 0, default: 3000 }),
    /** Bytes that pieces of an upload, but the last, have to be a multiple of. */
    upload_granularity: Type.Integer({ minimum: 1, default: 8_388_608 }),
    /** Films lie here, or a 302 leads to them: at this address, or at another host name of it. */
    downloads: Type.Enum(['direct', 'redirect', 'elsewhere'], { default: 'direct' }),
  },
  closed,
);

/** A whole scenario, every default filled in. */
export type Scenario = Static<typeof ScenarioSchema>;
export type Row = Static<typeof RowSchema>;
export type Fault = Static<typeof FaultSchema>;

/** What a scenario file may say: any part of it, to any depth. */
export type ScenarioInput = DeepPartial<Scenario>;
type DeepPartial<T> = T extends readonly unknown[]
  ? T | { readonly [K in keyof T]: DeepPartial<T[K]> }
  : T extends object
    ? { readonly [K in keyof T]?: DeepPartial<T[K]> }
    : T;

/** A scenario that is wrong: every mistake with its place, one to a line. */
export class ScenarioError extends Error {
  override readonly name = 'ScenarioError';
}

/**
 * Fills in the defaults. `models`, when given, replaces all of the strict rows.
 *
 * @throws ScenarioError that names each wrong key.
 */
export function makeScenario(input: ScenarioInput = {}): Scenario {
  return checked(input, shown);
}

/** @throws ScenarioError with file:line:column of each mistake. */
export function parseScenario(text: string, file = 'scenario'): Scenario {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const at = (offset: number): string => {
    const { line, col } = lines.linePos(offset);
    return `${file}:${line}:${col}`;
  };
  const broken = document.errors[0];
  if (broken !== undefined) throw new ScenarioError(`${at(broken.pos[0])}: ${broken.message}`);
  return checked(document.toJS() ?? {}, (pointer) => {
    const node = document.getIn(keysOf(pointer), true);
    const range =
      typeof node === 'object' && node !== null && 'range' in node ? node.range : undefined;
    const offset = Array.isArray(range) && typeof range[0] === 'number' ? range[0] : 0;
    return `${at(offset)}: ${shown(pointer)}`;
  });
}

/** @throws ScenarioError, or the file system's own error when the file cannot be read. */
export function loadScenario(file: string): Scenario {
  return parseScenario(readFileSync(file, 'utf8'), file);
}

/** The row a model counts against. */
export function rowOf(scenario: Scenario, model: string): Row {
  const exact = entry(scenario.models, model);
  if (exact !== undefined) return exact;
  let longest: string | undefined;
  for (const pattern of Object.keys(scenario.models)) {
    if (pattern.length > (longest?.length ?? -1) && matches(pattern, model)) longest = pattern;
  }
  return (longest === undefined ? undefined : scenario.models[longest]) ?? scenario.default;
}

/** The model that a name stands for; an alias may stand for another alias. */
export function resolvedModel({ aliases }: Scenario, name: string): string {
  let model = name;
  for (let hop = 0; hop < ALIAS_HOPS_MAX; hop += 1) model = entry(aliases, model) ?? model;
  return model;
}

/** What a 429 calls a model. */
export function quotaNameOf(scenario: Scenario, model: string): string {
  return entry(scenario.quota_names, model) ?? model;
}

/** Whether a pattern, in which `*` stands for anything, matches the whole name. */
export function matches(pattern: string, name: string): boolean {
  let expression = expressions.get(pattern);
  if (expression === undefined) {
    const source = pattern.replace(/[.+?^${}()|[\]\\]/g, '\\$&').replaceAll('*', '.*');
    expression = new RegExp(`^${source}$`, 's');
    expressions.set(pattern, expression);
  }
  return expression.test(name);
}

/** Ends a ring of aliases. */
const ALIAS_HOPS_MAX = 5;

/** Names come from callers, who may well ask for a model called `constructor`. */
function entry<T>(record: Readonly<Record<string, T>>, name: string): T | undefined {
  return Object.hasOwn(record, name) ? record[name] : undefined;
}

/** Patterns come from scenarios only, so there are few. */
const expressions = new Map<string, RegExp>();

const free = (rpm: number, tpm: number, rpd: number) => ({ rpm, tpm, rpd });

/** Free-tier limits as AI Studio showed them in 2026; the 2.5 rows are those MassGen is set up for. */
const STRICT_ROWS = {
  'gemini-2.5-flash': free(10, 250_000, 250),
  'gemini-2.5-pro': free(2, 125_000, 50),
  'gemini-2.5-flash-lite': free(10, 250_000, 20),
  'gemini-3*-flash': free(5, 250_000, 20),
  'gemini-3-flash-preview': free(5, 250_000, 20),
  'gemini-3*-flash-lite': free(15, 250_000, 500),
  'gemini-*-tts*': free(3, 10_000, 10),
  'gemini-robotics-er*': free(5, 250_000, 20),
  'gemma-3-*': free(30, 15_000, 14_400),
  'gemma-4-*': free(15, 16_000, 1_500),
  'gemini-embedding-*': free(100, 30_000, 1_000),
} as const;

function checked(input: unknown, place: (pointer: string) => string): Scenario {
  const scenario = Default(ScenarioSchema, withRows(structuredClone(input)));
  if (!Check(ScenarioSchema, scenario)) throw new ScenarioError(mistakes(scenario, place));
  const [least, most] = scenario.latency.first_byte;
  if (least > most) {
    throw new ScenarioError(`${place('/latency/first_byte')} must be [smallest, largest]`);
  }
  return scenario;
}

/** The strict rows where none are given, and defaults within rows, which a record does not fill. */
function withRows(input: unknown): unknown {
  if (!isObject(input)) return input;
  const models = 'models' in input ? input.models : structuredClone(STRICT_ROWS);
  if (!isObject(models)) return input;
  const rows: Record<string, unknown> = {};
  for (const [model, row] of Object.entries(models)) rows[model] = Default(RowSchema, row);
  return { ...input, models: rows };
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function mistakes(scenario: unknown, place: (pointer: string) => string): string {
  // The first word on a place is the plainest; a parent only repeats what its child says.
  const found = new Map<string, string>();
  for (const error of Errors(ScenarioSchema, scenario)) {
    if (!found.has(error.instancePath)) found.set(error.instancePath, explained(error));
  }
  const pointers = [...found.keys()];
  return [...found]
    .filter(([pointer]) => !pointers.some((other) => other.startsWith(`${pointer}/`)))
    .map(([pointer, message]) => `${place(pointer)} ${message}`)
    .join('\n');
}

function explained(error: { keyword: string; message: string; params: object }): string {
  if (error.keyword === 'boolean') return 'is not a known key';
  if ('allowedValues' in error.params && Array.isArray(error.params.allowedValues)) {
    return `must be one of ${error.params.allowedValues.join(', ')}`;
  }
  return error.message;
}

/** A JSON pointer as people write it. */
function shown(pointer: string): string {
  return keysOf(pointer).join('.') || 'scenario';
}

function keysOf(pointer: string): string[] {
  return pointer
    .split('/')
    .slice(1)
    .map((key) => key.replaceAll('~1', '/').replaceAll('~0', '~'));
}
