import type { Probe } from './media-want.ts';
import { WANT_BYTES_MAX } from './media-want.ts';

/** So many places that look like a page tree are read: a file cannot make this slow. */
const TREES_MAX = 16;

/**
 * The pages of a PDF whose page tree lies uncompressed in its first or last 64 KiB, or that says how
 * many at once because it is linearized. A tree of pages counts for its root alone, which has no
 * parent; after later changes there are several, and the largest is taken.
 */
export function* probePdf(): Probe {
  const head = (yield { at: 0, bytes: WANT_BYTES_MAX }).toString('latin1');
  const tail = (yield { at: -WANT_BYTES_MAX, bytes: WANT_BYTES_MAX }).toString('latin1');
  // The dictionary lies within the first 1024 bytes (ISO 32000-1, annex F.3.3).
  const linear = /\/Linearized[^>]{0,512}?\/N\s{1,8}(\d{1,6})\b/.exec(head.slice(0, 1_024));
  const pages = Math.max(Number(linear?.[1] ?? 0), pagesIn(head), pagesIn(tail));
  return pages > 0 ? { of: 'pages', pages } : null;
}

function pagesIn(text: string): number {
  let most = 0;
  let read = 0;
  for (const { index } of text.matchAll(/\/Type\s{0,8}\/Pages\b/g)) {
    if ((read += 1) > TREES_MAX) break;
    const start = text.lastIndexOf(' obj', index);
    const end = text.indexOf('endobj', index);
    if (start === -1 || end === -1) continue;
    const object = text.slice(start, end);
    const count = /\/Count\s{1,8}(\d{1,6})\b/.exec(object)?.[1];
    if (count !== undefined && !/\/Parent\b/.test(object)) most = Math.max(most, Number(count));
  }
  return most;
}
