import type { ServerResponse } from 'node:http';

import type { FastifyInstance } from 'fastify';

import type { Clock, Timer } from '../clock.ts';
import { ProxyError } from '../errors.ts';
import { PING_FRAME } from './event-frame.ts';
import { checkToken, type GuardSettings } from './guard.ts';
import { answersText } from './openapi-shapes.ts';
import type { LiveFrame, PageControl } from './page-control.ts';

export interface EventStreamOptions {
  readonly page: PageControl;
  readonly clock: Clock;
  /** Asked again while a stream is open: a token that is changed closes it. */
  readonly guard: () => GuardSettings;
}

/** Each one costs a socket and a copy of what the kernel does not take at once. */
export const LISTENERS_MAX = 20;
/** Quiet for longer, and some proxies and phones would cut the connection. */
export const PING_MS = 15_000;
/** A page that has taken nothing of what waits for it for so long is gone or asleep. */
export const STALLED_MS_MAX = 30_000;
/** Most bytes that wait for a page; a status with a thousand waiting calls is a tenth of it. */
export const UNSENT_BYTES_MAX = 4 * 1024 * 1024;
/** When a listener that was turned away may ask again. */
const FULL_RETRY_MS = 5_000;

const DESCRIPTION = `Server-sent events, each with JSON as its data:

* \`status\`: as GET /status answers; at once, when something has changed (at most twice a second), and
  every five seconds.
* \`exchange\`: one entry of GET /exchanges, for each counted exchange when it has ended.
* \`sample\`: \`{ span: "hour", point }\` with one point of GET /history, when a minute has passed.

At most ${LISTENERS_MAX} may listen at once. Who does not read what is sent is cut off.`;

/** `GET /events`: what happens, as it happens. */
export function registerEventStream(app: FastifyInstance, options: EventStreamOptions): void {
  const open = new Set<ServerResponse>();
  app.get(
    '/events',
    {
      // A HEAD that is never answered whole would help nobody.
      exposeHeadRoute: false,
      schema: {
        summary: 'What happens, as it happens',
        description: DESCRIPTION,
        tags: ['operation'],
        response: { 200: answersText('It goes on until it is closed.', 'text/event-stream') },
      },
    },
    (request, reply) => {
      if (open.size >= LISTENERS_MAX) throw tooMany();
      const { raw } = reply.hijack();
      raw.writeHead(200, {
        'content-type': 'text/event-stream; charset=utf-8',
        'cache-control': 'no-store',
        'x-content-type-options': 'nosniff',
        // Asks proxies of nginx's kind not to hold events back.
        'x-accel-buffering': 'no',
      });
      raw.flushHeaders();
      open.add(raw);
      const isWelcome = () => isStillWelcome(request, options.guard());
      const close = follow(raw, { ...options, isWelcome });
      raw.once('close', () => {
        open.delete(raw);
        close();
      });
      return reply;
    },
  );
}

/** Sends one listener what happens. Returns the way to stop. */
function follow(
  raw: ServerResponse,
  { page, clock, isWelcome }: EventStreamOptions & { readonly isWelcome: () => boolean },
): () => void {
  let stalledSinceMs: number | null = null;
  let ping: Timer | null = null;
  /** The latest status that was left out; without it a change would show only with the next one. */
  let missed: Buffer | null = null;
  raw.on('drain', () => {
    stalledSinceMs = null;
    const latest = missed;
    missed = null;
    if (latest !== null) send(latest);
  });
  // What cannot be written is told by `close`.
  raw.on('error', () => undefined);

  function send(bytes: Buffer): void {
    if (raw.destroyed) return;
    if (raw.writableLength > UNSENT_BYTES_MAX) raw.destroy();
    else if (!raw.write(bytes)) stalledSinceMs ??= clock.monotonicMs();
  }
  function take({ kind, bytes }: LiveFrame): void {
    // A later status says all that this one does.
    if (kind === 'status' && stalledSinceMs !== null) missed = bytes;
    else send(bytes);
  }
  function pingLater(): void {
    ping = clock.after(PING_MS, () => {
      const stalledMs = stalledSinceMs === null ? 0 : clock.monotonicMs() - stalledSinceMs;
      if (stalledMs >= STALLED_MS_MAX || !isWelcome()) raw.destroy();
      else if (stalledSinceMs === null) send(PING_FRAME);
      pingLater();
    });
  }
  const leave = page.listen(take);
  pingLater();
  return () => {
    ping?.cancel();
    leave();
  };
}

function isStillWelcome(request: Parameters<typeof checkToken>[0], guard: GuardSettings): boolean {
  try {
    checkToken(request, guard);
    return true;
  } catch {
    return false;
  }
}

function tooMany(): ProxyError {
  return new ProxyError(
    'LISTENERS_FULL',
    `${LISTENERS_MAX} pages listen to headgate already, the most it serves; close one, or ask GET /status instead.`,
    { retryAfterMs: FULL_RETRY_MS },
  );
}
