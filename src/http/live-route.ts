import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';

import { type WebSocket, WebSocketServer } from 'ws';

import type { Clock } from '../clock.ts';
import type { ProxyError } from '../errors.ts';
import type { LiveWire } from '../exchange/live-wire.ts';
import { reasonBytes, wireOf } from '../exchange/live-wire.ts';
import { redactUrl } from '../gemini/auth.ts';
import { googleErrorBody, googleErrorHeaders } from '../gemini/error-body.ts';
import { classify, isGeminiPath, stripPrefixes } from '../gemini/route.ts';
import { type EdgeRefusal, type PassedCall, PATH_SHOWN_MAX, readHead } from './gemini-routes.ts';
import { checkSource, type GuardSettings } from './guard.ts';
import { asProxyError } from './problem.ts';

/** Where Live sessions go from the HTTP edge. */
export interface LiveEntry {
  /** A session whose handshake is answered. It ends by a close of the client's wire. */
  converse(call: PassedCall, client: LiveWire): void;
}

export interface LiveRouteOptions {
  readonly clock: Clock;
  readonly sessions: LiveEntry;
  readonly guard: () => GuardSettings;
  readonly newRequestId: () => string;
  readonly onRefusal: (refusal: EdgeRefusal) => void;
}

export interface LiveRoute {
  /** Answers the handshake of a Live session. */
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void;
  /** Closes the sessions that are still open with 1001, and cuts those that do not answer. */
  close(): Promise<void>;
}

/** One message; Google's own limit is not published, and 100 MB of inline data are legal elsewhere. */
const MESSAGE_BYTES_MAX = 134_217_728;
/** How long a closing client may take to answer before its connection is cut. */
const CLOSE_MS_MAX = 1_000;
const GOING_AWAY = 1001;

/** Whether an upgrade is the handshake of a Live session. Any other is answered as plain HTTP. */
export function isLiveHandshake({ method, url = '/', headers }: IncomingMessage): boolean {
  if (method !== 'GET' || headers.upgrade?.toLowerCase() !== 'websocket') return false;
  if (!isGeminiPath(url)) return false;
  try {
    return classify('GET', stripPrefixes(url).path).method === 'live';
  } catch {
    // Told as plain HTTP, with the reason.
    return false;
  }
}

/** The way in for Live sessions: the same guard as for requests, then one wire per session. */
export function createLiveRoute(options: LiveRouteOptions): LiveRoute {
  const { clock } = options;
  const server = new WebSocketServer({
    noServer: true,
    clientTracking: true,
    perMessageDeflate: false,
    maxPayload: MESSAGE_BYTES_MAX,
    // The Gemini API knows no subprotocols.
    handleProtocols: () => false,
  });
  const requestIds = new WeakMap<IncomingMessage, string>();
  server.on('headers', (headers, request) => {
    headers.push(`x-headgate-request-id: ${requestIds.get(request) ?? ''}`);
  });

  return {
    upgrade(request, socket, head) {
      const requestId = options.newRequestId();
      // A client that breaks off now must not end the process.
      socket.on('error', () => socket.destroy());
      try {
        const { method = 'GET', headers } = request;
        checkSource({ method, headers }, options.guard());
        const receivedAtMs = clock.monotonicMs();
        const call = readHead({ request, requestId, receivedAtMs }, options.guard());
        requestIds.set(request, requestId);
        server.handleUpgrade(request, socket, head, (client: WebSocket) => {
          options.sessions.converse(call, wireOf(client));
        });
      } catch (error) {
        refuse(asProxyError(error), { request, socket, requestId });
      }
    },
    async close() {
      const left = [...server.clients];
      const closed = left.map(
        (client) =>
          new Promise<void>((resolve) => {
            client.once('close', () => resolve());
          }),
      );
      for (const client of left) client.close(GOING_AWAY, reasonBytes('headgate is stopping.'));
      const timer = clock.after(CLOSE_MS_MAX, () => {
        for (const client of left) client.terminate();
      });
      await Promise.all(closed);
      timer.cancel();
    },
  };

  function refuse(
    error: ProxyError,
    {
      request,
      socket,
      requestId,
    }: { readonly request: IncomingMessage; readonly socket: Duplex; readonly requestId: string },
  ): void {
    const { method = '', url = '' } = request;
    options.onRefusal({ requestId, method, path: redactUrl(url).slice(0, PATH_SHOWN_MAX), error });
    const body = googleErrorBody(error, { surface: 'gemini', array: false });
    const headers = [
      ...googleErrorHeaders(error),
      'x-headgate-request-id',
      requestId,
      'content-length',
      String(body.length),
      'connection',
      'close',
    ];
    socket.write(headOf(`HTTP/1.1 ${error.httpStatus} ${error.rpcStatus}`, headers), 'latin1');
    socket.end(body);
  }
}

/** A start line and flat headers as they go on the wire. */
export function headOf(startLine: string, headers: readonly string[]): string {
  let head = `${startLine}\r\n`;
  for (let at = 0; at + 1 < headers.length; at += 2) {
    head += `${headers[at] ?? ''}: ${headers[at + 1] ?? ''}\r\n`;
  }
  return `${head}\r\n`;
}
