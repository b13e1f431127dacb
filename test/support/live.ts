import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { createServer } from 'node:http';
import type { Test } from 'tap';
import { WebSocket, WebSocketServer } from 'ws';
import { listen } from './loopback.ts';

export const LIVE_MODEL = 'gemini-2.5-flash-native-audio';
export const LIVE_PATH =
  '/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent';

export const SETUP = JSON.stringify({ setup: { model: `models/${LIVE_MODEL}` } });

/** One message as it came. */
export interface Received {
  readonly data: Buffer;
  readonly isBinary: boolean;
}

/** A client's side of a session, or an upstream's. */
export interface Talk {
  readonly socket: WebSocket;
  readonly received: readonly Received[];
  /** The next message that has not been taken yet. */
  next(): Promise<Received>;
  /** As JSON. */
  nextJson(): Promise<Record<string, unknown>>;
  readonly closed: Promise<{ readonly code: number; readonly reason: string }>;
}

export function talkOver(socket: WebSocket): Talk {
  const received: Received[] = [];
  const waiters: (() => void)[] = [];
  let taken = 0;
  socket.on('message', (data, isBinary) => {
    if (Buffer.isBuffer(data)) received.push({ data, isBinary });
    for (const wake of waiters.splice(0)) wake();
  });
  const closed = once(socket, 'close').then(([code, reason]) => ({ code, reason: String(reason) }));
  closed.catch(() => undefined);
  const next = async (): Promise<Received> => {
    for (;;) {
      const message = received[taken];
      if (message !== undefined) {
        taken += 1;
        return message;
      }
      if (socket.readyState === WebSocket.CLOSED) throw new Error('closed before a message came');
      await new Promise<void>((resolve) => {
        waiters.push(resolve);
        socket.once('close', () => resolve());
      });
    }
  };
  return {
    socket,
    received,
    next,
    nextJson: async () => JSON.parse((await next()).data.toString()),
    closed,
  };
}

/** Connects to a path of the daemon; open when it resolves. Throws what the handshake met. */
export async function talkTo(
  { url }: { readonly url: string },
  path: string,
  options: {
    readonly headers?: Record<string, string>;
    readonly ca?: string;
    readonly origin?: string;
  } = {},
): Promise<Talk> {
  const socket = new WebSocket(url.replace(/^http/, 'ws') + path, {
    perMessageDeflate: false,
    ...options,
  });
  const talk = talkOver(socket);
  await once(socket, 'open');
  return talk;
}

/** A daemon's upstream that does what the test says with each session. */
export interface LiveUpstreamStub {
  readonly url: string;
  /** Request line and headers of each handshake. */
  readonly handshakes: readonly IncomingMessage[];
}

export async function upstreamFor(
  t: Test,
  session: (talk: Talk, request: IncomingMessage) => void,
  /** Status and body in place of 101. */
  refuse: (count: number) => { readonly status: number; readonly body: string } | null = () => null,
): Promise<LiveUpstreamStub> {
  const handshakes: IncomingMessage[] = [];
  const sockets = new WebSocketServer({ noServer: true, perMessageDeflate: false });
  const server = createServer((_request, response) => response.writeHead(404).end());
  server.on('upgrade', (request, socket, head) => {
    handshakes.push(request);
    const refusal = refuse(handshakes.length);
    if (refusal !== null) {
      const { status, body } = refusal;
      socket.end(
        `HTTP/1.1 ${status} Refused\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
      );
      return;
    }
    sockets.handleUpgrade(request, socket, head, (client: WebSocket) =>
      session(talkOver(client), request),
    );
  });
  const port = await listen(server);
  t.teardown(() => {
    for (const client of sockets.clients) client.terminate();
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${port}`, handshakes };
}
