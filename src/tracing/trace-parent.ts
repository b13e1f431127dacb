import type { FlatHeaders } from '../gemini/headers.ts';

/** Where a client's own trace stands at the moment of its call: W3C Trace Context. */
export interface TraceParent {
  /** 32 lower-case hex digits. */
  readonly traceId: string;
  /** 16 lower-case hex digits: the client's span. */
  readonly spanId: string;
  /** The flags, of which bit 0 says that the client's span is kept. */
  readonly flags: number;
  /** As sent; null without one. */
  readonly state: string | null;
}

/** Version, trace, span and flags; a later version may have more behind a hyphen. */
const FORM = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;
/** Longer lists need not be kept (https://www.w3.org/TR/trace-context/#tracestate-limits). */
const STATE_LENGTH_MAX = 512;

/**
 * The trace that a call belongs to; null where its `traceparent` is absent, twice there or not
 * valid (https://www.w3.org/TR/trace-context/#traceparent-header).
 */
export function traceParentIn(headers: FlatHeaders): TraceParent | null {
  const [parent, ...others] = valuesOf(headers, 'traceparent');
  if (parent === undefined || others.length > 0) return null;
  const [, version, traceId = '', spanId = '', flags = '', rest] = FORM.exec(parent.trim()) ?? [];
  if (version === undefined || version === 'ff') return null;
  if (version === '00' && rest !== undefined) return null;
  if (/^0+$/.test(traceId) || /^0+$/.test(spanId)) return null;
  const state = valuesOf(headers, 'tracestate').join(',');
  const isKept = state !== '' && state.length <= STATE_LENGTH_MAX;
  return { traceId, spanId, flags: Number.parseInt(flags, 16), state: isKept ? state : null };
}

function valuesOf(headers: FlatHeaders, name: string): string[] {
  const values: string[] = [];
  for (let at = 0; at + 1 < headers.length; at += 2) {
    if (headers[at]?.toLowerCase() === name) values.push(headers[at + 1] ?? '');
  }
  return values;
}
