/** One run of a bar: how much of the whole, drawn how. */
export interface BarPart {
  readonly amount: number;
  readonly sign: string;
  readonly paint: (text: string) => string;
}

/**
 * A bar of exactly `width` characters. What is there at all shows as at least one character, and a
 * bar is only full when the whole is reached, so that neither end of it misleads.
 */
export function bar(
  width: number,
  whole: number,
  parts: readonly BarPart[],
  rest: { readonly sign: string; readonly paint: (text: string) => string },
): string {
  let drawn = '';
  let used = 0;
  let sum = 0;
  for (const { amount, sign, paint } of parts) {
    if (amount <= 0) continue;
    sum += amount;
    const exact = whole <= 0 ? width : (sum / whole) * width;
    const end = sum >= whole ? width : Math.min(width - 1, Math.max(used + 1, Math.round(exact)));
    const cells = Math.max(0, Math.min(width, end) - used);
    drawn += paint(sign.repeat(cells));
    used += cells;
  }
  return drawn + rest.paint(rest.sign.repeat(width - used));
}
