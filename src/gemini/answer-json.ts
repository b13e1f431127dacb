import { asArray, asCount, asObject, asString, parseJson } from './json-value.ts';
import type { JsonObject } from './json-value.ts';
import { kindsOf, type TokensByKind } from './token-kinds.ts';

/** Tokens as an answer tells them. */
export interface Usage {
  /** Prompt, cached part included, and what server-side tools fed back. */
  readonly inputTokens: number;
  /** Visible output and thoughts. */
  readonly outputTokens: number;
  /** Of the output, thoughts. */
  readonly thoughtTokens: number;
  /** Of the input, read from a cache. */
  readonly cachedTokens: number;
  readonly totalTokens: number;
  /** Absent where the answer does not tell kinds apart. */
  readonly kinds?: TokensByKind;
}

/** An error that came inside an answer whose status was 200, or as the answer itself. */
export interface StreamError {
  /** As an HTTP status; 0 where the error names none. */
  readonly code: number;
  /** google.rpc status, upper case; empty where the error names none. */
  readonly status: string;
  /** At most 200 characters. */
  readonly message: string;
  /** The error's JSON, `{"error": ...}`, as `classifyRejection` reads it. */
  readonly body: string;
}

const MESSAGE_CHARS_MAX = 200;
/** Only the last one can be cut off; more are garbage, and each costs a look at all that follows. */
const LAST_MEMBER_TRIES_MAX = 16;

/** Statuses of google.rpc that an answer's error may name without a number. */
const HTTP_OF_RPC: ReadonlyMap<string, number> = new Map([
  ['INVALID_ARGUMENT', 400],
  ['FAILED_PRECONDITION', 400],
  ['UNAUTHENTICATED', 401],
  ['PERMISSION_DENIED', 403],
  ['NOT_FOUND', 404],
  ['ABORTED', 409],
  ['RESOURCE_EXHAUSTED', 429],
  ['RATE_LIMIT_EXCEEDED', 429],
  ['CANCELLED', 499],
  ['INTERNAL', 500],
  ['UNAVAILABLE', 503],
  ['DEADLINE_EXCEEDED', 504],
]);

/**
 * The usage in one JSON answer or event of any surface: `usageMetadata`, OpenAI's `usage`, and of
 * interactions `usage`, `interaction.usage` or a step's running `metadata.total_usage`.
 */
export function usageOf(answer: JsonObject): Usage | null {
  const native = asObject(answer['usageMetadata']);
  if (native !== null) return nativeUsage(native);
  const usage =
    asObject(answer['usage']) ??
    asObject(asObject(answer['interaction'])?.['usage']) ??
    asObject(asObject(answer['metadata'])?.['total_usage']);
  if (usage === null) return null;
  return usage['prompt_tokens'] === undefined ? interactionsUsage(usage) : openAiUsage(usage);
}

/** The model that answered, without `models/`. */
export function modelVersionOf(answer: JsonObject): string | null {
  const name =
    asString(answer['modelVersion']) ??
    asString(asObject(answer['interaction'])?.['model']) ??
    asString(answer['model']);
  return name === null || name === '' ? null : name.replace(/^models\//, '');
}

/** Whether the model said that it has ended. */
export function isFinished(answer: JsonObject): boolean {
  const ended = [...asArray(answer['candidates']), ...asArray(answer['choices'])].some((each) => {
    const part = asObject(each);
    return asString(part?.['finishReason']) !== null || asString(part?.['finish_reason']) !== null;
  });
  const status = asString((asObject(answer['interaction']) ?? answer)['status']);
  return ended || status === 'completed' || status === 'incomplete';
}

/** The error that an answer or event is; null when it is none. */
export function streamErrorOf(answer: JsonObject): StreamError | null {
  const error = asObject(answer['error']);
  if (error === null) return null;
  const code = error['code'];
  const status = (asString(error['status']) ?? asString(code) ?? '').toUpperCase();
  return {
    code: asCount(code) ?? HTTP_OF_RPC.get(status) ?? 0,
    status,
    message: (asString(error['message']) ?? '').slice(0, MESSAGE_CHARS_MAX),
    body: JSON.stringify({ error }),
  };
}

/**
 * The last member `name` in a cut-off piece of JSON, if its value is a whole object. The name in
 * quotes cannot occur inside a string: its quotes would be escaped there.
 */
export function lastMember(text: string, name: string): JsonObject | null {
  const needle = `"${name}"`;
  let at = text.lastIndexOf(needle);
  for (let tries = 0; at !== -1 && tries < LAST_MEMBER_TRIES_MAX; tries += 1) {
    const open = /^\s*:\s*(?=\{)/.exec(text.slice(at + needle.length, at + needle.length + 64));
    if (open !== null) {
      const start = at + needle.length + open[0].length;
      const end = endOfObject(text, start);
      if (end !== null) return asObject(parseJson(text.slice(start, end)));
    }
    at = at === 0 ? -1 : text.lastIndexOf(needle, at - 1);
  }
  return null;
}

/** The last string member `name` in a cut-off piece of JSON. */
export function lastString(text: string, name: string): string | null {
  const at = text.lastIndexOf(`"${name}"`);
  if (at === -1) return null;
  const value = /^\s*:\s*("(?:[^"\\]|\\.){0,256}")/.exec(
    text.slice(at + name.length + 2, at + name.length + 600),
  );
  return value === null ? null : asString(parseJson(value[1] ?? ''));
}

