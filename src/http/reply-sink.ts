import type { ServerResponse } from 'node:http';

import type { ReplySink } from '../exchange/call.ts';

const NO_BYTES = Buffer.alloc(0);

/** A thin cover over a response; see ReplySink. */
export function createReplySink(response: ServerResponse): ReplySink {
  let hasLength = false;
  // A write that crosses the client's leaving reports an error that 'close' has told already.
  response.on('error', () => undefined);
  return {
    head(status, headers) {
      if (response.destroyed || response.headersSent) return;
      const has = (wanted: RegExp) => headers.some((name, at) => at % 2 === 0 && wanted.test(name));
      hasLength = has(/^content-length$/i);
      // What passes through is dated by its origin or not at all; only our own answers are dated here.
      response.sendDate = has(/^x-headgate-refused$/i);
      // A flat list keeps duplicates and case. Node's type wants it mutable.
      response.writeHead(status, [...headers]);
      flushSoon(response);
    },
    write(chunk) {
      return response.destroyed || response.writableEnded || response.write(chunk);
    },
    end() {
      if (!response.destroyed) response.end();
    },
    destroy() {
      const { socket } = response;
      // Chunks that are under way still arrive; the missing end tells the client. An answer that ends
      // with its connection has no other mark of being cut than a reset.
      if (socket === null) response.destroy();
      else if (hasLength || response.chunkedEncoding) socket.destroySoon();
      else socket.resetAndDestroy();
    },
    onDrain(listener) {
      response.on('drain', listener);
    },
    onClose(listener) {
      const tell = (): void => {
        if (!response.writableFinished) listener();
      };
      // Not 'close' of the request: that fires as soon as its body has been read.
      if (response.closed) queueMicrotask(tell);
      else response.once('close', tell);
    },
    get isGone() {
      const { socket } = response;
      // A client that has ended its side is answered by Node ending ours, before 'close' tells.
      return response.destroyed || socket === null || socket.destroyed || socket.writableEnded;
    },
    get headSent() {
      return response.headersSent;
    },
  };
}

/**
 * Sends the headers within this turn of the event loop, in one packet with whatever of the body is
 * written within it. Node itself holds them back until the first chunk, however long that takes.
 */
function flushSoon(response: ServerResponse): void {
  const { socket } = response;
  socket?.cork();
  // Not flushHeaders: that sends them as UTF-8, which makes two bytes of each beyond ASCII.
  response.write(NO_BYTES);
  process.nextTick(() => socket?.uncork());
}
