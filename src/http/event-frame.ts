import type { LiveFrame } from './page-control.ts';

/**
 * Events of one kind in the form of server-sent events
 * (https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream). JSON
 * without indentation has no line breaks, so each event's data is one line.
 */
export function eventFrame(kind: LiveFrame['kind'], views: readonly object[]): LiveFrame {
  const text = views.map((view) => `event: ${kind}\ndata: ${JSON.stringify(view)}\n\n`).join('');
  return { kind, bytes: Buffer.from(text) };
}

/** A comment, which keeps proxies in between from taking a quiet connection for a dead one. */
export const PING_FRAME: Buffer = Buffer.from(': ping\n\n');