function endOfObject(text: string, start: number): number | null {
  let depth = 0;
  let inString = false;
  for (let at = start; at < text.length; at += 1) {
    const char = text[at];
    if (inString) {
      if (char === '\\') at += 1;
      else if (char === '"') inString = false;
    } else if (char === '"') inString = true;
    else if (char === '{') depth += 1;
    else if (char === '}' && --depth === 0) return at + 1;
  }
  return null;
}

function nativeUsage(usage: JsonObject): Usage | null {
  const candidates = tokens(usage, 'candidatesTokenCount', 'responseTokenCount');
  const thoughts = tokens(usage, 'thoughtsTokenCount');
  const total = tokens(usage, 'totalTokenCount');
  const prompt = asCount(usage['promptTokenCount']);
  // A cache's usage names only the total, all of it input.
  const input =
    prompt === null
      ? total - candidates - thoughts
      : prompt + tokens(usage, 'toolUsePromptTokenCount');
  return makeUsage(usage, {
    input,
    output: candidates + thoughts,
    thoughts,
    cached: tokens(usage, 'cachedContentTokenCount'),
    total,
  });
}

/** Thinking shows only in the total: it is what prompt and completion leave of it. */
function openAiUsage(usage: JsonObject): Usage {
  const prompt = tokens(usage, 'prompt_tokens');
  const completion = tokens(usage, 'completion_tokens');
  const total = Math.max(tokens(usage, 'total_tokens'), prompt + completion);
  const cached = asCount(asObject(usage['prompt_tokens_details'])?.['cached_tokens']) ?? 0;
  return makeUsage(usage, {
    input: prompt,
    output: total - prompt,
    thoughts: total - prompt - completion,
    cached,
    total,
  });
}

function interactionsUsage(usage: JsonObject): Usage | null {
  if (asCount(usage['total_input_tokens']) === null && asCount(usage['total_tokens']) === null) {
    return null;
  }
  const thoughts = tokens(usage, 'total_thought_tokens');
  return makeUsage(usage, {
    input: tokens(usage, 'total_input_tokens') + tokens(usage, 'total_tool_use_tokens'),
    output: tokens(usage, 'total_output_tokens') + thoughts,
    thoughts,
    cached: tokens(usage, 'total_cached_tokens'),
    total: tokens(usage, 'total_tokens'),
  });
}

function makeUsage(
  usage: JsonObject,
  of: { input: number; output: number; thoughts: number; cached: number; total: number },
): Usage {
  const inputTokens = Math.max(0, of.input);
  const kinds = kindsOf(usage, of.thoughts);
  return {
    ...(kinds !== null && { kinds }),
    inputTokens,
    outputTokens: of.output,
    thoughtTokens: of.thoughts,
    cachedTokens: of.cached,
    totalTokens: Math.max(of.total, inputTokens + of.output),
  };
}

function tokens(usage: JsonObject, ...names: readonly string[]): number {
  for (const name of names) {
    const count = asCount(usage[name]);
    if (count !== null) return count;
  }
  return 0;
}
