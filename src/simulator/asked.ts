import { badRequest, type GoogleError } from './google-error.ts';
import { isBackground } from './interaction-answer.ts';
import { field, integer, list, text } from './json.ts';
import type { Route } from './route.ts';
import { contentTokens, countTextTokens, countTokens, hash } from './tokenizer.ts';
import { textsOfResponse, type ToolCall, toolCallOf } from './tool-call.ts';

/** What a call's body asks for, read and weighed. */
export interface Asked {
  readonly route: Route;
  readonly body: unknown;
  /** As the caller names it, without `models/`. */
  readonly model: string;
  readonly shape: 'json' | 'sse' | 'array';
  /** Requests it counts as: the items of a batch, else 1. */
  readonly requests: number;
  readonly inputTokens: number;
  readonly outputTokens: number;
  readonly thoughtTokens: number;
  /** Whether the caller's own limit cut the output. */
  readonly isCut: boolean;
  /** From `[[sleep:N]]`, ms before the first byte. */
  readonly sleepMs: number;
  /** From `[[sleep:N]]` too, where it is answered at once and polled for: ms until it is done. */
  readonly workMs: number;
  /** From `[[hops:N]]`: further requests that the answer's continuation token stands for. */
  readonly hopsLeft: number;
  /** From `[[tag:NAME]]`. */
  readonly tag: string | null;
  /** From `[[call:NAME key=value ...]]`; null where the answer is words. */
  readonly toolCall: ToolCall | null;
  /** The last text of the request, which the answer repeats words of. */
  readonly lastText: string;
  /** The same for the same body. */
  readonly seed: number;
}

const OUTPUT_TOKENS = 24;
const OUTPUT_TOKENS_MAX = 1_000_000;
const SLEEP_MS_MAX = 3_600_000;
const HOPS_MAX = 100;

