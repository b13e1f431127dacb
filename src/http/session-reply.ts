import type { FastifyReply } from 'fastify';

import { createReplySink } from './reply-sink.ts';
import type { ContinueReply } from './session-control.ts';

/** The way back to the client of one continue, seen from both sides. */
export interface ReplyWay {
  /** For whoever continues the session. */
  readonly reply: ContinueReply;
  /** Aborted when the client leaves before its answer has ended. */
  readonly signal: AbortSignal;
  /** Whether the client has been told anything. */
  readonly isUsed: () => boolean;
}

/**
 * Either Fastify sends one JSON document, or the connection is taken from it and the answer goes out
 * as it comes.
 */
export function createReplyWay(fastify: FastifyReply): ReplyWay {
  const sink = createReplySink(fastify.raw);
  const leaving = new AbortController();
  sink.onClose(() => leaving.abort());
  let isUsed = false;
  return {
    signal: leaving.signal,
    isUsed: () => isUsed,
    reply: {
      head(headers) {
        isUsed = true;
        fastify.hijack();
        sink.head(200, [...headersBeside(fastify, headers), ...headers]);
      },
      write: (chunk) => sink.write(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)),
      onDrain: (listener) => sink.onDrain(listener),
      end: () => sink.end(),
      destroy() {
        if (!isUsed) fastify.hijack();
        isUsed = true;
        sink.destroy();
      },
      json(answer, headers) {
        isUsed = true;
        for (let at = 0; at + 1 < headers.length; at += 2) {
          fastify.header(headers[at] ?? '', headers[at + 1] ?? '');
        }
        void fastify.send(answer);
      },
    },
  };
}

/** What all answers of our own carry, unless the answer itself says otherwise. */
function headersBeside(fastify: FastifyReply, headers: readonly string[]): string[] {
  const said = new Set(headers.filter((_, at) => at % 2 === 0).map((name) => name.toLowerCase()));
  return Object.entries(fastify.getHeaders())
    .filter(([name]) => !said.has(name.toLowerCase()))
    .flatMap(([name, value]) => [name, String(value)]);
}
