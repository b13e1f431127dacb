/** A number and a unit, even for 0s. Also the pattern in the editor schema. */
export const DURATION_PATTERN = '^[0-9]+(\\.[0-9]+)?(ms|s|m|h|d)$';

/** Binary units as in 512MiB, decimal ones as in 500MB; a lone number would not say which. */
export const SIZE_PATTERN = '^[0-9]+(\\.[0-9]+)?(B|KiB|MiB|GiB|KB|MB|GB)$';

/** Ten years: longer is a typing mistake, and anything below stays a safe integer in ms. */
const DURATION_MS_MAX = 3650 * 86_400_000;

const MS_PER = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

const BYTES_PER = {
  B: 1,
  KiB: 1024,
  MiB: 1024 ** 2,
  GiB: 1024 ** 3,
  KB: 1000,
  MB: 1000 ** 2,
  GB: 1000 ** 3,
} as const;

/** Whole milliseconds of `60s`, `250ms`, `10m`, `25h`, `400d`; null when it is none or over ten years. */
export function parseDuration(text: string): number | null {
  const ms = parseQuantity(text, DURATION_PATTERN, MS_PER);
  return ms === null || ms > DURATION_MS_MAX ? null : ms;
}

/** Whole bytes of `512MiB`, `64KiB`, `10MB`; null when it is none. */
export function parseSize(text: string): number | null {
  const bytes = parseQuantity(text, SIZE_PATTERN, BYTES_PER);
  return bytes === null || !Number.isSafeInteger(bytes) ? null : bytes;
}

function parseQuantity(
  text: string,
  pattern: string,
  factors: Readonly<Record<string, number>>,
): number | null {
  if (!new RegExp(pattern).test(text)) return null;
  const number = Number.parseFloat(text);
  const factor = factors[text.replace(/^[0-9.]+/, '')] ?? 0;
  return Math.round(number * factor);
}