/** Reads a body; what is wrong with it is answered as Google would. */
export function askedOf(route: Route, bytes: Buffer): Asked | GoogleError {
  const raw = bytes.toString('utf8');
  let body: unknown;
  try {
    body = JSON.parse(raw);
  } catch {
    return badRequest('Invalid JSON payload received. Unexpected token.\n');
  }
  const model = route.model ?? text(field(body, 'model')) ?? text(field(body, 'agent'));
  if (model === undefined || model === '') return badRequest('model is not specified');
  const weighed = weigh(route, body);
  if (weighed.missing !== undefined) return badRequest(weighed.missing);
  const wanted = directiveNumber(raw, 'out', OUTPUT_TOKENS_MAX) ?? OUTPUT_TOKENS;
  const most = outputTokensMax(body) ?? Infinity;
  const streams = STREAMS_BY_BODY.has(route.kind) && field(body, 'stream') === true;
  const sleepMs = directiveNumber(raw, 'sleep', SLEEP_MS_MAX) ?? 0;
  const isPolled = route.kind === 'predictLong' || isBackground(body);
  return {
    route,
    body,
    model: model.replace(/^models\//, ''),
    shape: streams ? 'sse' : route.shape,
    requests: weighed.requests ?? 1,
    inputTokens: weighed.tokens,
    outputTokens: GENERATES.has(route.kind) ? Math.min(wanted, most) : 0,
    thoughtTokens: GENERATES.has(route.kind)
      ? (directiveNumber(raw, 'think', OUTPUT_TOKENS_MAX) ?? 0)
      : 0,
    isCut: most < wanted,
    sleepMs: isPolled ? 0 : sleepMs,
    workMs: isPolled ? sleepMs : 0,
    hopsLeft: hopsLeftOf(raw, body),
    tag: directive(raw, 'tag'),
    toolCall: toolCallOf(directive(raw, 'call'), body),
    lastText: weighed.lastText,
    seed: hash(raw),
  };
}

const GENERATES: ReadonlySet<string> = new Set(['generate', 'chat', 'interaction']);

const STREAMS_BY_BODY: ReadonlySet<string> = new Set(['chat', 'interaction']);

interface Weighed {
  readonly tokens: number;
  readonly lastText: string;
  readonly requests?: number;
  /** What Google says when the part that matters is not there. */
  readonly missing?: string;
}

function weigh(route: Route, body: unknown): Weighed {
  switch (route.kind) {
    case 'generate':
    case 'countTokens':
      return weighContents(route, body);
    case 'embed': {
      const content = field(body, 'content');
      return { tokens: contentTokens(content), lastText: '' };
    }
    case 'batchEmbed': {
      const items = list(field(body, 'requests'));
      const tokens = items.map((item) => contentTokens(field(item, 'content')));
      return { tokens: sum(tokens), lastText: '', requests: Math.max(1, items.length) };
    }
    case 'predict':
    case 'predictLong': {
      const prompts = list(field(body, 'instances')).map((one) => text(field(one, 'prompt')) ?? '');
      return { tokens: sum(prompts.map(countTextTokens)), lastText: prompts.at(-1) ?? '' };
    }
    case 'chat': {
      const messages = list(field(body, 'messages'));
      if (messages.length === 0) return { tokens: 0, lastText: '', missing: 'messages is empty' };
      const texts = messages.flatMap((message) => textsIn(field(message, 'content')));
      const tools = field(body, 'tools');
      const tokens = sum(texts.map(countTextTokens));
      const toolTokens = tools === undefined ? 0 : countTextTokens(JSON.stringify(tools));
      return { tokens: tokens + toolTokens, lastText: texts.at(-1) ?? '' };
    }
    case 'openaiEmbed': {
      const inputs = list(field(body, 'input'));
      const texts = inputs.filter((one) => typeof one === 'string');
      // Tokens instead of texts are counted already: a list of them is one item, or several.
      const numbers = inputs.flat().filter((one) => typeof one === 'number');
      const requests = Math.max(1, inputs.filter((one) => typeof one !== 'number').length);
      return { tokens: sum(texts.map(countTextTokens)) + numbers.length, lastText: '', requests };
    }
    case 'openaiImage': {
      const prompt = text(field(body, 'prompt')) ?? '';
      return { tokens: countTextTokens(prompt), lastText: prompt };
    }
    case 'interaction': {
      const input = field(body, 'input');
      const isContinued = field(body, 'continuation_token') !== undefined;
      const isMissing = input === undefined && !isContinued;
      const missing = isMissing ? { missing: 'input is not specified' } : {};
      const texts = [...textsIn(field(body, 'system_instruction')), ...textsIn(input)];
      return { tokens: sum(texts.map(countTextTokens)), lastText: texts.at(-1) ?? '', ...missing };
    }
  }
}

function weighContents(route: Route, body: unknown): Weighed {
  const request = field(body, 'generateContentRequest', 'generate_content_request') ?? body;
  const contents = list(field(request, 'contents'));
  if (contents.length === 0) {
    const name = route.kind === 'generate' ? 'GenerateContentRequest' : 'CountTokensRequest';
    const missing = `* ${name}.contents: contents is not specified\n`;
    return { tokens: 0, lastText: '', missing };
  }
  let lastText = '';
  for (let at = contents.length - 1; at >= 0 && lastText === ''; at -= 1) {
    lastText = textsIn(contents[at]).at(-1) ?? '';
  }
  return { tokens: countTokens(body), lastText };
}

/** Every text within: strings, `text`, those in `parts` and `content`, and what functions answered. */
function textsIn(value: unknown): string[] {
  if (typeof value === 'string') return [value];
  if (Array.isArray(value)) return value.flatMap(textsIn);
  const own = text(field(value, 'text'));
  const below = [field(value, 'parts'), field(value, 'content')];
  const response = field(field(value, 'functionResponse', 'function_response'), 'response');
  return [
    ...(own === undefined ? [] : [own]),
    ...textsOfResponse(response),
    ...below.flatMap((one) => list(one).flatMap(textsIn)),
  ];
}

/** A token tells of the hops that come after it; a first request asks for them. */
function hopsLeftOf(raw: string, body: unknown): number {
  const token = text(field(body, 'continuation_token', 'continuationToken'));
  if (token !== undefined) return Number(/^hop-(\d{1,3})-/.exec(token)?.[1] ?? 0);
  return directiveNumber(raw, 'hops', HOPS_MAX) ?? 0;
}

function outputTokensMax(body: unknown): number | undefined {
  const config = field(body, 'generationConfig', 'generation_config');
  return (
    integer(field(config, 'maxOutputTokens', 'max_output_tokens')) ??
    integer(field(body, 'max_completion_tokens', 'max_tokens'))
  );
}

/** The last `[[name:value]]`, so that the newest turn of a conversation has the say. */
function directive(raw: string, name: string): string | null {
  const open = raw.lastIndexOf(`[[${name}:`);
  if (open < 0) return null;
  const from = open + name.length + 3;
  const close = raw.indexOf(']]', from);
  return close < 0 || close - from > 100 ? null : raw.slice(from, close);
}

function directiveNumber(raw: string, name: string, most: number): number | undefined {
  const value = directive(raw, name);
  return value !== null && /^\d{1,9}$/.test(value) ? Math.min(Number(value), most) : undefined;
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, one) => total + one, 0);
}
