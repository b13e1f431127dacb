import { asArray, asCount, asObject, asString } from './json-value.ts';
import type { JsonObject } from './json-value.ts';

/** What tokens stand for, as far as prices tell them apart. */
export const TOKEN_KINDS = ['text', 'audio', 'image', 'video'] as const;
export type TokenKind = (typeof TOKEN_KINDS)[number];
export type KindTokens = Readonly<Record<TokenKind, number>>;

/** Tokens by kind. Sums may stay below those of the usage: not every token is told apart. */
export interface TokensByKind {
  /** Cached part included. */
  readonly input: KindTokens;
  readonly cached: KindTokens;
  /** Thoughts are text. */
  readonly output: KindTokens;
}

/** Lists of a usage that tell kinds apart, natively and in interactions. */
const INPUT_LISTS = [
  'promptTokensDetails',
  'toolUsePromptTokensDetails',
  'input_tokens_by_modality',
  'tool_use_tokens_by_modality',
];
const CACHED_LISTS = ['cacheTokensDetails', 'cached_tokens_by_modality'];
const OUTPUT_LISTS = [
  'candidatesTokensDetails',
  'responseTokensDetails',
  'output_tokens_by_modality',
];

/** The kinds of a usage; null where it tells none apart. */
export function kindsOf(usage: JsonObject, thoughts: number): TokensByKind | null {
  const input = counted(usage, INPUT_LISTS);
  const cached = counted(usage, CACHED_LISTS);
  const output = counted(usage, OUTPUT_LISTS);
  const isTold = [input, cached, output].some((kinds) =>
    TOKEN_KINDS.some((kind) => kinds[kind] > 0),
  );
  if (!isTold) return null;
  return { input, cached, output: { ...output, text: output.text + thoughts } };
}

/** Both together; null without any. */
export function addKinds(a: TokensByKind | null, b: TokensByKind | null): TokensByKind | null {
  if (a === null || b === null) return a ?? b;
  return {
    input: addedUp(a.input, b.input),
    cached: addedUp(a.cached, b.cached),
    output: addedUp(a.output, b.output),
  };
}

function addedUp(a: KindTokens, b: KindTokens): KindTokens {
  return {
    text: a.text + b.text,
    audio: a.audio + b.audio,
    image: a.image + b.image,
    video: a.video + b.video,
  };
}

function counted(usage: JsonObject, lists: readonly string[]): KindTokens {
  const sums = { text: 0, audio: 0, image: 0, video: 0 };
  for (const entry of lists.flatMap((list) => asArray(usage[list]))) {
    const detail = asObject(entry);
    const name = asString(detail?.['modality'])?.toLowerCase();
    const kind = TOKEN_KINDS.find((known) => known === name);
    // A count of 0 may be left out. Pages of documents have the price of text.
    const count = asCount(detail?.['tokenCount']) ?? asCount(detail?.['tokens']) ?? 0;
    if (kind !== undefined) sums[kind] += count;
  }
  return sums;
}
