import type { WindowView } from '../http/views.ts';
import { bar } from './bar.ts';
import { printable, type Style } from './style.ts';

/** From this share of the limit on a window is nearly full. */
const NEARLY_FULL = 0.8;

/** A window in `width` characters: █ used, ▓ held by calls under way, ░ free. */
export function windowBar(
  { limit, used, held }: WindowView,
  { style, width }: { readonly style: Style; readonly width: number },
): string {
  const parts = [
    { amount: used - held, sign: '█', paint: paintOf(limit, used, style) },
    { amount: held, sign: '▓', paint: style.cyan },
  ];
  const rest = { sign: '░', paint: style.dim };
  return bar(width, limit ?? Infinity, limit === null ? [] : parts, rest);
}

/** Where the limit in force comes from: "c.yaml:6", "profile free", "learned", "set live". */
export function sourceWords({ limit_source: limitSource, source }: WindowView): string {
  if (limitSource === 'override') return 'set live';
  if (limitSource === 'learned') return 'learned';
  return printable(source);
}

export function isFull({ limit, used }: WindowView): boolean {
  return limit !== null && used >= limit;
}

function paintOf(limit: number | null, used: number, style: Style): (text: string) => string {
  if (limit === null || used < limit * NEARLY_FULL) return style.green;
  return used < limit ? style.yellow : style.red;
}
