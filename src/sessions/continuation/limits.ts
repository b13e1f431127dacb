/** What a model takes, as Google's model pages say (https://ai.google.dev/gemini-api/docs/models). */

const INPUT_TOKENS = 1_048_576;

/** The first that matches counts. Whatever is newer than this list has a million, as all since 1.5. */
const INPUT_TOKENS_BY_MODEL: readonly (readonly [RegExp, number])[] = [
  [/gemini-1\.5-pro/, 2_097_152],
  [/-tts\b/, 8_192],
  [/gemini-2.*-image/, 32_768],
  [/gemini-.*-image/, 65_536],
  [/computer-use/, 128_000],
  [/gemma-3-1b/, 32_768],
  [/gemma/, 131_072],
];

/**
 * What an answer may need of the window: Gemini 4 and Gemma count input and output together, and an
 * answer is at most this long unless asked otherwise. It also absorbs estimates that are too low.
 */
const OUTPUT_TOKENS = 65_536;

/** Input tokens for which there is room beside the answer. `maxOutputTokens` null where it is not set. */
export function inputRoom(model: string, maxOutputTokens: number | null): number {
  const window =
    INPUT_TOKENS_BY_MODEL.find(([pattern]) => pattern.test(model))?.[1] ?? INPUT_TOKENS;
  return window - Math.min(maxOutputTokens ?? OUTPUT_TOKENS, Math.floor(window / 4));
}

/** A setting as the rules below see it. */
interface Given {
  readonly key: string;
  readonly value: unknown;
}

/**
 * Why a model does not take a setting; null when it does, or when nothing is known. The API answers
 * 400 for each of these: https://ai.google.dev/gemini-api/docs/thinking for models before 3, and the
 * pages on what is new in Gemini 3 and Gemini 4.
 */
export function whyNotTaken(model: string, { key, value }: Given): string | null {
  const generation = generationOf(model);
  if (/^gemma-[123]/.test(model) && key === 'system_message') {
    return `${model} takes no system instruction`;
  }
  if (generation === null) return null;
  switch (key) {
    case 'thinking_level':
      if (generation < 2.5) return `${model} does not think`;
      if (generation < 3) return `${model} takes thinking_budget instead`;
      return generation >= 4 && String(value).toLowerCase() === 'minimal'
        ? `${model} thinks at least at level low`
        : null;
    case 'thinking_budget':
      if (generation < 2.5) return `${model} does not think`;
      if (generation >= 4) return `${model} takes thinking_level instead`;
      return value === 0 && /2\.5-pro/.test(model) ? `${model} cannot stop thinking` : null;
    case 'include_thoughts':
      return generation < 2.5 ? `${model} does not think` : null;
    case 'presence_penalty':
    case 'frequency_penalty':
      return generation >= 4 ? `${model} takes no penalties` : null;
    default:
      return null;
  }
}

/** 2, 2.5, 3.1, ...; null for aliases such as gemini-flash-latest and for other families. */
function generationOf(model: string): number | null {
  const version = /gemini-(\d+(?:\.\d+)?)/.exec(model)?.[1];
  return version === undefined ? null : Number(version);
}

/** Whether the name is clearly one of another provider's models. */
export function isForeignModel(model: string): boolean {
  return /^(gpt-|chatgpt|claude|o[1-9](-|$)|grok|llama|mistral|deepseek|qwen|kimi|glm-)/i.test(
    model,
  );
}
