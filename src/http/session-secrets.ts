/** Stands in the place of what must not be shown. */
export const REDACTED = '[redacted]';

/** Settings whose value is a secret, or may hold one, as headers do. */
const SECRET_NAME = /key|token|secret|password|authorization|credential|cookie|header/i;
/** Counts of tokens are no secrets: max_tokens, maxOutputTokens, thinking_budget_tokens. */
const COUNT_NAME = /tokens|token_?(?:count|limit|budget)/i;

/** Keys of Google, OpenAI, Anthropic, xAI, Groq, GitHub and Hugging Face, wherever they stand. */
const KEY_SHAPES: readonly RegExp[] = [
  /\bAIza[\w-]{20,}/g,
  /\bAQ\.[\w-]{20,}/g,
  /\bya29\.[\w.-]{20,}/g,
  /\bsk-[\w-]{16,}/g,
  /\b(?:xai|gsk|ghp|gho|ghs|hf)[-_]\w{16,}/g,
  /\bgithub_pat_\w{20,}/g,
  /\bbearer\s+[\w.~+/-]{16,}=*/gi,
];

/** Deeper settings are cut off, so that no file can exhaust the stack. */
const DEPTH_MAX = 100;

/**
 * A copy of settings without their secrets: values under names such as api_key or headers, and
 * strings that look like a provider's key. Switches and counts of tokens stay.
 */
export function withoutSecrets(value: unknown, depth = 0): unknown {
  if (typeof value === 'string') return textWithoutKeys(value);
  if (typeof value !== 'object' || value === null) return value;
  if (depth >= DEPTH_MAX) return REDACTED;
  if (Array.isArray(value)) return value.map((item) => withoutSecrets(item, depth + 1));
  return Object.fromEntries(
    Object.entries(value).map(([name, inner]) => [
      textWithoutKeys(name),
      isSecret(name, inner) ? REDACTED : withoutSecrets(inner, depth + 1),
    ]),
  );
}

/** A text in which every string that looks like a provider's key is blacked out. */
export function textWithoutKeys(text: string): string {
  return KEY_SHAPES.reduce((clean, shape) => clean.replace(shape, REDACTED), text);
}

/** Whether the value of a setting with this name must not be shown. */
export function isSecret(name: string, value: unknown): boolean {
  if (value === null || typeof value === 'boolean' || !SECRET_NAME.test(name)) return false;
  return !(typeof value === 'number' && COUNT_NAME.test(name));
}
